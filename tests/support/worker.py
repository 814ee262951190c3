"""A worker written from the API document alone: takes streams, reports about them, stops what it is told to stop.

It knows nothing of our headers or models, so it stands for a genuine FaceStream.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]

VIDEO_INFO = {
    "width": 1920,
    "height": 1080,
    "frame_rate": 25,
    "bit_rate": 4_000_000,
    "gop_size": 50,
    "start_time": "2024-05-01T12:00:00.123456+00:00",
}


@dataclass
class Work:
    """A stream in the worker's hands."""

    stream: Json
    status: str = "in_progress"
    error: str | None = None
    video_info: Json | None = None
    preview: Json | None = None

    @property
    def stream_id(self) -> str:
        return str(self.stream["stream_id"])

    def report(self) -> Json:
        body: Json = {
            "stream_id": self.stream_id,
            "status": self.status,
            "version": self.stream["version"],
            "error": self.error,
            "video_info": self.video_info,
        }
        return body | ({"preview": self.preview} if self.preview else {})


@dataclass
class DocumentedWorker:
    """One worker.

    Attributes:
        work: what it processes, by stream id.
        stopped: what it was told about streams it then stopped.
    """

    http: httpx.AsyncClient
    api: int = 2
    headers: dict[str, str] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)
    stopped: list[Json] = field(default_factory=list)

    async def take(self, limit: int = 10, **filters: Any) -> list[str]:
        """Take streams from the queue; return their ids."""
        answer = await self.http.post(
            f"/{self.api}/streams/processing/queue", json={"filters": filters, "limit": limit}, headers=self.headers
        )
        assert answer.status_code == 200, answer.text
        streams = answer.json()["streams"]
        assert len(streams) <= limit
        for stream in streams:
            assert stream["status"] == "in_progress"
            self.work[stream["stream_id"]] = Work(stream)
        return [stream["stream_id"] for stream in streams]

    async def report(self) -> Json:
        """Report about everything in hand, and obey the answer."""
        answer = await self.http.post(
            f"/{self.api}/streams/processing/feedback",
            json={"streams": [work.report() for work in self.work.values()]},
            headers=self.headers,
        )
        assert answer.status_code == 200, answer.text
        streams = dict(answer.json()["streams"])
        for told in streams["modified"]:
            self.stopped.append(told)
            self.work.pop(told["stream_id"], None)
        for told in streams["unmodified"]:
            if told["status"] != "in_progress":
                del self.work[told["stream_id"]]
        return streams

    async def finish(self, stream_id: str, status: str = "done", error: str | None = None) -> Json:
        """Report the end of a stream."""
        work = self.work[stream_id]
        work.status, work.error, work.video_info = status, error, VIDEO_INFO
        return await self.report()
