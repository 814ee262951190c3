"""A worker that behaves as a genuine FaceStream does, written from the public documents alone.

It knows nothing of our headers or models: it asks the queue again and again, reports about all its streams every few
seconds with video information and previews, stops what an answer calls modified, and stops everything when no report
was answered for too long, so that it has stopped before the server gives its streams to another.

    ledger = Ledger()
    async with FaceStream(shim.url, "one", ledger).running() as worker: ...

A `Ledger` notes who held which stream from when to when, so that a test can look for streams that two workers held.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import httpx

from support.worker import VIDEO_INFO, Json, Work


@dataclass
class Hold:
    """A worker held a stream; times are monotonic seconds."""

    worker: str
    stream_id: str
    version: int
    since: float
    until: float | None = None
    reason: str = ""


@dataclass
class Ledger:
    """Every hold there was."""

    holds: list[Hold] = field(default_factory=list)

    def by_stream(self) -> dict[str, list[Hold]]:
        found: dict[str, list[Hold]] = {}
        for hold in sorted(self.holds, key=lambda hold: hold.since):
            found.setdefault(hold.stream_id, []).append(hold)
        return found

    def overlaps(self) -> Iterator[tuple[float, Hold, Hold]]:
        """Yield how long two workers held the same stream at the same time."""
        now = time.monotonic()
        for holds in self.by_stream().values():
            for first, second in pairwise(holds):
                until = min(now if first.until is None else first.until, now if second.until is None else second.until)
                if until > second.since:
                    yield until - second.since, first, second

    def held(self) -> set[str]:
        """Return the streams that somebody holds now."""
        return {hold.stream_id for hold in self.holds if hold.until is None}


@dataclass(frozen=True)
class Pace:
    """How often a FaceStream asks and reports, in seconds; the defaults are the ones it is delivered with."""

    request_stream_s: float = 1.0
    send_feedback_s: float = 5.0
    max_feedback_delay_s: float = 10.0
    time_out_s: float = 5.0


class FaceStream:
    """One worker.

    Attributes:
        work: what it processes, by stream id.
        told: every entry of `modified` it ever got.
        refusals: answers that were no success, by status.
    """

    def __init__(
        self,
        url: str,
        name: str,
        ledger: Ledger,
        *,
        api: int = 2,
        max_streams: int = 10,
        filters: Json | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.name = name
        self.api = api
        self.work: dict[str, Work] = {}
        self.told: list[Json] = []
        self.refusals: list[int] = []
        self._ledger = ledger
        self._max_streams = max_streams
        self._filters = filters or {}
        self._pace = pace or Pace()
        self._holds: dict[str, Hold] = {}
        self._heard_at: dict[str, float] = {}
        self._news = asyncio.Event()
        self._http = httpx.AsyncClient(base_url=url, timeout=self._pace.time_out_s)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Work until the block is left; then everything is dropped without a word, as when the process is killed."""
        tasks = [asyncio.create_task(self._take_forever()), asyncio.create_task(self._report_forever())]
        try:
            yield self
            for task in tasks:
                if task.done():
                    task.result()  # it never ends but by a failed assertion
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for stream_id in list(self.work):
                self._drop(stream_id, "the worker was killed")
            await self._http.aclose()

    def finish(self, stream_id: str, status: str = "done", error: str | None = None) -> None:
        """Come to the end of a stream; it is reported at once."""
        work = self.work[stream_id]
        work.status, work.error, work.preview = status, error, None
        self._news.set()

    def lose_the_way(self) -> None:
        """Reach nobody any more, as when the network is cut."""
        self._http.base_url = httpx.URL("http://127.0.0.1:9")

    # -- what it does by itself ----------------------------------------------------------------------------------------

    async def _take_forever(self) -> None:
        while True:
            if (room := self._max_streams - len(self.work)) > 0:
                answer = await self._post("queue", {"filters": self._filters, "limit": room})
                streams = answer["streams"] if answer else []
                assert len(streams) <= room
                for stream in streams:
                    self._begin(stream)
                if streams:
                    self._news.set()
            await asyncio.sleep(self._pace.request_stream_s)

    def _begin(self, stream: Json) -> None:
        stream_id, now = stream["stream_id"], time.monotonic()
        assert stream["status"] == "in_progress"
        assert ("event_handler" in stream) == (self.api == 1)
        if stream_id in self.work:
            self._drop(stream_id, "handed over again")
        url = f"http://127.0.0.1:34569/api/1/streams/preview/{stream_id}"
        work = Work(stream, preview={"live": {"url": url}, "last_frame": {"url": f"{url}/frame"}})
        work.video_info = VIDEO_INFO
        self.work[stream_id], self._heard_at[stream_id] = work, now
        self._holds[stream_id] = hold = Hold(self.name, stream_id, stream["version"], now)
        self._ledger.holds.append(hold)

    async def _report_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._pace.send_feedback_s):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            await self._report()
            late = time.monotonic() - self._pace.max_feedback_delay_s
            for stream_id in [name for name, heard_at in self._heard_at.items() if heard_at < late]:
                self._drop(stream_id, "no report was answered for too long")

    async def _report(self) -> None:
        reported = dict(self.work)
        if not reported:
            return
        answer = await self._post("feedback", {"streams": [work.report() for work in reported.values()]})
        if answer is None:
            await asyncio.sleep(min(1.0, self._pace.send_feedback_s))
            self._news.set()
            return
        streams, now = answer["streams"], time.monotonic()
        about = {told["stream_id"] for told in (*streams["modified"], *streams["unmodified"])}
        assert about == reported.keys()
        for told in streams["modified"]:
            self.told.append(told)
            if self.work.get(told["stream_id"]) is reported[told["stream_id"]]:  # not a new version, just received
                self._drop(told["stream_id"], f"told {told['status']}, version {told['version']}")
        for told in streams["unmodified"]:
            stream_id = told["stream_id"]
            if reported[stream_id].status != "in_progress" and told["status"] == reported[stream_id].status:
                self._drop(stream_id, told["status"])
            elif stream_id in self._heard_at:
                self._heard_at[stream_id] = now

    def _drop(self, stream_id: str, reason: str) -> None:
        self.work.pop(stream_id, None)
        self._heard_at.pop(stream_id, None)
        hold = self._holds.pop(stream_id, None)
        if hold is not None:
            hold.until, hold.reason = time.monotonic(), reason

    async def _post(self, path: str, body: Json) -> dict[str, Any] | None:
        try:
            answer = await self._http.post(f"/{self.api}/streams/processing/{path}", json=body)
        except httpx.TransportError:
            return None
        if answer.status_code != 200:
            self.refusals.append(answer.status_code)
            return None
        return dict(answer.json())
