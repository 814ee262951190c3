"""Previews: pictures pass from workers to viewers, as they come; whatever a worker does, and to nowhere else."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from luna_api_shim.settings import load
from luna_kube import PODS, Json
from support.apiservers import ApiServer, free_port
from support.builders import OTHER_ACCOUNT, v2_body
from support.picture_server import JPEG, PART, Script, answer, movie, picture_server, raw, silence
from support.shims import Deployment, Shim, a_deployment
from support.waiting import PATIENCE_S, eventually
from support.worker import DocumentedWorker

VIEWS = ("frame", "live")


@pytest.fixture
async def deployment(embedded_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(embedded_api) as deployment:
        yield deployment


@pytest.fixture
async def shim(deployment: Deployment) -> AsyncIterator[Shim]:
    async with deployment.shim() as shim:
        yield shim


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def preview_at(url: str) -> Json:
    return {"live": {"url": url}, "last_frame": {"url": url}}


async def shown(shim: Shim, url: str, **headers: str) -> str:
    """Return a stream that a worker on this machine holds and says to show at a URL."""
    stream_id = await shim.create(v2_body())
    await show(DocumentedWorker(shim.http, headers={"Prefer": "wait=10"} | headers), stream_id, preview_at(url))
    return stream_id


async def show(worker: DocumentedWorker, stream_id: str, preview: Json) -> None:
    assert await worker.take() == [stream_id]
    worker.work[stream_id].preview = preview
    assert (await worker.report())["modified"] == []


def path(stream_id: str, view: str = "frame", api: int = 2) -> str:
    return f"/{api}/streams/{stream_id}/preview/handler/{view}"


async def look(shim: Shim, stream_id: str, view: str = "frame") -> httpx.Response:
    return await shim.http.get(path(stream_id, view))


def refusal(answer: httpx.Response) -> tuple[int, int, str]:
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    return answer.status_code, body["error_code"], body["detail"]


NOT_PERMITTED = (
    500,
    39010,
    "The preview url leads neither to the worker of the stream nor into LUNA_SHIM_PREVIEW_NETWORKS",
)


# --- what passes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", [1, 2])
async def test_the_last_frame_passes_as_the_worker_sends_it(shim: Shim, api: int) -> None:
    async with picture_server(answer(JPEG, "image/jpeg", Set_Cookie="a=b", X_Powered_By="worker")) as server:
        stream_id = await shown(shim, server.url + "/last frame?size=%2F1".replace(" ", "%20"))
        headers = {"Authorization": "Bearer mine", "Cookie": "session=1", "Luna-Request-Id": "1536751345,mine"}

        frame = await shim.http.get(path(stream_id, "frame", api), headers=headers)

        assert (frame.status_code, frame.content) == (200, JPEG)
        assert frame.headers["Content-Type"] == "image/jpeg"
        assert frame.headers["Content-Length"] == str(len(JPEG))
        assert frame.headers["Luna-Request-Id"] == "1536751345,mine"
        assert frame.headers["X-Content-Type-Options"] == "nosniff"
        assert frame.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert frame.headers["Cache-Control"] == "no-store"
        assert not {"set-cookie", "x-powered-by"} & set(frame.headers)
        head = server.heads[0].lower()
        assert head.startswith("get /last%20frame?size=%2f1 http/1.1\r\n")
        assert "luna-request-id: 1536751345,mine" in head
        assert "authorization" not in head
        assert "cookie" not in head


async def test_live_pictures_come_one_by_one_and_end_with_the_viewer(shim: Shim) -> None:
    async with picture_server(movie()) as server:
        stream_id = await shown(shim, server.url)
        async with shim.http.stream("GET", path(stream_id, "live")) as live:
            assert live.status_code == 200
            assert live.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
            seen = b""
            async for chunk in live.aiter_raw():
                seen += chunk
                if seen.count(JPEG) >= 3:
                    break
        assert seen.startswith(PART)
        await eventually(lambda: server.open_count == 0, "the worker's connection is closed")


async def test_live_ends_when_the_worker_ends_it(shim: Shim) -> None:
    async with picture_server(movie(parts=3)) as server:
        stream_id = await shown(shim, server.url)
        live = await look(shim, stream_id, "live")
        assert (live.status_code, live.content) == (200, PART * 3)


async def test_live_ends_when_the_worker_dies(shim: Shim, caplog: pytest.LogCaptureFixture) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n"
    chunk = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(PART) + PART[:-5]  # and no more
    async with picture_server(raw(head + chunk)) as server:
        stream_id = await shown(shim, server.url)
        live = await look(shim, stream_id, "live")
        assert (live.status_code, live.content) == (200, PART[:-5])
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_a_slow_viewer_makes_the_worker_wait(shim: Shim) -> None:
    async with picture_server(movie(pause_s=0, part=bytes(2**20))) as server:
        stream_id = await shown(shim, server.url)
        async with shim.http.stream("GET", path(stream_id, "live")):
            before = -1
            deadline = time.monotonic() + PATIENCE_S
            while before != server.sent_bytes:  # grows until every buffer on the way is full
                assert time.monotonic() < deadline
                before = server.sent_bytes
                await asyncio.sleep(0.5)
            assert before < 64 * 2**20
        await eventually(lambda: server.open_count == 0, "the worker's connection is closed")


async def test_a_viewer_who_takes_nothing_is_given_up(shim: Shim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luna_api_shim.previews.pictures.VIEWER_TIMEOUT_S", 0.5)
    async with picture_server(movie(pause_s=0, part=bytes(2**20))) as server:
        stream_id = await shown(shim, server.url)
        async with shim.http.stream("GET", path(stream_id, "live")) as live:
            assert live.status_code == 200
            await eventually(lambda: server.open_count == 0, "the worker's connection is closed")


@pytest.mark.parametrize("view", VIEWS)
async def test_head_answers_the_headers_and_leaves_the_worker(shim: Shim, view: str) -> None:
    async with picture_server(movie() if view == "live" else answer()) as server:
        stream_id = await shown(shim, server.url)
        head = await shim.http.head(path(stream_id, view))
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"].startswith("multipart/" if view == "live" else "image/jpeg")
        await eventually(lambda: server.open_count == 0, "the worker's connection is closed")


@pytest.mark.parametrize("length", [b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n"])
async def test_a_picture_that_breaks_off_is_not_taken_for_a_whole_one(shim: Shim, length: bytes) -> None:
    async with picture_server(raw(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n" + length + JPEG[:100])) as server:
        stream_id = await shown(shim, server.url)
        with pytest.raises(httpx.RemoteProtocolError):
            await look(shim, stream_id)


async def test_the_shim_ends_at_once_though_somebody_watches(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(picture_server(movie(pause_s=3600)))
        viewer = await stack.enter_async_context(httpx.AsyncClient())
        async with deployment.shim() as shim:
            stream_id = await shown(shim, server.url)
            live = await stack.enter_async_context(viewer.stream("GET", shim.url + path(stream_id, "live")))
            pieces = aiter(live.aiter_raw())  # kept: without it the viewer is gone
            assert await anext(pieces)
        assert "graceful shutdown exceeded" not in caplog.text, "uvicorn did not wait until it had to cancel the viewer"
        await eventually(lambda: server.open_count == 0, "the worker's connection is closed")


# --- what there is not ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
async def test_an_unknown_stream_is_not_found(shim: Shim, view: str) -> None:
    unknown = "00000000-0000-4000-a000-000000642312"
    assert refusal(await look(shim, unknown, view)) == (404, 39001, f"Stream with id '{unknown}' not found")


async def test_another_account_does_not_see_the_picture(shim: Shim) -> None:
    async with picture_server(answer()) as server:
        stream_id = await shown(shim, server.url)
        for view in VIEWS:
            other = await shim.http.get(path(stream_id, view), params={"account_id": OTHER_ACCOUNT})
            assert refusal(other)[:2] == (404, 39001)
            wrong = await shim.http.get(path(stream_id, view), params={"account_id": "me"})
            assert refusal(wrong) == (400, 12012, "Bad query parameters 'account_id'")
        assert server.heads == []


@pytest.mark.parametrize("view", VIEWS)
async def test_a_stream_that_nobody_shows_has_no_preview(shim: Shim, view: str) -> None:
    stream_id = await shim.create(v2_body())
    missing = (404, 39009, f"Not found `live` preview url for stream with id '{stream_id}'.")
    assert refusal(await look(shim, stream_id, view)) == missing
    assert (await look(shim, stream_id, view)).json()["desc"] == "Forbidden"

    worker = DocumentedWorker(shim.http)
    other_view = {"last_frame": {"url": "http://127.0.0.1/"}} if view == "live" else {"live": {}, "last_frame": {}}
    await show(worker, stream_id, other_view)
    assert refusal(await look(shim, stream_id, view)) == missing


async def test_what_a_worker_showed_is_not_asked_for_when_it_has_stopped(shim: Shim) -> None:
    async with picture_server(answer()) as server:
        stream_id = await shown(shim, server.url)
        await shim.http.patch(f"/2/streams/{stream_id}", json={"status": "pause"})
        assert refusal(await look(shim, stream_id))[:2] == (404, 39009)
        assert server.heads == []


# --- what a worker may do wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
async def test_a_worker_that_is_not_there(shim: Shim, view: str) -> None:
    stream_id = await shown(shim, f"http://127.0.0.1:{free_port()}/")
    refused = await look(shim, stream_id, view)
    assert refusal(refused) == (500, 39010, "Connection refused")
    assert refused.json()["desc"] == "Preview processing error"
    assert refused.json()["link"].endswith("/code-39010")


async def test_a_worker_without_tls_is_not_asked_in_plain_text(shim: Shim) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # as servers do that hear TLS
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        stream_id = await shown(shim, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        refused = refusal(await look(shim, stream_id))
        assert refused == (500, 39010, "The TLS connection to the worker failed")


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        (answer(b"", status="404 Not Found"), "The worker answered 404"),
        (answer(b"", status="500 Oh"), "The worker answered 500"),
        (answer(b"", status="204 Nothing"), "The worker answered 204"),
        (answer(b"", status="206 Partial Content"), "The worker answered 206"),
        (answer(b"", status="304 Not Modified"), "The worker answered 304"),
        (answer(b"<script>", "text/html"), "The worker answered with something that is not a picture"),
        (answer(b"<svg/>", "image/svg+xml"), "The worker answered with something that is not a picture"),
        (answer(b"{}", "application/json"), "The worker answered with something that is not a picture"),
        (answer(b"", "image/jpeg, text/html"), "The worker answered with something that is not a picture"),
        (answer(b"", "image/jpeg;x=,text/html"), "The worker answered with something that is not a picture"),
        (answer(b"", "image/" + "x" * 300), "The worker answered with something that is not a picture"),
        (raw(b"HTTP/1.1 200 OK\r\n\r\n"), "The worker answered with something that is not a picture"),
        (answer(JPEG, Content_Encoding="gzip"), "The worker answered in an encoding that it was not asked for"),
        (raw(b"RTSP/1.0 200 OK\r\n\r\n"), "The worker broke off"),
        (raw(b""), "The worker broke off"),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20), "The worker broke off"),
    ],
    ids=lambda value: value if isinstance(value, str) else "answer",
)
async def test_a_worker_that_answers_wrongly(shim: Shim, script: Script, detail: str) -> None:
    async with picture_server(script) as server:
        stream_id = await shown(shim, server.url)
        for view in VIEWS:
            assert refusal(await look(shim, stream_id, view)) == (500, 39010, detail)
        await eventually(lambda: server.open_count == 0, "the worker's connections are closed")


async def test_pages_are_no_last_frames(shim: Shim) -> None:
    async with picture_server(movie()) as server:
        stream_id = await shown(shim, server.url)
        assert refusal(await look(shim, stream_id, "frame"))[:2] == (500, 39010)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_not_followed(shim: Shim, status: str) -> None:
    async with picture_server(answer()) as target:
        async with picture_server(answer(b"", status=status, Location=target.url)) as server:
            stream_id = await shown(shim, server.url)
            for view in VIEWS:
                told = refusal(await look(shim, stream_id, view))
                assert told == (500, 39010, f"The worker answered {status[:3]}; redirects are not followed")
        assert target.heads == []


async def test_a_worker_that_says_nothing_is_not_waited_for_for_ever(
    shim: Shim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luna_api_shim.previews.pictures.ANSWER_TIMEOUT_S", 0.2)
    async with picture_server(silence()) as server:
        stream_id = await shown(shim, server.url)
        assert refusal(await look(shim, stream_id)) == (500, 39010, "The worker does not answer in time")
        await eventually(lambda: server.open_count == 0, "the worker's connection is closed")


@pytest.mark.parametrize(("view", "limit"), [("frame", "FRAME_TIMEOUT_S"), ("live", "IDLE_TIMEOUT_S")])
async def test_a_worker_that_stops_in_the_middle_is_not_waited_for_for_ever(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, view: str, limit: str
) -> None:
    monkeypatch.setattr(f"luna_api_shim.previews.pictures.{limit}", 0.2)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\n"

    async def script(write: Any) -> None:
        await write(head + JPEG[:100])
        await asyncio.Event().wait()

    async with deployment.shim() as shim, picture_server(script) as server:
        stream_id = await shown(shim, server.url)
        with pytest.raises(httpx.RemoteProtocolError):
            await look(shim, stream_id, view)
        await eventually(lambda: server.open_count == 0, "the worker's connection is closed")


# --- where the shim goes, and where not -------------------------------------------------------------------------------


async def test_another_address_than_the_workers_is_not_asked(shim: Shim) -> None:
    async with picture_server(answer(), "127.0.0.2") as server:
        port = server.url.rpartition(":")[2]
        hosts = ["127.0.0.2", "[::ffff:127.0.0.2]", "0x7f000002"]
        for host in hosts:
            stream_id = await shown(shim, f"http://{host}:{port}/")
            for view in VIEWS:
                assert refusal(await look(shim, stream_id, view)) == NOT_PERMITTED, host
        assert server.heads == []


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "10.0.0.1", "[::1]", "0.0.0.1", "224.0.0.1"],
)
async def test_inner_addresses_are_not_asked(shim: Shim, host: str) -> None:
    assert refusal(await look(shim, await shown(shim, f"http://{host}/latest/meta-data"))) == NOT_PERMITTED


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]"])
async def test_the_worker_is_asked_however_it_writes_its_address(shim: Shim, host: str) -> None:
    async with picture_server(answer()) as server:
        port = server.url.rpartition(":")[2]
        stream_id = await shown(shim, f"http://{host}:{port}/frame#top")
        assert (await look(shim, stream_id)).content == JPEG
        head = server.heads[0].lower()
        assert f"host: {host.lower()}:{port}\r\n" in head
        assert "authorization" not in head


def address_of_this_machine() -> str | None:
    """Return an address that others have for this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # for documentation: nobody is there, and nothing is sent
        except OSError:
            return None
        return str(probe.getsockname()[0])


@pytest.mark.skipif(address_of_this_machine() is None, reason="this machine has no network")
async def test_a_worker_on_this_machine_may_show_at_any_address_of_the_machine(shim: Shim) -> None:
    """As FaceStream does whose VL_FACE_HOST is the address that people know, though it speaks over loopback."""
    host = address_of_this_machine()
    assert host is not None
    async with picture_server(answer(), host) as server:
        assert (await look(shim, await shown(shim, server.url))).content == JPEG
        hidden = await shown(shim, server.url, Via="1.1 proxy")
        assert refusal(await look(shim, hidden)) == NOT_PERMITTED


async def test_listed_networks_are_asked_too_but_never_the_forbidden_ones(deployment: Deployment) -> None:
    networks = load({"preview_networks": "127.0.0.0/30, 169.254.0.0/16,::/0"}, {}).preview_networks
    async with deployment.shim(preview_networks=networks) as shim, picture_server(answer(), "127.0.0.2") as server:
        assert (await look(shim, await shown(shim, server.url))).content == JPEG
        for url in ("http://169.254.169.254/", "http://[fe80::1]/", "http://127.0.0.4/", "http://[::127.0.0.4]/"):
            assert refusal(await look(shim, await shown(shim, url))) == NOT_PERMITTED, url


async def test_a_name_is_resolved_once(shim: Shim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means the worker when it is judged, and something else a moment later, leads nowhere else."""
    loop = asyncio.get_running_loop()
    answers = iter(["127.0.0.1", "127.0.0.2"])

    async def resolve(host: str, port: int, **_options: object) -> list[object]:
        assert host == "camera.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    async with picture_server(answer()) as server:
        stream_id = await shown(shim, server.url.replace("127.0.0.1", "camera.example"))
        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        assert (await look(shim, stream_id)).content == JPEG
        assert refusal(await look(shim, stream_id)) == NOT_PERMITTED
        assert len(server.heads) == 1


@pytest.mark.parametrize("host", ["worker.invalid", "x" * 60 + "." + "y" * 60, "a..b"])
async def test_a_name_that_is_none(shim: Shim, host: str) -> None:
    stream_id = await shim.create(v2_body())
    worker = DocumentedWorker(shim.http)
    await worker.take()
    worker.work[stream_id].preview = preview_at(f"http://{host}/")
    body = {"streams": [worker.work[stream_id].report()]}
    if (await shim.http.post("/2/streams/processing/feedback", json=body)).status_code == 400:
        return  # refused before it can do any harm
    assert refusal(await look(shim, stream_id))[:2] == (500, 39010)


@pytest.mark.parametrize(
    "forged",
    [
        {"X-Forwarded-For": "127.0.0.2"},
        {"Forwarded": "for=127.0.0.2"},
        {"X-Real-IP": "127.0.0.2"},
        {"Luna-Forwarded-For": "127.0.0.2"},
        {"Luna-Forwarded": "1", "Luna-Forwarded-For": "127.0.0.2"},
        {"Luna-Forwarded": "é", "Luna-Forwarded-For": "127.0.0.2"},
    ],
    ids=str,
)
async def test_a_worker_cannot_choose_where_it_is_heard_from(shim: Shim, forged: dict[str, str]) -> None:
    headers = {name: value.encode("latin-1") for name, value in forged.items()}
    async with picture_server(answer(), "127.0.0.2") as server:
        stream_id = await shown(shim, server.url, **headers)  # type: ignore[arg-type]  # bytes as httpx takes them
        assert refusal(await look(shim, stream_id)) == NOT_PERMITTED
        assert server.heads == []


async def test_behind_a_proxy_the_address_of_a_worker_is_not_known(shim: Shim) -> None:
    async with picture_server(answer()) as server:
        stream_id = await shown(shim, server.url, Via="1.1 proxy")
        assert refusal(await look(shim, stream_id)) == NOT_PERMITTED


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_workers_and_viewers_may_speak_ipv6(deployment: Deployment) -> None:
    async with deployment.shim(host="::1") as shim, picture_server(answer(), "::1") as server:
        assert (await look(shim, await shown(shim, server.url))).content == JPEG


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_a_worker_of_ipv4_is_known_by_its_own_address_on_a_socket_for_both(deployment: Deployment) -> None:
    async with deployment.shim(host="::", advertised_host="127.0.0.1") as shim, picture_server(answer()) as server:
        assert (await look(shim, await shown(shim, server.url))).content == JPEG


async def test_any_replica_shows_the_picture_whichever_the_worker_spoke_to(deployment: Deployment) -> None:
    async with deployment.shim() as leader, deployment.shim() as follower, picture_server(answer()) as server:
        assert not follower.service.election.is_leader
        stream_id = await shown(follower, server.url)
        for replica in (leader, follower):
            await replica.until(stream_id, preview=preview_at(server.url))
            assert (await look(replica, stream_id)).content == JPEG


# --- processors of this cluster ---------------------------------------------------------------------------------------


async def test_a_processor_is_asked_at_the_address_of_its_pod_only(any_api: ApiServer) -> None:
    async with a_deployment(any_api) as deployment, deployment.shim() as shim:
        await check_a_processor(deployment, shim)


async def check_a_processor(deployment: Deployment, shim: Shim) -> None:
    pod, token = await deployment.pod_with_token()
    ref = PODS.at(deployment.namespace, pod["metadata"]["name"])
    await deployment.kube.patch(ref.status, {"status": {"podIP": "127.0.0.3", "podIPs": [{"ip": "127.0.0.3"}]}})
    worker = DocumentedWorker(shim.http, headers={"Authorization": f"Bearer {token}", "Luna-Worker-Id": "p-1"})
    async with picture_server(answer(), "127.0.0.3") as own, picture_server(answer(), "127.0.0.1") as other:
        for url, is_permitted in ((own.url, True), (other.url, False)):
            stream_id = await shim.create(v2_body())
            await deployment.assign(stream_id, pod)
            await eventually(lambda: shim.service.store.catalogue.of_pod(pod["metadata"]["uid"]), "the assignment")
            await show(worker, stream_id, preview_at(url))
            seen = await look(shim, stream_id)
            assert seen.content == JPEG if is_permitted else refusal(seen) == NOT_PERMITTED
            await worker.finish(stream_id)
        assert other.heads == []
