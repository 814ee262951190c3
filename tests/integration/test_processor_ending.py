"""What becomes of tracks that go on when a worker is told to end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from luna_processor.delivery.accounts import Account
from luna_processor.delivery.events import ShotEvent
from luna_processor.frames import Frame, SourceInfo
from luna_processor.interface.metrics import Metrics
from luna_processor.server.streams_api import StreamsApi
from luna_processor.server.worker import Worker, WorkerSettings
from luna_processor.streams.pipeline import Stages
from luna_processor.streams.plan import Platform, SourcePlan
from luna_processor.streams.run import RunContext
from luna_processor.streams.scene import Estimators
from luna_streams.policies import Preview
from luna_streams.rest.messages import QueueFilters
from support.films import face
from support.frames import ArrayFrame, PaintDetector, ToldMouth, ToldPose
from support.http_servers import serving
from support.processor_builders import STREAM_ID
from support.stream_runs import MadeSource, Nowhere
from support.streams_server import stream_v2
from support.waiting import eventually

FPS = 10.0


class Counting(Nowhere):
    """Counts the events that it takes."""

    count = 0

    def submit(self, event: ShotEvent, account: Account, wait_unless: Callable[[], bool] | None) -> bool:
        self.count += 1
        return True


def somebody(ended: threading.Event) -> Iterator[Frame]:
    """Yield a face that stands still until the test ends."""
    picture, number = face(), 0
    while not ended.wait(0.01):
        yield ArrayFrame(picture, number, number / FPS)
        number += 1


def server_of(body: dict[str, Any]) -> Starlette:
    """Return a server that hands out one stream, once."""
    waiting = [{**body, "stream_id": STREAM_ID, "version": 1, "status": "in_progress", "groups": []}]

    async def queue(_request: Request) -> Response:
        streams = waiting.copy()
        waiting.clear()
        return JSONResponse({"streams": streams})

    async def feedback(_request: Request) -> Response:
        return JSONResponse({"streams": {"modified": [], "unmodified": []}})

    prefix = "/2/streams/processing"
    return Starlette(
        routes=[
            Route(f"{prefix}/queue", queue, methods=["POST"]),
            Route(f"{prefix}/feedback", feedback, methods=["POST"]),
        ]
    )


@pytest.mark.parametrize(
    ("kind", "reference", "is_sent"),
    [("videofile", "/clip.mp4", False), ("images", "/pictures", False), ("tcp", "rtsp://cam/1", True)],
    ids=["file", "pictures", "camera"],
)
async def test_only_what_will_not_come_again_is_sent_unfinished(kind: str, reference: str, is_sent: bool) -> None:
    body = stream_v2(reference, kind=kind)
    body["data"] |= {"mask": "%d.jpg"} if kind == "images" else {}
    delivery, ended = Counting(), threading.Event()
    stages = Stages(PaintDetector(0), PaintDetector(1), Estimators(ToldPose(), ToldMouth()))

    def open_source(plan: SourcePlan, is_stopped: Callable[[], bool], /) -> MadeSource:
        return MadeSource(SourceInfo(320, 240, FPS, 0, None), lambda: somebody(ended))

    async with serving(server_of(body)) as origin, aclosing(StreamsApi(origin, "2", "worker", lambda: None)) as api:
        worker = Worker(
            api,
            WorkerSettings(1, QueueFilters(), 0.0, 5.0, 10.0),
            Platform("http://platform", 6),
            lambda on_change: RunContext(stages, delivery, Metrics(), on_change, open_source),
            lambda _stream_id: Preview(),
        )
        working = asyncio.create_task(worker.serve())
        try:
            await eventually(lambda: [run for run in worker.runs if run.stats.live_tracks], "somebody is followed")
            assert delivery.count == 0
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
            await worker.stop_all()
        finally:
            ended.set()
            working.cancel()
    assert delivery.count == is_sent
