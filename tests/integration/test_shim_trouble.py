"""The API server is away: at the start, in the middle; and what the shim says then."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from luna_api_shim.__main__ import main
from luna_api_shim.service import listen
from luna_api_shim.settings import Settings
from support.apiservers import ApiServer, free_port
from support.builders import v2_body
from support.relay import Relay
from support.shims import DATABASE_ERROR, Deployment, Shim, a_deployment
from support.waiting import PATIENCE_S
from support.worker import DocumentedWorker


@pytest.fixture
async def deployment(embedded_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(embedded_api) as deployment:
        yield deployment


def behind(relay: Relay, deployment: Deployment, folder: Path) -> Deployment:
    """Return the deployment as a shim sees it whose connection goes through the relay."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "relay",
                "clusters": [{"name": "relay", "cluster": {"server": relay.url}}],
                "users": [{"name": "relay", "user": {}}],
                "contexts": [{"name": "relay", "context": {"cluster": "relay", "user": "relay"}}],
            }
        )
    )
    return replace(deployment, api=replace(deployment.api, kubeconfig=kubeconfig))


async def until_healthy(shim: Shim) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await shim.http.get("/healthcheck")).status_code != 200:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def shim_behind_relay(
    deployment: Deployment, folder: Path, *, is_cut: bool = False, **settings: float | bool
) -> AsyncIterator[tuple[Shim, Relay]]:
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(Relay(deployment.api.url, is_cut=is_cut).running())
        shim = await stack.enter_async_context(behind(relay, deployment, folder).shim(wait=not is_cut, **settings))
        yield shim, relay


async def test_a_shim_that_starts_first_waits_for_the_api_server(
    deployment: Deployment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with shim_behind_relay(deployment, tmp_path, is_cut=True) as (shim, relay):
        health = await shim.http.get("/healthcheck")
        assert health.status_code == 502
        assert health.json() == {"errors": [{"component": "kubernetes", "error": DATABASE_ERROR, "status": 0}]}
        listed, created = await asyncio.gather(
            shim.http.get("/2/streams"), shim.http.post("/2/streams", json=v2_body())
        )
        for answer in (listed, created):
            assert (answer.status_code, answer.json()) == (500, DATABASE_ERROR)
        assert "lost touch" in caplog.text
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

        relay.mend()
        await until_healthy(shim)
        stream_id = await shim.create(v2_body())
        assert await DocumentedWorker(shim.http, headers={"Prefer": "wait=5"}).take() == [stream_id]


async def test_an_outage_costs_writes_but_no_stream(deployment: Deployment, tmp_path: Path) -> None:
    async with shim_behind_relay(deployment, tmp_path, kubernetes_timeout=2) as (shim, relay):
        stream_id = await shim.create(v2_body())
        worker = DocumentedWorker(shim.http, headers={"Prefer": "wait=5"})
        await worker.take()

        relay.cut()
        assert (await shim.read(stream_id))["status"] == "in_progress"
        refused = await shim.http.post("/2/streams", json=v2_body())
        assert (refused.status_code, refused.json()) == (500, DATABASE_ERROR)
        assert (await shim.http.get("/healthcheck")).status_code == 502

        relay.mend()
        await until_healthy(shim)
        assert (await worker.report())["modified"] == []
        assert await worker.finish(stream_id)
        assert (await shim.read(stream_id))["status"] == "done"


# --- starting ---------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_one_clear_line(capsys: pytest.CaptureFixture[str], embedded_api: ApiServer) -> None:
    port = embedded_api.url.rpartition(":")[2]
    assert main(["--port", port, "--kubeconfig", str(embedded_api.kubeconfig)]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"luna-streams shim: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "another program uses the port, choose one with LUNA_SHIM_PORT\n"
    )


def test_a_host_that_is_none_is_one_clear_line(capsys: pytest.CaptureFixture[str], embedded_api: ApiServer) -> None:
    assert main(["--host", "no such host", "--kubeconfig", str(embedded_api.kubeconfig)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("luna-streams shim: cannot listen on no such host:5160: ")
    assert said.count("\n") == 1


def test_small_answers_are_not_held_back() -> None:
    """Asyncio switches Nagle's algorithm off (40 ms for each answer) for sockets that say they are TCP, only."""
    with listen(Settings(port=0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_no_cluster_is_one_clear_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--kubeconfig", str(tmp_path / "nothing")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("luna-streams shim: no cluster: there is no kubeconfig at ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LUNA_SHIM_PROT", "1", "unknown variable LUNA_SHIM_PROT; known: LUNA_SHIM_KUBECONFIG, "),
        ("LUNA_SHIM_PORT", "http", "LUNA_SHIM_PORT: Input should be a valid integer"),
        ("LUNA_SHIM_LEASE_DURATION", "60", "lease_duration must be shorter than obsoleting_period"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert main([]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_it_runs_as_a_module() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "luna_api_shim", "--port", str(free_port()), "--kubeconfig", "/nothing"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (answer.returncode, "Traceback" in answer.stderr) == (2, False)
