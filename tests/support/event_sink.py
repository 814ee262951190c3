"""LUNA PLATFORM and a webhook for tests of workers: real HTTP, keeps events and frames, does wrong what it is told to.

Whatever format an event comes in, it is kept in the words of the classic one.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import ormsgpack
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.http_servers import serving


@dataclass
class SinkEvent:
    """One accepted event."""

    headers: dict[str, str]
    query: dict[str, str]
    """Of other formats, what stands in its place."""
    meta: dict[str, Any]
    images: list[bytes]
    path: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    """The whole body, where it is one piece."""

    @property
    def detection(self) -> dict[str, Any]:
        """The first detection."""
        return dict(self.meta["detections"][0])

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        box = self.detection["face_detection_data"][0]["bounding_box"]
        return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]

    def image_size(self, index: int = 0) -> tuple[int, int]:
        return Image.open(io.BytesIO(self.images[index])).size


class EventSink:
    """What arrived, and how to answer."""

    def __init__(self) -> None:
        self.events: list[SinkEvent] = []
        self.attempts: list[dict[str, str]] = []
        """Headers of every request, also of refused ones."""
        self.attempted_at_s: list[float] = []
        """When they came, by the monotonic clock."""
        self.frames: list[bytes] = []
        self.status = 201
        self.headers: dict[str, str] = {}
        """Of answers that refuse."""
        self.takes: int | None = None
        """How many events; those that come then are answered with 503."""
        self.frame_status = 201
        self.delay_s = 0.0
        self.origin = ""

    def forget(self) -> None:
        """Forget what arrived; take everything again, at once."""
        self.events.clear()
        self.attempts.clear()
        self.attempted_at_s.clear()
        self.frames.clear()
        self.status = self.frame_status = 201
        self.takes = None
        self.headers = {}
        self.delay_s = 0.0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/6/handlers/{handler_id}/events", self._events, methods=["POST"]),
                Route("/6/handlers/{handler_id}/stream_events", self._stream_events, methods=["POST"]),
                Route("/hook", self._cloud_event, methods=["POST"]),
                Route("/1/buckets/{bucket}/images", self._images, methods=["POST"]),
                Route("/6/images", self._images, methods=["POST"]),
            ]
        )

    async def _events(self, request: Request) -> Response:
        return await self._take(request, _classic)

    async def _stream_events(self, request: Request) -> Response:
        return await self._take(request, _stream_events)

    async def _cloud_event(self, request: Request) -> Response:
        return await self._take(request, _cloud_event)

    async def _take(self, request: Request, read: Callable[[Request], Awaitable[SinkEvent]]) -> Response:
        self.attempts.append(dict(request.headers))
        self.attempted_at_s.append(time.monotonic())
        await asyncio.sleep(self.delay_s)
        if self.status != 201:
            return JSONResponse({}, status_code=self.status, headers=self.headers)
        event = await read(request)
        if self.takes is not None and len(self.events) >= self.takes:
            return JSONResponse({}, status_code=503, headers=self.headers)
        self.events.append(event)
        return JSONResponse({"events": []}, status_code=201)

    async def _images(self, request: Request) -> Response:
        if self.frame_status != 201:
            return JSONResponse({}, status_code=self.frame_status)
        self.frames.append(await request.body())
        url = f"{request.url.path}/{len(self.frames)}"
        return JSONResponse({"image_id": str(len(self.frames)), "url": url}, status_code=201)


async def _classic(request: Request) -> SinkEvent:
    async with request.form() as form:
        images = [await value.read() for _, value in form.multi_items() if isinstance(value, UploadFile)]
        meta = json.loads(str(form["meta"]))
    return SinkEvent(dict(request.headers), dict(request.query_params), meta, images, request.url.path)


async def _stream_events(request: Request) -> SinkEvent:
    body = ormsgpack.unpackb(await request.body())
    [event] = body["events"]
    images = [source.pop("body") for source in event["sources"]]
    query = {**event["source_data"], "aggregate_attributes": str(event["aggregate_attributes"])}
    meta = {"detections": event["sources"]}
    return SinkEvent(dict(request.headers), query, meta, images, request.url.path, body)


async def _cloud_event(request: Request) -> SinkEvent:
    body = await request.json()
    data = body["data"]
    images = [base64.b64decode(shot.pop("image_base64")) for shot in data["shots"]]
    query = {name: data[name] for name in ("source", "track_id", "stream_id")}
    path = f"{request.url.path}?{request.url.query}"
    return SinkEvent(dict(request.headers), query, {"detections": data["shots"]}, images, path, body)


@asynccontextmanager
async def event_sink() -> AsyncIterator[EventSink]:
    """Run a sink; yields it with its `origin` set."""
    sink = EventSink()
    async with serving(sink.app()) as origin:
        sink.origin = origin
        yield sink


@pytest.fixture
async def sink() -> AsyncIterator[EventSink]:
    """A LUNA PLATFORM for the test."""
    async with event_sink() as running:
        yield running
