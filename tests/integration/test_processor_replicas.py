"""Workers before several replicas of LUNA Streams, one of which is no longer what it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from luna_processor.errors import ServerUnavailable
from luna_processor.server.streams_api import StreamsApi
from luna_streams.rest.messages import FeedbackItem, QueueFilters
from support.balancer import balancer
from support.event_sink import event_sink
from support.http_servers import serving
from support.media import plain_pictures, write_clip
from support.processor_builders import STREAM_ID
from support.processors import processor
from support.relay import Relay
from support.streams_server import StreamsServer, stream_v2
from support.waiting import eventually

ITEM = FeedbackItem(stream_id=STREAM_ID, status="in_progress", version=1, error=None, video_info=None)


class Replica:
    """A server that counts its requests, and fails when it is told to."""

    def __init__(self) -> None:
        self.request_count = 0
        self.status = 200

    def app(self) -> Starlette:
        async def answer(_request: Request) -> Response:
            self.request_count += 1
            return JSONResponse({"streams": {"modified": [], "unmodified": []}}, self.status)

        return Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])


@asynccontextmanager
async def behind_one_address(*apps: Starlette) -> AsyncIterator[tuple[str, list[Relay]]]:
    """Serve replicas; yields their common origin, and the wire to each."""
    async with AsyncExitStack() as stack:
        origins = [await stack.enter_async_context(serving(app)) for app in apps]
        wires = [await stack.enter_async_context(Relay(origin).running()) for origin in origins]
        yield await stack.enter_async_context(balancer(wires)), wires


async def test_a_worker_stays_with_a_replica_while_it_answers() -> None:
    first, second = Replica(), Replica()
    async with (
        behind_one_address(first.app(), second.app()) as (origin, _),
        aclosing(StreamsApi(origin, "2", "worker", lambda: None)) as api,
    ):
        for _ in range(3):
            await api.report([ITEM])
    assert (first.request_count, second.request_count) == (3, 0)


@pytest.mark.parametrize("trouble", ["silent", "gone", "failing"])
async def test_after_a_failed_report_the_next_one_reaches_another_replica(trouble: str) -> None:
    first, second = Replica(), Replica()
    async with (
        behind_one_address(first.app(), second.app()) as (origin, wires),
        aclosing(StreamsApi(origin, "2", "worker", lambda: None)) as api,
    ):
        await api.report([ITEM])
        if trouble == "silent":
            wires[0].freeze()
        elif trouble == "gone":
            wires[0].cut()
        else:
            first.status = 503
        with pytest.raises(ServerUnavailable):
            await api.report([ITEM], timeout_s=0.3)
        await api.report([ITEM])
    assert second.request_count == 1


async def test_a_failed_report_leaves_the_request_for_streams_alone() -> None:
    """The server may be handing a stream over at that moment, which would be lost with the connection."""
    queue, reports = StreamsServer(), Replica()
    reports.status = 503
    async with (
        behind_one_address(queue.app(), reports.app()) as (origin, wires),
        aclosing(StreamsApi(origin, "2", "worker", lambda: None)) as api,
    ):
        await api.take(QueueFilters(), 1, 0)
        connections_before = len(wires[0].requests)
        with suppress(ServerUnavailable):
            await api.report([ITEM])
        await api.take(QueueFilters(), 1, 0)
        assert (connections_before, len(wires[0].requests)) == (1, 2)


async def test_streams_go_on_while_one_of_two_replicas_is_silent(tmp_path: Path) -> None:
    server = StreamsServer()
    body = stream_v2(str(write_clip(tmp_path / "slow.mp4", plain_pictures(50))))
    body["data"]["real_time_mode_fps"] = 1
    async with behind_one_address(server.app(), server.app()) as (origin, wires), event_sink() as sink:
        stream_id = server.add(body)
        patience = ("--feedback-period", "0.5", "--max-feedback-delay", "8")
        async with processor(origin, "--platform-origin", sink.origin, *patience) as running:
            record = server.streams[stream_id]
            await eventually(lambda: len(record.feedback) > 2, "the stream is reported", 150)
            before = len(record.feedback)
            max(wires, key=lambda wire: len(wire.requests)).freeze()  # that of the reports: the queue is asked rarely
            await eventually(lambda: len(record.feedback) > before + 3, "it is reported through the other")
            assert "no report was answered" not in "".join(running.log)
            assert record.history == ["pending", "in_progress"]
