"""The worker's side of the protocol where the server or a stream is not as it should be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from luna_processor.errors import ReportRefused, ServerUnavailable
from luna_processor.streams_api import StreamsApi, UnreadableStream
from luna_streams.policies import Preview
from luna_streams.rest.messages import FeedbackItem, QueueFilters
from luna_streams.rest.submission import QueuedStream
from support.http_servers import serving
from support.processor_builders import STREAM_ID
from support.streams_server import stream_v2

QUEUE = "/2/streams/processing/queue"
GOOD = {**stream_v2("/clip.mp4"), "stream_id": STREAM_ID, "version": 1, "status": "in_progress", "groups": []}
ITEM = FeedbackItem(
    stream_id=STREAM_ID, status="in_progress", version=1, error=None, video_info=None, preview=Preview()
)


async def ask(answer: Callable[[Request], Response], call: Callable[[StreamsApi], Any]) -> Any:
    """Return what a call gives against a server that answers every request the same way."""

    async def endpoint(request: Request) -> Response:
        return answer(request)

    app = Starlette(routes=[Route("/{path:path}", endpoint, methods=["POST"])])
    async with serving(app) as origin, aclosing(StreamsApi(origin, "2", "worker", lambda: None)) as api:
        return await call(api)


async def take(*streams: Any) -> list[QueuedStream | UnreadableStream]:
    taken = await ask(lambda _request: JSONResponse({"streams": streams}), lambda api: api.take(QueueFilters(), 5, 0))
    return list(taken)


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


@pytest.mark.parametrize(("status", "counts"), [(200, True), (400, True), (503, True), (401, False)])
async def test_only_a_server_that_knows_the_worker_has_answered(status: int, counts: bool) -> None:
    async def answered_at(api: StreamsApi) -> float:
        with suppress(ServerUnavailable, ReportRefused):
            await api.take(QueueFilters(), 1, 0)
        return api.answered_at

    at = await ask(lambda _request: JSONResponse({"streams": []}, status), answered_at)
    assert (at > 0) is counts
