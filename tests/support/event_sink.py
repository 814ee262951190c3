"""LUNA PLATFORM for tests of workers: real HTTP, keeps events and frames, and does wrong what it is told to."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

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
    meta: dict[str, Any]
    images: list[bytes]

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
        self.frames: list[bytes] = []
        self.status = 201
        self.frame_status = 201
        self.delay_s = 0.0
        self.origin = ""

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/6/handlers/{handler_id}/events", self._events, methods=["POST"]),
                Route("/1/buckets/{bucket}/images", self._images, methods=["POST"]),
            ]
        )

    async def _events(self, request: Request) -> Response:
        self.attempts.append(dict(request.headers))
        await asyncio.sleep(self.delay_s)
        if self.status != 201:
            return JSONResponse({}, status_code=self.status)
        async with request.form() as form:
            images = [await value.read() for _, value in form.multi_items() if isinstance(value, UploadFile)]
            meta = json.loads(str(form["meta"]))
        self.events.append(SinkEvent(dict(request.headers), dict(request.query_params), meta, images))
        return JSONResponse({"events": []}, status_code=201)

    async def _images(self, request: Request) -> Response:
        if self.frame_status != 201:
            return JSONResponse({}, status_code=self.frame_status)
        self.frames.append(await request.body())
        url = f"/1/buckets/{request.path_params['bucket']}/images/{len(self.frames)}"
        return JSONResponse({"image_id": str(len(self.frames)), "url": url}, status_code=201)


@asynccontextmanager
async def event_sink() -> AsyncIterator[EventSink]:
    """Run a sink; yields it with its `origin` set."""
    sink = EventSink()
    async with serving(sink.app()) as origin:
        sink.origin = origin
        yield sink
