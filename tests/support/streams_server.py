"""A LUNA Streams server for tests of workers: real HTTP, the documented queue and feedback, everything in memory.

It follows the decision table of feedback (spec, behaviour of the original) for the few statuses tests need, and can be
told to fail, to stall and to forget.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.http_servers import serving

ACCOUNT = "8950722f-3fd4-4223-b48f-03f95f0e8dfb"
HANDLER = "e2c3b1ea-6d0b-4a7d-9b3c-5f4d0b6c7a11"


@dataclass
class StreamRecord:
    """A stream as the server keeps it."""

    body: dict[str, Any]
    status: str = "pending"
    version: int = 1
    history: list[str] = field(default_factory=lambda: ["pending"])
    last_error: str | None = None
    video_info: dict[str, Any] | None = None
    preview: dict[str, Any] | None = None
    feedback: list[dict[str, Any]] = field(default_factory=list)

    def move(self, status: str) -> None:
        self.status = status
        self.history.append(status)


class StreamsServer:
    """The records, and what the server is told to do wrong."""

    def __init__(self) -> None:
        self.streams: dict[str, StreamRecord] = {}
        self.queue_requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.queue_moments_s: list[float] = []
        """When each of them came, monotonic seconds."""
        self.feedback_count = 0
        self.fails = False
        """Answer every request with 500."""
        self.hears_reports = True
        """Answers reports with 500 if not."""
        self.understands_prefer = True
        self.origin = ""
        self._news = asyncio.Event()

    def forget(self) -> None:
        """Delete all streams; do nothing wrong any more."""
        self.streams.clear()
        self.fails, self.hears_reports, self.understands_prefer = False, True, True

    def add(self, body: dict[str, Any]) -> str:
        stream_id = str(uuid4())
        self.streams[stream_id] = StreamRecord(body)
        self._news.set()
        return stream_id

    def change(self, stream_id: str, status: str, *, raises_version: bool = False) -> None:
        """Do what a user does by PATCH or PUT."""
        record = self.streams[stream_id]
        record.version += raises_version
        record.move(status)
        self._news.set()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/{version}/streams/processing/queue", self._queue, methods=["POST"]),
                Route("/{version}/streams/processing/feedback", self._feedback, methods=["POST"]),
            ]
        )

    async def _queue(self, request: Request) -> Response:
        body = await request.json()
        self.queue_requests.append((dict(request.headers), body))
        self.queue_moments_s.append(time.monotonic())
        if self.fails:
            return JSONResponse({"error_code": 1, "detail": "internal server error"}, status_code=500)
        wait_s = float(request.headers.get("prefer", "wait=0").removeprefix("wait=")) if self.understands_prefer else 0
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            if await request.is_disconnected():  # first: what such a worker takes, nobody has
                return Response(status_code=499)
            taken = self._take(body["limit"], body["filters"])
            remaining = deadline - asyncio.get_running_loop().time()
            if taken or remaining <= 0 or self.fails:
                return JSONResponse({"streams": taken})
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(remaining, 0.1))

    def _take(self, limit: int, filters: dict[str, Any]) -> list[dict[str, Any]]:
        taken: list[dict[str, Any]] = []
        for stream_id, record in self.streams.items():
            wanted = not filters.get("names") or record.body["name"] in filters["names"]
            if record.status == "pending" and wanted and len(taken) < limit:
                record.move("in_progress")
                taken.append(
                    {
                        **record.body,
                        "stream_id": stream_id,
                        "version": record.version,
                        "status": "in_progress",
                        "last_error": None,
                        "video_info": None,
                        "groups": [],
                        "create_time": "2024-01-01T00:00:00Z",
                    }
                )
        return taken

    async def _feedback(self, request: Request) -> Response:
        if self.fails or not self.hears_reports:
            return JSONResponse({"error_code": 1, "detail": "internal server error"}, status_code=500)
        self.feedback_count += 1
        answer: dict[str, list[dict[str, Any]]] = {"modified": [], "unmodified": []}
        for item in (await request.json())["streams"]:
            kind, known = self._take_in(item)
            answer[kind].append({"stream_id": item["stream_id"], **known})
        return JSONResponse({"streams": answer})

    def _take_in(self, item: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        record = self.streams.get(item["stream_id"])
        if record is None:
            return "modified", {"status": "not_found", "version": 0}
        record.feedback.append(item)
        known = {"status": record.status, "version": record.version}
        if record.version != item["version"]:
            return "modified", known
        if record.status == "in_progress":
            record.last_error, record.video_info = item["error"], item["video_info"]
            record.preview = item.get("preview", record.preview)
            if item["status"] != "in_progress":
                record.move(item["status"])
            return "unmodified", {"status": record.status, "version": record.version}
        return ("unmodified" if record.status == item["status"] else "modified"), known


@asynccontextmanager
async def streams_server() -> AsyncIterator[StreamsServer]:
    """Run a server; yields it with its `origin` set."""
    server = StreamsServer()
    async with serving(server.app()) as origin:
        server.origin = origin
        yield server


def stream_v2(reference: str, *, kind: str = "videofile", name: str = "cam", **analytics: Any) -> dict[str, Any]:
    """Return a stream as POST /2/streams takes it; `analytics` are merged into its only analytics."""
    return {
        "account_id": ACCOUNT,
        "name": name,
        "description": "",
        "data": {
            "type": kind,
            "reference": reference,
            "analytics": [
                {
                    "mode": 1,
                    "event_handler": {
                        "type": "luna_handler",
                        "handler_id": HANDLER,
                        "frame_store": None,
                        "authorization": {"account_id": ACCOUNT},
                    },
                    **analytics,
                }
            ],
        },
        "location": {},
        "autorestart": {"restart": 0, "attempt_count": 10, "delay": 60},
    }


def stream_v1(reference: str, origin: str, *, kind: str = "videofile", name: str = "cam") -> dict[str, Any]:
    """Return a stream as POST /1/streams takes it."""
    return {
        "account_id": ACCOUNT,
        "name": name,
        "description": "",
        "data": {"type": kind, "reference": reference},
        "event_handler": {
            "origin": origin,
            "api_version": 6,
            "bestshot_handler": {"handler_id": HANDLER},
            "frame_store": None,
            "authorization": {"account_id": ACCOUNT},
        },
        "policies": {},
        "location": {},
        "autorestart": {"restart": 0, "attempt_count": 10, "delay": 60},
    }


def genuine_stream_v1(reference: str, origin: str) -> dict[str, Any]:
    """Return a stream of version 1 as real installations hand it over: all filled in, nulls, numbers as they come.

    Fields that the document does not have, whole numbers written as floats, and the slash behind the origin included.
    """
    return {
        "account_id": ACCOUNT,
        "name": "Entrance",
        "description": "",
        "data": {
            "type": "videofile",
            "reference": reference,
            "roi": {"x": 0, "y": 0, "width": 0, "height": 0, "mode": "abs"},
            "droi": {"x": 0, "y": 0, "width": 0, "height": 0, "mode": "abs"},
            "rotation": 0,
            "preferred_program_stream_frame_width": 800.0,
            "codec_hint": None,
        },
        "event_handler": {
            "origin": f"{origin}/",
            "api_version": 6.0,
            "bestshot_handler": {"handler_id": HANDLER, "kind": "static"},
            "detection_handler": None,
            "frame_store": f"{origin}/6/images",
            "authorization": {"account_id": ACCOUNT},
        },
        "policies": {
            "sending": {
                "time_period_of_searching": -1.0,
                "silent_period": 0,
                "type": "sec",
                "number_of_bestshots_to_send": 1.0,
                "send_only_full_set": True,
                "delete_track_after_sending": False,
            },
            "primary_track_policy": {
                "use_primary_track_policy": False,
                "best_shot_min_size": 70,
                "best_shot_proper_size": 140,
            },
            "liveness": {
                "use_shoulders_liveness_filtration": False,
                "use_mask_liveness_filtration": False,
                "use_flying_faces_liveness_filtration": False,
                "liveness_mode": 0,
                "number_of_liveness_checks": 0,
                "liveness_threshold": 0,
                "livenesses_weights": [0, 0, 0],
                "mask_backgrounds_count": 0,
            },
            "filtering": {
                "min_score": 0.5187,
                "detection_yaw_threshold": 40,
                "detection_pitch_threshold": 40,
                "detection_roll_threshold": 30,
                "yaw_number": 1,
                "yaw_collection_mode": False,
                "mouth_occlusion_threshold": 0,
                "min_body_size_threshold": 0,
                "future_filter": {"on": True},
            },
            "frame_processing_mode": "auto",
            "real_time_mode_fps": 0,
            "ffmpeg_threads_number": 0,
            "healthcheck": {"max_error_count": 10, "period": 3600, "retry_delay": 5},
        },
        "location": {
            "city": None,
            "area": None,
            "district": None,
            "street": None,
            "house_number": None,
            "geo_position": None,
        },
        "autorestart": {
            "restart": 1,
            "attempt_count": 10,
            "delay": 60,
            "current_attempt": 0,
            "last_attempt_time": "2025-03-14T13:53:31.900997+05:00",
            "status": "enabled",
        },
        "preview": None,
        "tags": ["new in a later release"],
    }


@pytest.fixture
async def server() -> AsyncIterator[StreamsServer]:
    """A LUNA Streams for the test."""
    async with streams_server() as running:
        yield running
