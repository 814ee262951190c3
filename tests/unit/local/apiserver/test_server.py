"""The server as a whole: starting, stopping, and the calls for the process it runs in."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from luna_local.apiserver import ApiError, EmbeddedApiServer
from luna_local.apiserver import http as http_module
from support.apiservers import ApiServer
from support.kubernetes_api import CAMERAS, PODS, a_camera, a_config_map, a_definition, a_pod, connected
from support.waiting import PATIENCE_S, eventually


def test_it_listens_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="not a loopback address"):
        EmbeddedApiServer(host="0.0.0.0")  # noqa: S104 that is the point


async def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedApiServer(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="Address already in use"):
            await server.start()
        await server.stop()


async def test_its_end_does_not_wait_for_open_watches() -> None:
    async with EmbeddedApiServer() as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as client:
        assert (await client.get("/readyz")).text == "ok"
        watching = asyncio.create_task(client.get("/api/v1/pods?watch=true"))
        await eventually(lambda: server._store.table(("", "pods")).watchers)
        async with asyncio.timeout(PATIENCE_S):
            await server.stop()
        assert (await watching).status_code == 200


async def test_answers_are_not_held_back_by_the_network_stack() -> None:
    async with EmbeddedApiServer() as server:
        # 40 ms each if head and body wait for an acknowledgement between them; else only where a machine is busy.
        assert min([await twenty_answers_s(server) for _ in range(5)]) < 0.4


async def twenty_answers_s(server: EmbeddedApiServer) -> float:
    """Return how long it takes to be answered twenty times on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    began = time.monotonic()
    for _ in range(20):
        writer.write(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(length)
    took_s = time.monotonic() - began
    writer.close()
    await writer.wait_closed()
    return took_s


async def test_the_kubeconfig_leads_to_the_server(tmp_path: Path) -> None:
    async with EmbeddedApiServer(host="::1") as server:
        server.write_kubeconfig(tmp_path / "kubeconfig")
        config = yaml.safe_load((tmp_path / "kubeconfig").read_text())
        url = config["clusters"][0]["cluster"]["server"]
        assert url.startswith("http://[::1]:")
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/version")).json()["gitVersion"].endswith("+luna-embedded")


def test_objects_can_be_applied_read_listed_and_deleted_without_http() -> None:
    server = EmbeddedApiServer()
    assert server.get("v1", "ConfigMap", "a", "default") is None
    server.apply(a_config_map("a"))
    server.apply({**a_config_map("a"), "data": {"b": "2"}})
    server.apply(a_config_map("b"))
    found = server.get("v1", "ConfigMap", "a", "default")
    assert found is not None
    assert found["data"] == {"b": "2"}
    assert [each["metadata"]["name"] for each in server.list("v1", "ConfigMap", "default")] == ["a", "b"]
    server.delete("v1", "ConfigMap", "a", "default")
    server.delete("v1", "ConfigMap", "a", "default")
    assert len(list(server.list("v1", "ConfigMap"))) == 1
    with pytest.raises(ApiError, match="no resource of kind Camera"):
        server.apply(a_camera("one"))


def test_applying_leaves_the_manifest_of_the_caller_alone() -> None:
    server = EmbeddedApiServer()
    manifest = a_pod("p")
    server.apply(manifest)
    assert manifest == a_pod("p")


async def test_a_token_that_is_presented_must_be_good_and_says_who_asks() -> None:
    async with EmbeddedApiServer() as server, httpx.AsyncClient(base_url=server.url) as client:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        account = "/api/v1/namespaces/default/serviceaccounts/default/token"
        token = (await client.post(account, json={"spec": {}})).json()["status"]["token"]
        asked = await client.post(path, json=review, headers={"Authorization": f"Bearer {token}"})
        assert asked.json()["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
        refused = await client.get("/api/v1/pods", headers={"Authorization": "Bearer rubbish"})
        assert (refused.status_code, refused.json()["reason"]) == (401, "Unauthorized")
        other = (await client.post(account, json={"spec": {"audiences": ["luna"]}})).json()["status"]["token"]
        assert (await client.get("/api/v1/pods", headers={"Authorization": f"Bearer {other}"})).status_code == 401


async def test_a_client_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "SEND_TIMEOUT_S", 0.2)
    async with EmbeddedApiServer() as server:
        server.apply(a_definition())
        host, port = "127.0.0.1", int(server.url.rpartition(":")[2])
        deaf = socket.create_connection((host, port))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(f"GET {CAMERAS}?watch=true HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        table = server._store.table(("contract.luna.test", "cameras"))
        async with connected(ApiServer("embedded", server.url, Path())) as api:
            await eventually(lambda: table.watchers)
            for index in range(60):
                await api.create(CAMERAS, a_camera(f"c{index}", annotations={"a": "x" * 200_000}))
            await eventually(lambda: not table.watchers)
        deaf.close()


async def test_a_client_that_goes_away_ends_its_watch_and_its_log() -> None:
    closed = asyncio.Event()

    class Logs:
        async def open_log(self, pod_uid: str, container: str, **_: object) -> AsyncIterator[bytes]:
            try:
                yield b"one\n"
                await asyncio.Event().wait()
            finally:
                closed.set()

    async with EmbeddedApiServer() as server, httpx.AsyncClient(base_url=server.url) as client:
        server.log_provider = Logs()
        server.apply(a_pod("p"))
        async with client.stream("GET", f"{PODS}/p/log?follow=true") as answer:
            assert await anext(answer.aiter_lines()) == "one"
        async with asyncio.timeout(PATIENCE_S):
            await closed.wait()
        async with client.stream("GET", "/api/v1/pods?watch=true") as answer:
            await anext(answer.aiter_lines())
        await eventually(lambda: not server._store.table(("", "pods")).watchers)


@pytest.mark.parametrize("raises_when", ["called", "read"])
async def test_a_log_that_is_not_there_is_told_in_the_words_of_its_provider(raises_when: str) -> None:
    class Logs:
        def open_log(self, pod_uid: str, container: str, **_: object) -> AsyncIterator[bytes]:
            if raises_when == "called":
                raise LookupError("container a has not started yet")
            return self._read(container)

        async def _read(self, container: str) -> AsyncIterator[bytes]:
            if container == "a":
                raise LookupError("container a has not started yet")
            yield b""

    async with EmbeddedApiServer() as server, httpx.AsyncClient(base_url=server.url) as client:
        server.log_provider = Logs()
        server.apply(a_pod("p"))
        answer = await client.get(f"{PODS}/p/log")
        assert (answer.status_code, answer.json()["message"]) == (400, "container a has not started yet")


@pytest.mark.parametrize(
    ("query", "containers", "code", "said"),
    [
        ("container=none", 1, 400, "container none is not valid for pod p"),
        ("", 2, 400, "a container name must be specified for pod p, choose one of: ['a', 'b']"),
        ("container=b", 2, 200, "b"),
        ("tailLines=x", 1, 400, "tailLines"),
        ("sinceTime=x", 1, 400, "sinceTime"),
        ("limitBytes=3", 1, 200, "aaa"),
    ],
)
async def test_logs_are_asked_for_by_container(query: str, containers: int, code: int, said: str) -> None:
    class Logs:
        async def open_log(self, pod_uid: str, container: str, **_: object) -> AsyncIterator[bytes]:
            yield container.encode() * 2
            yield container.encode() * 2

    async with EmbeddedApiServer() as server, httpx.AsyncClient(base_url=server.url) as client:
        server.log_provider = Logs()
        server.apply(a_pod("p", *["x:1"] * containers))
        answer = await client.get(f"{PODS}/p/log?{query}")
        assert answer.status_code == code
        assert said in answer.text
        assert code != 200 or len(answer.text) == (3 if "limit" in query else 4)
