"""The worker's side of the protocol where the server or a stream is not as it should be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from luna_processor.errors import ReportRefused, ServerUnavailable
from luna_processor.selection.sending import SendingPolicy
from luna_processor.server.streams_api import StreamsApi, UnreadableStream
from luna_processor.settings import PREFIX, load
from luna_processor.streams.plan import Platform, make_plan
from luna_streams.policies import Preview
from luna_streams.rest.messages import FeedbackItem, QueueFilters
from luna_streams.rest.submission import QueuedStream
from support.http_servers import serving
from support.processor_builders import STREAM_ID
from support.streams_server import HANDLER, genuine_stream_v1, stream_v2

ORIGIN = "http://127.0.0.1:9"
QUEUE = "/2/streams/processing/queue"
GOOD = {**stream_v2("/clip.mp4"), "stream_id": STREAM_ID, "version": 1, "status": "in_progress", "groups": []}
ITEM = FeedbackItem(
    stream_id=STREAM_ID, status="in_progress", version=1, error=None, video_info=None, preview=Preview()
)


async def ask(answer: Callable[[Request], Response], call: Callable[[StreamsApi], Any], api_version: str = "2") -> Any:
    """Return what a call gives against a server that answers every request the same way."""

    async def endpoint(request: Request) -> Response:
        return answer(request)

    app = Starlette(routes=[Route("/{path:path}", endpoint, methods=["POST"])])
    async with serving(app) as origin, aclosing(StreamsApi(origin, api_version, "worker", lambda: None)) as api:
        return await call(api)


async def take(*streams: Any, api_version: str = "2") -> list[QueuedStream | UnreadableStream]:
    answer = JSONResponse({"streams": streams})
    return list(await ask(lambda _request: answer, lambda api: api.take(QueueFilters(), 5, 0), api_version))


async def test_a_stream_that_cannot_be_read_is_told_apart_from_the_others() -> None:
    broken = {**GOOD, "data": {"type": "smell", "reference": "x", "analytics": []}}
    bad, good = await take(broken, GOOD)
    assert isinstance(bad, UnreadableStream)
    assert (bad.stream_id, bad.version) == (STREAM_ID, 1)
    assert bad.reason.startswith("stream is not understood: data")
    assert isinstance(good, QueuedStream)


@pytest.mark.parametrize(
    "nameless", ["text", None, {}, {**GOOD, "stream_id": "x"}, {**GOOD, "version": 0}, {**GOOD, "version": None}]
)
async def test_a_stream_that_cannot_be_named_in_a_report_is_left_out(nameless: object) -> None:
    assert len(await take(nameless, GOOD)) == 1


async def test_fields_that_a_newer_server_adds_are_ignored() -> None:
    [stream] = await take({**GOOD, "colour": "blue"})
    assert isinstance(stream, QueuedStream)


async def test_streams_are_read_as_a_genuine_server_writes_them() -> None:
    """Nulls, fields that the document does not have, and whole numbers as floats."""
    body = {**genuine_stream_v1("/clip.mp4", "http://lp:5000"), "stream_id": STREAM_ID, "version": 2.0, "groups": []}
    body |= {
        "status": "in_progress",
        "last_error": None,
        "video_info": None,
        "create_time": "2025-03-14T13:53:31+05:00",
    }
    [stream] = await take(body, api_version="1")
    assert isinstance(stream, QueuedStream)
    plan = make_plan(stream, Platform(None, 6))
    [analytics] = plan.analytics
    assert plan.version == 2
    assert analytics.target.url == f"http://lp:5000/6/handlers/{HANDLER}/events"
    assert analytics.target.frame_store == "http://lp:5000/6/images"
    assert analytics.sending == SendingPolicy()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"modified": [], "unmodified": [{"stream_id": STREAM_ID, "version": 1, "status": "in_progress"}]}),
        pytest.param(
            {"modified": [{"stream_id": STREAM_ID, "version": 0, "status": "not_found", "why": "x"}], "unmodified": []}
        ),
        pytest.param({"modified": [], "unmodified": [], "next": None}),
    ],
    ids=["as it was", "not found", "more than the document has"],
)
async def test_answers_to_reports_are_read_as_a_genuine_server_writes_them(answer: dict[str, Any]) -> None:
    told = await ask(lambda _: JSONResponse({"streams": answer, "server": "1.1.18"}), lambda api: api.report([ITEM]))
    assert [stream.status for stream in told.modified] == [stream["status"] for stream in answer["modified"]]


@asynccontextmanager
async def raw_server(answer: bytes, *, closes: bool) -> AsyncIterator[StreamsApi]:
    """Serve these bytes, whatever is asked; yields a client of the server."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if not closes:
            await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, aclosing(StreamsApi(origin, "2", "worker", lambda: None)) as api:
        yield api
        await over.wait()


@pytest.mark.parametrize("length", [0, 20, 2000])
async def test_an_answer_that_is_cut_off_is_an_error_with_a_name(length: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    async with raw_server((head + b'{"streams": [' + b" " * 2000)[:length], closes=True) as api:
        with pytest.raises(ServerUnavailable, match="does not answer"):
            await api.take(QueueFilters(), 1, 0)


async def test_a_server_that_is_too_slow_is_an_error_with_a_name() -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\n", closes=False) as api:
        with pytest.raises(ServerUnavailable, match="no answer within the timeout"):
            await api.report([ITEM], timeout_s=0.2)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(lambda _: JSONResponse({"detail": "x"}, 500), ServerUnavailable, id="500"),
        pytest.param(lambda _: JSONResponse({}, 404), ServerUnavailable, id="404"),
        pytest.param(lambda _: JSONResponse({}, 401), ServerUnavailable, id="401"),
        pytest.param(lambda _: Response("<html>"), ServerUnavailable, id="no JSON"),
        pytest.param(lambda _: JSONResponse([1]), ServerUnavailable, id="something else"),
        pytest.param(lambda _: JSONResponse({"detail": "Path: 'limit'"}, 400), ReportRefused, id="400"),
    ],
)
async def test_answers_that_are_none_are_errors_with_a_name(
    answer: Callable[[Request], Response], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await ask(answer, lambda api: api.take(QueueFilters(), 1, 0))
    with pytest.raises(error):
        await ask(answer, lambda api: api.report([ITEM]))


async def test_the_token_is_sent_and_an_unreadable_one_is_an_error_with_a_name() -> None:
    seen: list[Request] = []

    async def endpoint(request: Request) -> Response:
        seen.append(request)
        return JSONResponse({"streams": []})

    def unreadable() -> None:
        raise FileNotFoundError(2, "No such file or directory")

    async with (
        serving(Starlette(routes=[Route(QUEUE, endpoint, methods=["POST"])])) as origin,
        aclosing(StreamsApi(origin, "2", "worker", lambda: SecretStr("pod-token"))) as knows,
        aclosing(StreamsApi(origin, "2", "worker", unreadable)) as does_not,
    ):
        await knows.take(QueueFilters(), 1, 0)
        with pytest.raises(ServerUnavailable, match="token file cannot be read"):
            await does_not.take(QueueFilters(), 1, 0)
    assert seen[0].headers["authorization"] == "Bearer pod-token"
    assert seen[0].headers["luna-worker-id"] == "worker"


@pytest.mark.parametrize(
    "secret", ["two\nsecrets", "s\u00e9cret", "a secret", ""], ids=["lines", "accent", "blank", "empty"]
)
async def test_a_token_that_no_header_can_hold_is_told_and_not_quoted(secret: str) -> None:
    async def endpoint(_request: Request) -> Response:
        return JSONResponse({"streams": []})

    async with (
        serving(Starlette(routes=[Route(QUEUE, endpoint, methods=["POST"])])) as origin,
        aclosing(StreamsApi(origin, "2", "worker", lambda: SecretStr(secret))) as api,
    ):
        with pytest.raises(ServerUnavailable, match="no token can have") as refusal:
            await api.take(QueueFilters(), 1, 0)
    assert "cret" not in str(refusal.value)


async def test_a_token_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xff\xfe")
    async with aclosing(
        StreamsApi(ORIGIN, "2", "worker", load({"token_file": str(path)}, {f"{PREFIX}STREAMS_ORIGIN": ORIGIN}).token)
    ) as api:
        with pytest.raises(ServerUnavailable, match="it is no text"):
            await api.take(QueueFilters(), 1, 0)


@pytest.mark.parametrize(("status", "counts"), [(200, True), (400, True), (503, True), (401, False)])
async def test_only_a_server_that_knows_the_worker_has_answered(status: int, counts: bool) -> None:
    async def answered_at(api: StreamsApi) -> float:
        with suppress(ServerUnavailable, ReportRefused):
            await api.take(QueueFilters(), 1, 0)
        return api.answered_at

    at = await ask(lambda _request: JSONResponse({"streams": []}, status), answered_at)
    assert (at > 0) is counts
