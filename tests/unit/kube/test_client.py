"""The client against a server that misbehaves: typed errors, deadlines, 429, paging, and no secrets in texts."""

from __future__ import annotations

import asyncio
import datetime
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import certifi
import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import incluster_config

from luna_kube import (
    PODS,
    STREAMS,
    AlreadyExists,
    ApiError,
    Conflict,
    Credentials,
    Forbidden,
    Gone,
    Invalid,
    KubeClient,
    NotConfigured,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    load_credentials,
)
from support.chaos_api import ChaosApi
from support.relay import Relay
from support.waiting import PATIENCE_S

STREAMS_PATH = "/apis/lunastreams.dev/v1alpha1/streams"


@pytest.fixture
async def chaos() -> AsyncIterator[ChaosApi]:
    async with ChaosApi().running() as server:
        yield server


@pytest.fixture
async def client(chaos: ChaosApi) -> AsyncIterator[KubeClient]:
    async with chaos.client() as client:
        yield client


def test_paths_are_those_of_the_api() -> None:
    assert PODS.at("a", "b").path == "/api/v1/namespaces/a/pods/b"
    assert STREAMS.everywhere().path == STREAMS_PATH
    assert STREAMS.at("a", "b").status.path == "/apis/lunastreams.dev/v1alpha1/namespaces/a/streams/b/status"
    assert PODS.at("a", "b/../c").path == "/api/v1/namespaces/a/pods/b%2F..%2Fc"


async def test_an_object_is_created_read_changed_and_deleted(client: KubeClient) -> None:
    ref = STREAMS.at("default", "a")
    created = await client.create(STREAMS.within("default"), {"metadata": {"name": "a"}, "spec": {"x": 1, "y": 1}})
    changed = await client.patch(ref, {"spec": {"x": None, "z": 2}})
    assert changed["spec"] == {"y": 1, "z": 2}
    assert int(changed["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
    assert await client.get(ref) == changed
    await client.delete(ref)
    with pytest.raises(NotFound):
        await client.get(ref)


async def test_a_stale_write_is_a_conflict_and_a_taken_name_exists_already(client: KubeClient) -> None:
    body = {"metadata": {"name": "a"}}
    created = await client.create(STREAMS.within("default"), body)
    await client.patch(STREAMS.at("default", "a"), {"spec": {}})
    with pytest.raises(Conflict):
        await client.replace(STREAMS.at("default", "a"), created)
    with pytest.raises(AlreadyExists):
        await client.create(STREAMS.within("default"), body)


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Invalid), (401, Unauthorized), (403, Forbidden), (404, NotFound), (409, Conflict), (410, Gone),
     (415, Invalid), (422, Invalid), (500, Unavailable), (502, Unavailable), (503, Unavailable)],
)  # fmt: skip
async def test_an_error_status_becomes_what_the_caller_does_next(
    chaos: ChaosApi, client: KubeClient, status: int, error: type[ApiError]
) -> None:
    chaos.fail("get", status)
    with pytest.raises(ApiError) as caught:
        await client.get(PODS.at("default", "a"))
    assert type(caught.value) is error
    assert caught.value.status == status
    assert str(caught.value) == "GET /api/v1/namespaces/default/pods/a: as ordered"


async def test_429_is_waited_out_as_the_server_says(chaos: ChaosApi, client: KubeClient) -> None:
    chaos.fail("write", 429, Retry_After="1")
    began = time.monotonic()
    await client.create(STREAMS.within("default"), {"metadata": {"name": "a"}})
    assert time.monotonic() - began >= 1.0
    assert len(chaos.state(STREAMS_PATH)) == 1


async def test_429_until_the_deadline_says_when_to_come_back(chaos: ChaosApi) -> None:
    chaos.fail("write", 429, times=100, Retry_After="7")
    async with chaos.client(timeout_s=0.3) as client:
        with pytest.raises(TooManyRequests) as caught:
            await client.create(STREAMS.within("default"), {"metadata": {"name": "a"}})
    assert caught.value.retry_after_s == 7


async def test_a_server_that_asks_for_more_time_than_there_is_is_not_waited_for(chaos: ChaosApi) -> None:
    chaos.fail("get", 429, Retry_After="6000")
    async with chaos.client(timeout_s=600) as client, asyncio.timeout(PATIENCE_S):
        with pytest.raises(TooManyRequests):
            await client.get(PODS.at("default", "a"))


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_in_trouble_that_says_when_to_come_back_is_asked_again(
    chaos: ChaosApi, client: KubeClient, status: int
) -> None:
    chaos.put(STREAMS_PATH, "a")
    chaos.fail("write", status, Retry_After="0")
    await client.patch(STREAMS.at("default", "a"), {"spec": {"x": 1}})
    chaos.fail("write", status, Retry_After="0")
    with pytest.raises(Unavailable):
        await client.create(STREAMS.within("default"), {"metadata": {"name": "b"}})
    assert chaos.count("write") == 3, "a creation may have happened"


async def test_a_server_that_is_restarted_costs_nothing_but_time(chaos: ChaosApi) -> None:
    """Its listener is away for a moment, connections that were kept open break without an answer."""
    chaos.put(STREAMS_PATH, "a")
    async with Relay(chaos.url).running() as relay, a_client_of(relay) as client:
        await client.get(STREAMS.at("default", "a"))
        relay.cut()
        asyncio.get_running_loop().call_later(0.03, relay.mend)
        await client.get(STREAMS.at("default", "a"))
        relay.cut()
        asyncio.get_running_loop().call_later(0.03, relay.mend)
        await client.patch(STREAMS.at("default", "a"), {"spec": {"x": 1}})
    assert chaos.state(STREAMS_PATH)["default", "a"]["spec"] == {"x": 1}


def a_client_of(relay: Relay) -> KubeClient:
    return KubeClient(Credentials(Configuration(host=relay.url)), timeout_s=PATIENCE_S)


async def test_a_refused_eviction_is_an_answer_not_congestion(chaos: ChaosApi, client: KubeClient) -> None:
    chaos.fail("write", 429)
    with pytest.raises(TooManyRequests):
        await client.create(PODS.at("default", "a").sub("eviction"), {})
    assert chaos.count("write") == 1


async def test_a_write_that_may_have_happened_is_not_repeated(chaos: ChaosApi, client: KubeClient) -> None:
    chaos.fail("write", 500)
    with pytest.raises(Unavailable):
        await client.patch(STREAMS.at("default", "a"), {})
    assert chaos.count("write") == 1


async def test_a_server_that_does_not_answer_is_given_up_at_the_deadline(chaos: ChaosApi) -> None:
    chaos.hang("get")
    async with chaos.client(timeout_s=0.2) as client:
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            await client.get(PODS.at("default", "a"))


async def test_a_server_that_is_not_there_is_unavailable(chaos: ChaosApi) -> None:
    async with ChaosApi().running() as gone:
        client = gone.client()
    async with client:
        with pytest.raises(Unavailable, match="cannot connect to 127"):
            await client.get(PODS.at("default", "a"))


async def test_a_list_is_read_page_by_page_from_one_snapshot(chaos: ChaosApi, client: KubeClient) -> None:
    for number in range(25):
        chaos.put(STREAMS_PATH, f"s{number:02}")
    listed = await client.list(STREAMS.everywhere(), page_size=10)
    assert [o["metadata"]["name"] for o in listed.items] == [f"s{number:02}" for number in range(25)]
    assert listed.resource_version == str(chaos.version)
    assert (chaos.count("list"), chaos.count("page")) == (1, 2)


async def test_a_page_that_expired_starts_the_list_again(chaos: ChaosApi, client: KubeClient) -> None:
    for number in range(25):
        chaos.put(STREAMS_PATH, f"s{number:02}")
    chaos.fail("page", 410)
    assert len((await client.list(STREAMS.everywhere(), page_size=10)).items) == 25
    chaos.fail("page", 410, times=2)
    assert len((await client.list(STREAMS.everywhere(), page_size=10)).items) == 25
    assert chaos.count("page") == 5, "the last attempt asks for everything at once"


def kubeconfig(path: Path, server: str, user: dict[str, object]) -> Path:
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }))  # fmt: skip
    return path


async def test_no_kubeconfig_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=r"there is no kubeconfig at .*absent; set KUBECONFIG or pass --kubeconfig"):
        await load_credentials(tmp_path / "absent")


async def test_a_pod_uses_its_own_account_and_reads_the_token_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chaos: ChaosApi
) -> None:
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    with pytest.raises(NotConfigured, match="the pod's ServiceAccount cannot be used"):
        await load_credentials()
    token.write_text("first")
    authority.write_text(Path(certifi.where()).read_text())
    credentials = await load_credentials()
    assert credentials.server == "https://10.0.0.1:443"
    assert await credentials.headers() == {"Authorization": "bearer first"}
    token.write_text("second")
    monkeypatch.setattr(incluster_config, "datetime", _an_hour_later())
    assert await credentials.headers() == {"Authorization": "bearer second"}


def _an_hour_later() -> object:
    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Later:
            return cls.fromtimestamp(time.time() + 3600, tz)

    return SimpleNamespace(datetime=Later, timedelta=datetime.timedelta)


@pytest.mark.parametrize("content", ["", "[", "42", "{}", '{"current-context": "c"}'])
async def test_a_broken_kubeconfig_is_one_clear_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(NotConfigured, match="cannot be used"):
        await load_credentials(path)


async def test_a_kubeconfig_with_a_missing_part_does_not_leak_its_token(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [],
        "users": [{"name": "u", "token": "secret-token"}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }))  # fmt: skip
    with pytest.raises(NotConfigured) as caught:
        await load_credentials(path)
    assert "secret-token" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_rotated_token_is_read_again_when_the_old_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luna_kube.credentials._RELOAD_INTERVAL_S", 0.0)
    token = tmp_path / "token"
    token.write_text("old")
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        accepted = request.headers.get("Authorization") == f"Bearer {token.read_text()}"
        return web.json_response({"items": []} if accepted else {"message": "no"}, status=200 if accepted else 401)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0][:2]
        config = kubeconfig(tmp_path / "config", f"http://{host}:{port}", {"tokenFile": str(token)})
        async with KubeClient(await load_credentials(config)) as client:
            await client.get(PODS.at("a", "b"))
            token.write_text("new")
            await client.get(PODS.at("a", "b"))
            assert seen == ["Bearer old", "Bearer old", "Bearer new"]
            (tmp_path / "config").unlink()
            token.write_text("newer")
            with pytest.raises(Unauthorized):
                await client.get(PODS.at("a", "b"))
    finally:
        await runner.cleanup()


async def test_errors_never_carry_credentials(chaos: ChaosApi, tmp_path: Path) -> None:
    chaos.fail("get", 401)
    config = kubeconfig(tmp_path / "config", chaos.url, {"token": "secret-token"})
    async with KubeClient(await load_credentials(config)) as client:
        with pytest.raises(Unauthorized) as caught:
            await client.get(PODS.at("a", "b"))
    assert "secret-token" not in repr(caught.value) + str(caught.value)
