"""Keep streams running and the server informed: the asyncio side of the processor.

Three loops: one takes streams while there is room; one reports, every period and at once when something changes; one
watches for how long reports went unanswered. The rules: what the answer to a report calls modified is stopped at once;
streams that could not be reported for too long are stopped before the server gives them to another worker; a final
report is repeated until it was answered.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from luna_processor.errors import ReportRefused, ServerUnavailable, UnsuitableStream
from luna_processor.server.streams_api import FEEDBACK_TIMEOUT_S, StreamsApi, UnreadableStream
from luna_processor.streams.plan import Platform, make_plan
from luna_processor.streams.run import RunContext, RunReport, StreamRun
from luna_streams.policies import Preview
from luna_streams.rest.messages import FeedbackItem, FeedbackStream, FeedbackStreams, QueueFilters
from luna_streams.rest.submission import QueuedStream

log = logging.getLogger(__name__)

EMPTY_PAUSE_S = 1.0
"""Pause after an empty answer of a server that does not keep the request open."""
_RETRY_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
_REPORT_RETRIES_S = (0.0, 0.0, 1.0)
"""Pauses before a report is repeated: at once, over a new connection, which may lead to another replica."""
_SHORTEST_TIMEOUT_S = 0.2
_JOIN_TIMEOUT_S = 2.0
_JOIN_LOOK_S = 0.02
_SILENCE_S = 15.0
"""How much longer than it usually takes the server may be silent before this worker is no place for streams."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How the worker takes and reports."""

    capacity: int
    filters: QueueFilters
    queue_wait_s: float
    feedback_period_s: float
    max_feedback_delay_s: float


@dataclass(frozen=True, slots=True)
class _Ended:
    """The final word about a stream that never ran or has ended, until the server has heard it."""

    stream_id: str
    version: int
    report: RunReport


class Worker:
    """The streams of this process.

    Args:
        api: the server.
        settings: see there.
        platform: where streams deliver that do not say so.
        make_context: returns what every run needs, given what runs call when their report changes.
        preview: returns the addresses under which the pictures of a stream are served.
    """

    def __init__(
        self,
        api: StreamsApi,
        settings: WorkerSettings,
        platform: Platform,
        make_context: Callable[[Callable[[], None]], RunContext],
        preview: Callable[[str], Preview],
    ) -> None:
        self._api = api
        self._settings = settings
        self._platform = platform
        self._preview = preview
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._context = make_context(self._notify)
        self._runs: dict[str, StreamRun] = {}
        self._ended: dict[str, _Ended] = {}
        self._heard_s: dict[str, float] = {}
        """When the server last answered a report on a stream; monotonic."""
        self.was_server_reached = False

    @property
    def runs(self) -> Sequence[StreamRun]:
        """The streams that are being processed."""
        return tuple(self._runs.values())

    @property
    def obstacles(self) -> Sequence[str]:
        """Why streams had better go to another worker; they would wait for ever where no request gets through."""
        if not self.was_server_reached:
            return ["LUNA Streams has not answered yet"]
        longest_s = max(self._settings.queue_wait_s, self._settings.feedback_period_s) + _SILENCE_S
        if time.monotonic() - self._api.answered_at > longest_s:
            return [f"LUNA Streams has not answered for {longest_s:g} s"]
        return []

    def run(self, stream_id: str) -> StreamRun | None:
        """Return a stream that is being processed."""
        return self._runs.get(stream_id)

    def refuse(self, stream_id: str, version: int, reason: str) -> None:
        """Let a stream fail (event loop only), unless it has been replaced by another version meanwhile."""
        run = self._runs.get(stream_id)
        if run is not None and run.plan.version == version:
            run.refuse(reason)

    async def serve(self) -> None:
        """Take and report until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_forever())
            tasks.create_task(self._report_forever())
            tasks.create_task(self._watch_forever())

    async def stop_all(self) -> None:
        """End every stream without a report: the server finds out by our silence and hands them to others.

        What is read again from its start, a file or pictures, begins anew there, so its unfinished tracks are not
        sent; those of a live source will not come again.
        """
        runs = list(self._runs.values())
        self._runs.clear()
        for run in runs:
            run.stop(sends_rest=run.plan.source.is_live)
        # Looked at, not joined in threads: those of the event loop may all hang in name lookups.
        latest_s = time.monotonic() + _JOIN_TIMEOUT_S
        while time.monotonic() < latest_s and not all(run.is_over for run in runs):
            await asyncio.sleep(_JOIN_LOOK_S)

    async def report_trouble(self, reason: str) -> None:
        """Say once of every stream that runs what has befallen this worker; not beside `serve`."""
        items = [item.model_copy(update={"error": reason}) for item in self._items() if item.status == "in_progress"]
        if not items:
            return
        try:
            await self._report(items)
        except ServerUnavailable as e:
            log.warning("%d streams could not be reported: %s", len(items), e)

    async def report_ended(self) -> None:
        """Try once more to report streams that have ended, before the process does."""
        self._collect_ended()
        if not self._ended:
            return
        try:
            self._obey(items := self._items(), await self._report(items), {})
        except ServerUnavailable as e:
            log.warning("%d ended streams could not be reported: %s", len(self._ended), e)

    # -- taking -------------------------------------------------------------------------------------------------

    async def _take_forever(self) -> None:
        failures = 0
        while True:
            await self._room.wait()
            began_s = time.monotonic()
            try:
                # The first answer tells that the server is there, and this worker ready: it must not wait for streams.
                wait_s = self._settings.queue_wait_s if self.was_server_reached else 0.0
                taken = await self._api.take(self._settings.filters, self._free, wait_s)
            except (ServerUnavailable, ReportRefused) as e:
                if failures == 0:
                    log.warning("%s; trying on", e)
                pause_s = _RETRY_PAUSES_S[min(failures, len(_RETRY_PAUSES_S) - 1)]
                failures += 1
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 jitter is no secret
                continue
            if failures or not self.was_server_reached:
                log.info("LUNA Streams answers; room for %d streams", self._free)
            failures, self.was_server_reached = 0, True
            for stream in taken:
                self._begin(stream)
            if not taken:
                await asyncio.sleep(max(0.0, EMPTY_PAUSE_S - (time.monotonic() - began_s)))

    @property
    def _free(self) -> int:
        return self._settings.capacity - len(self._runs)

    def _begin(self, stream: QueuedStream | UnreadableStream) -> None:
        if old := self._runs.pop(stream.stream_id, None):
            old.stop(sends_rest=old.plan.source.is_live or old.plan.version != stream.version)
        self._ended.pop(stream.stream_id, None)
        if isinstance(stream, UnreadableStream):
            self._end(stream.stream_id, stream.version, RunReport("failure", stream.reason))
            return
        try:
            plan = make_plan(stream, self._platform)
        except UnsuitableStream as e:
            self._end(stream.stream_id, stream.version, RunReport("failure", str(e)))
            return
        log.info("stream %s: taken, version %d: %s", plan.stream_id, plan.version, plan.source.shown_as)
        run = StreamRun(plan, self._context)
        self._runs[plan.stream_id] = run
        self._heard_s[plan.stream_id] = time.monotonic()
        run.start()
        self._update_room()

    # -- reporting ----------------------------------------------------------------------------------------------

    async def _report_forever(self) -> None:
        failures = 0
        while True:
            await self._wait_for_news()
            self._collect_ended()
            items, runs = self._items(), dict(self._runs)
            if not items:
                continue
            try:
                answer = await self._report(items)
            except ServerUnavailable as e:
                log.warning("%s", e)
                await asyncio.sleep(_REPORT_RETRIES_S[min(failures, len(_REPORT_RETRIES_S) - 1)])
                failures += 1
                self._news.set()
                continue
            failures = 0
            self._obey(items, answer, runs)

    async def _wait_for_news(self) -> None:
        try:
            async with asyncio.timeout(self._settings.feedback_period_s):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    def _collect_ended(self) -> None:
        for run in list(self._runs.values()):
            report = run.report
            if report.status != "in_progress":
                del self._runs[run.plan.stream_id]
                self._end(run.plan.stream_id, run.plan.version, report)
        self._update_room()

    def _end(self, stream_id: str, version: int, report: RunReport) -> None:
        if report.status == "failure":
            self._context.metrics.stream_errors.inc()
            log.warning("stream %s: failure: %s", stream_id, report.error)
        else:
            log.info("stream %s: done", stream_id)
        self._ended[stream_id] = _Ended(stream_id, version, report)
        self._news.set()

    def _items(self) -> list[FeedbackItem]:
        running = [
            FeedbackItem(
                stream_id=run.plan.stream_id,
                status="in_progress",
                version=run.plan.version,
                error=run.report.error or run.account.trouble,
                video_info=run.report.video_info,
                preview=self._preview(run.plan.stream_id),
            )
            for run in self._runs.values()
        ]
        ended = [
            FeedbackItem(
                stream_id=end.stream_id,
                status=end.report.status,
                version=end.version,
                error=end.report.error,
                video_info=end.report.video_info,
            )
            for end in self._ended.values()
        ]
        return running + ended

    async def _report(self, items: Sequence[FeedbackItem]) -> FeedbackStreams:
        """Report; when the server finds the whole invalid, one by one, so that one stream harms no other.

        Args:
            items: just written.
        """
        received_until, timeout_s = self._api.received_until, self._report_timeout_s
        try:
            return await self._api.report(items, received_until, timeout_s)
        except ReportRefused:
            pass  # it does not say whose fault it is
        answers: list[FeedbackStreams] = []
        for item in items:
            try:
                answers.append(await self._api.report([item], received_until, timeout_s))
            except ReportRefused as e:
                log.warning("stream %s: %s", item.stream_id, e)
                if item.status != "in_progress":  # it would be refused for ever
                    self._ended.pop(item.stream_id, None)
        return FeedbackStreams(
            modified=tuple(stream for answer in answers for stream in answer.modified),
            unmodified=tuple(stream for answer in answers for stream in answer.unmodified),
        )

    def _obey(self, items: Sequence[FeedbackItem], answer: FeedbackStreams, runs: Mapping[str, StreamRun]) -> None:
        """Stop what the server calls modified; forget final reports that it has heard.

        Args:
            items: that were reported.
            answer: to them.
            runs: that were going on when they were; one that began since was not meant.
        """
        answered = {stream.stream_id for stream in (*answer.modified, *answer.unmodified)}
        # A server that cannot keep an end now answers that the stream still is in progress: it has to be told again.
        heard = answered - {stream.stream_id for stream in answer.unmodified if stream.status == "in_progress"}
        now_s = time.monotonic()
        self._heard_s = {
            stream_id: now_s if stream_id in answered else self._heard_s.get(stream_id, now_s)
            for stream_id in self._runs
        }
        for item in items:
            ended = self._ended.get(item.stream_id)
            if ended and ended.version == item.version and item.status != "in_progress" and item.stream_id in heard:
                del self._ended[item.stream_id]
        self._finish(items, answer)
        for stream in answer.modified:
            run = self._runs.get(stream.stream_id)
            if run is not None and run is runs.get(stream.stream_id):
                log.info("stream %s: stopped, the server says %s", stream.stream_id, stream.status)
                del self._runs[stream.stream_id]
                # What is read again from its start, here or elsewhere, will find the rest itself.
                is_over = run.plan.source.is_live or _is_over(stream, run.plan.version)
                run.stop(sends_rest=is_over and stream.status != "not_found")
        self._update_room()

    def _finish(self, items: Sequence[FeedbackItem], answer: FeedbackStreams) -> None:
        """Tell the delivery which runs will not go on, so that the next one of such a stream has all to send anew."""
        versions = {item.stream_id: item.version for item in items}
        for stream in (*answer.modified, *answer.unmodified):
            version = versions.get(stream.stream_id)
            if stream.status == "not_found":
                self._context.delivery.forget_runs(stream.stream_id)
            elif version is not None and _is_over(stream, version):
                self._context.delivery.finish_run(stream.stream_id, version)

    @property
    def _report_timeout_s(self) -> float:
        """How long the answer to a report is worth waiting for: streams that are stopped meanwhile are none of ours."""
        return min(FEEDBACK_TIMEOUT_S, max(_SHORTEST_TIMEOUT_S, self._patience_s))

    @property
    def _patience_s(self) -> float:
        """Seconds until a stream is stopped because no report on it was answered."""
        heard_s = [self._heard_s[name] for name in self._runs if name in self._heard_s]
        return min(heard_s, default=time.monotonic()) + self._settings.max_feedback_delay_s - time.monotonic()

    async def _watch_forever(self) -> None:
        """Stop streams in time, whatever request is on its way: that the server is slow changes nothing about it."""
        while True:
            # What begins during the pause is due after it.
            await asyncio.sleep(max(0.0, self._patience_s))
            self._stop_unheard()

    def _stop_unheard(self) -> None:
        """Stop the streams whose reports were not answered for too long: the server is about to give them to others.

        None waits for the end of another one: what hangs in it would keep those that are due next.
        """
        limit_s, now_s = self._settings.max_feedback_delay_s, time.monotonic()
        unheard = [run for name, run in self._runs.items() if now_s - self._heard_s.get(name, now_s) >= limit_s]
        for run in unheard:
            log.warning("stream %s: stopped, no report was answered for %g s", run.plan.stream_id, limit_s)
            del self._runs[run.plan.stream_id]
            run.stop(sends_rest=True)
        self._update_room()

    # -- threads ------------------------------------------------------------------------------------------------

    def _notify(self) -> None:
        """Wake the reporting loop; called by any thread."""
        self._loop.call_soon_threadsafe(self._news.set)

    def _update_room(self) -> None:
        if self._free > 0:
            self._room.set()
        else:
            self._room.clear()


def _is_over(stream: FeedbackStream, version: int) -> bool:
    """Return whether the run of a version has ended, and was not just taken from its worker: by how the server says it.

    A user who sends a stream in progress back to the queue cannot be told from a server that does.
    """
    return stream.version != version or stream.status not in ("pending", "in_progress")
