"""Feedback: what workers report about their streams, and which of them they have to stop.

Most reports change nothing; they cost no write and no read, only a note that the handler is alive. That a stream is to
be stopped is never said on the word of the copy alone, which may be older than what another replica did when it led:
the API server is asked first. Such verdicts are rare, since workers obey them.

A change of status is written before the answer. What else is new of a stream in progress is too, as far as that takes
no longer than a worker waits; the rest, and figures that are new in every report, are written a little later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from luna_api_shim.concurrency import for_each
from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records, utc_now
from luna_api_shim.storage.store import Store
from luna_api_shim.workers.discretion import redacted
from luna_api_shim.workers.handlers import HandlerWatch
from luna_api_shim.workers.held_back import Held, HeldBack, run_of
from luna_api_shim.workers.identity import Worker
from luna_api_shim.workers.news import REFILL_S, FiguresBudget, News, news
from luna_kube import ApiError
from luna_streams.errors import StreamNotFound
from luna_streams.lifecycle import Report, advance, follows_report
from luna_streams.naming import is_derived
from luna_streams.rest.messages import FeedbackAnswer, FeedbackItem, FeedbackStream, FeedbackStreams
from luna_streams.stream import StreamState, StreamStatus

log = logging.getLogger(__name__)

_CONFIRMED_FOR_S: Final = 30.0
"""How long a worker that does not obey is told the same without another look."""
_MOST_CONFIRMED: Final = 20_000
_TICK_S: Final = 0.5
_RETRY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a worker is told about a stream.

    Attributes:
        follows: whether it may go on; if not, it has to stop.
    """

    follows: bool
    stream: FeedbackStream


class Feedback:
    """Takes reports of workers.

    Args:
        watch: is told of every handler that is alive.
        parallel_writes: reads and writes of one request at the same time.
        clock: monotonic seconds.

    Attributes:
        writing_s: how long one answer waits for what may be written later; workers give up after about 10 s.
    """

    writing_s = 3.0

    def __init__(
        self,
        store: Store,
        records: Records,
        watch: HandlerWatch,
        *,
        parallel_writes: int = 16,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._records = records
        self._watch = watch
        self._parallel_writes = parallel_writes
        self._clock = clock
        self._budget = FiguresBudget(clock)
        self._held = HeldBack()
        self._writing: set[str] = set()
        """Streams of which reports are being written: what comes meanwhile is held back, so that it is written last."""
        self._confirmed: dict[str, tuple[str | None, float]] = {}

    async def report(self, worker: Worker, items: Iterable[FeedbackItem]) -> FeedbackAnswer:
        """Apply reports; return what the worker may go on with (`unmodified`) and what it has to stop (`modified`).

        Several reports about one stream are applied in their order.

        The end of a stream that cannot be written is answered as if the stream went on; the worker reports it again.

        Raises:
            ApiError: only ends were reported, and one could not be written; the worker may report the same again.
        """
        by_stream: dict[str, list[Report]] = {}
        for item in items:
            report = item.to_report(worker.process, worker.received_until)
            known = self._store.catalogue.get(item.stream_id)
            by_stream.setdefault(item.stream_id, []).append(redacted(report, known, self._store))
        now = utc_now()
        at_once = {stream_id: self._at_once(stream_id, reports, now) for stream_id, reports in by_stream.items()}
        open_ = {stream_id: by_stream[stream_id] for stream_id, verdict in at_once.items() if verdict is None}
        begun = open_.keys() - self._writing
        self._writing |= begun
        try:
            # A worker whose other streams go on must hear so, even if the end of one cannot be written now.
            settled = await self._settle_all(open_, ends_may_wait=not all(map(_is_end, by_stream.values())))
        finally:
            self._writing -= begun
        ordered = [verdict or settled[stream_id] for stream_id, verdict in at_once.items()]
        return FeedbackAnswer(
            streams=FeedbackStreams(
                modified=tuple(verdict.stream for verdict in ordered if not verdict.follows),
                unmodified=tuple(verdict.stream for verdict in ordered if verdict.follows),
            )
        )

    def reassure(self, worker: Worker, items: Iterable[FeedbackItem]) -> FeedbackAnswer:
        """Let a worker go on, while nobody leads; nothing of what it reports is kept.

        About a stream that somebody else holds, as far as is known here, nothing is said.
        """
        going_on = {
            item.stream_id: _goes_on(item.stream_id, item.version).stream
            for item in items
            if not self._is_held_by_another(item.stream_id, item.to_report(worker.process, worker.received_until))
        }
        return FeedbackAnswer(streams=FeedbackStreams(modified=(), unmodified=tuple(going_on.values())))

    def _is_held_by_another(self, stream_id: str, report: Report) -> bool:
        entry = self._store.catalogue.get(stream_id)
        if entry is None or entry.record.status != StreamState.IN_PROGRESS:
            return False
        return not follows_report(entry.record, replace(report, status=StreamState.IN_PROGRESS))

    async def _settle_all(self, by_stream: dict[str, list[Report]], *, ends_may_wait: bool) -> dict[str, Verdict]:
        """Return the verdicts on streams that need a read or a write, before long."""
        ends = [stream_id for stream_id, reports in by_stream.items() if ends_may_wait and _is_end(reports)]
        patient = [stream_id for stream_id, reports in by_stream.items() if self._can_wait(stream_id, reports)]
        urgent = by_stream.keys() - patient - set(ends)
        verdicts: dict[str, Verdict] = {}

        async def settle(stream_id: str) -> None:
            verdicts[stream_id] = await self._settle(stream_id, by_stream[stream_id])

        async def settle_urgent() -> None:
            await for_each(urgent, settle, limit=self._parallel_writes)

        async def settle_in_time() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.writing_s):
                    await for_each([*ends, *patient], settle_if_possible, limit=self._parallel_writes)

        async def settle_if_possible(stream_id: str) -> None:
            try:
                await settle(stream_id)
            except ApiError as e:
                log.warning("stream %s: its end cannot be kept yet: %s", stream_id, e)

        await for_each((settle_urgent, settle_in_time), lambda part: part(), limit=2)
        late = by_stream.keys() - verdicts.keys()
        return verdicts | {stream_id: self._put_off(stream_id, by_stream[stream_id], 0.0) for stream_id in late}

    async def run(self) -> None:
        """Write what is held back when its time has come, until cancelled.

        What is left then is dropped: workers report it again to whoever leads next.
        """
        self._held.clear()
        try:
            while True:
                await asyncio.sleep(_TICK_S)
                await self.catch_up()
        finally:
            self._held.clear()

    async def catch_up(self) -> None:
        """Write what is due; what cannot be written is tried again later."""
        due = self._held.due(self._clock())
        outcomes = await for_each(due, self._write_held, limit=self._parallel_writes)
        if errors := [error for error in outcomes if error is not None]:
            log.warning("feedback on %d streams cannot be kept yet: %s", len(errors), errors[0])

    def _at_once(self, stream_id: str, reports: list[Report], now: datetime) -> Verdict | None:
        """Return the verdict on a stream that needs neither a read nor a write; None for one that does.

        What is held back of the stream is put before the reports.
        """
        entry = self._store.catalogue.get(stream_id)
        if entry is None:
            return _not_found(stream_id) if self._is_confirmed(stream_id, None) else None
        held = self._held.take(stream_id)
        if held is not None and held.run == run_of(entry.record):
            reports.insert(0, held.report)
        wait_s = self._wait_s(entry, reports, now)
        if wait_s == 0:
            self._watch.heard(stream_id)  # alive, even if the write should fail
            return None
        if wait_s is not None:
            due = self._clock() + wait_s
            self._held.hold(stream_id, entry.record, reports, due if held is None else min(due, held.due))
        verdict = self._verdict(entry, reports[-1])
        return verdict if verdict.follows or self._is_confirmed(stream_id, entry) else None

    def _wait_s(self, entry: Entry, reports: Sequence[Report], now: datetime) -> float | None:
        """Return in how many seconds reports are to be written; None if they say nothing new."""
        told = _applied(entry.record, reports, now)
        if entry.stream_id in self._writing and told.status == entry.record.status:
            return _TICK_S  # after what is being written now, which is older
        match news(entry.record, told):
            case News.NONE:
                return None
            case News.LITTLE:
                return REFILL_S
            case News.FIGURES:
                return self._budget.spend(entry.stream_id)
            case News.FIRM:
                return 0.0

    def _can_wait(self, stream_id: str, reports: Iterable[Report]) -> bool:
        """Tell whether a worker may be answered before its reports are written: no status changes by them."""
        entry = self._store.catalogue.get(stream_id)
        is_drained = entry is not None and entry.record.processor.leave_by is not None
        return not is_drained and not _is_end(reports)

    def _put_off(self, stream_id: str, reports: Sequence[Report], wait_s: float) -> Verdict:
        """Let a worker go on, and write its reports later; ends it has to report again."""
        if _is_end(reports):
            return _goes_on(stream_id, reports[-1].version)
        entry = self._store.catalogue.get(stream_id)
        if entry is not None:
            known = [redacted(report, entry, self._store) for report in reports]  # it may not have been known before
            self._held.hold(stream_id, entry.record, known, self._clock() + wait_s)
            if follows_report(entry.record, reports[-1]):
                return self._verdict(entry, reports[-1])
        return _as_reported(reports[-1], stream_id)

    async def _write_held(self, stream_id: str) -> str | None:
        """Write what is held back of a stream; return what prevented it."""
        if stream_id in self._writing:
            return None
        held, entry = self._held.take(stream_id), self._store.catalogue.get(stream_id)
        if held is None or entry is None:
            return None
        self._budget.spend(stream_id)
        try:
            self._writing.add(stream_id)
            await self._records.move(entry, lambda _entry, record, now: _late(record, held, now))
        except StreamNotFound:
            return None
        except ApiError as e:
            self._held.hold(stream_id, entry.record, (held.report,), self._clock() + _RETRY_S)
            return str(e)
        finally:
            self._writing.discard(stream_id)
        return None

    async def _settle(self, stream_id: str, reports: Sequence[Report]) -> Verdict:
        try:
            entry = self._store.catalogue.get(stream_id)
            if entry is None or _applied(entry.record, reports, utc_now()) is entry.record:
                entry = await self._confirm(stream_id, entry)
            if entry is None:
                may_be_unheard_of = is_derived(stream_id) and self._watch.is_settling
                return _as_reported(reports[-1], stream_id) if may_be_unheard_of else _not_found(stream_id)
            reports = [redacted(report, entry, self._store) for report in reports]  # it may not have been known before
            entry = await self._records.move(entry, lambda _entry, record, now: _applied(record, reports, now))
            return self._verdict(entry, reports[-1])
        except StreamNotFound:
            return _not_found(stream_id)
        except ApiError as e:
            if _is_end(reports):
                raise
            # One stream must not keep the worker from hearing about all its others.
            log.warning("stream %s: feedback cannot be kept or checked yet: %s", stream_id, e)
            return self._put_off(stream_id, reports, _RETRY_S)

    async def _confirm(self, stream_id: str, entry: Entry | None) -> Entry | None:
        """Return a stream as the API server has it; None if it has none."""
        fresh = await (self._store.find(stream_id) if entry is None else self._store.refetch(entry))
        now = self._clock()
        if len(self._confirmed) >= _MOST_CONFIRMED:
            self._confirmed = {name: value for name, value in self._confirmed.items() if value[1] > now}
        if len(self._confirmed) < _MOST_CONFIRMED:
            self._confirmed[stream_id] = _version(fresh), now + _CONFIRMED_FOR_S
        return fresh

    def _is_confirmed(self, stream_id: str, entry: Entry | None) -> bool:
        version, until = self._confirmed.get(stream_id, (None, 0.0))
        return self._clock() < until and version == _version(entry)

    def _verdict(self, entry: Entry, report: Report) -> Verdict:
        record = entry.record
        follows = follows_report(record, report)
        if follows and record.status == StreamState.IN_PROGRESS:
            self._watch.heard(entry.stream_id)
        stream = FeedbackStream(stream_id=entry.stream_id, status=record.status.value, version=record.version)
        return Verdict(follows, stream)


def _applied(record: StreamStatus, reports: Iterable[Report], now: datetime) -> StreamStatus:
    """Return the record after reports; the very same one if they change nothing."""
    for report in reports:
        record = advance(record, report, now).record
    return record


def _late(record: StreamStatus, held: Held, now: datetime) -> StreamStatus:
    """Return the record after a report that was answered before; no status changes by it."""
    told = _applied(record, (held.report,), now)
    return told if run_of(record) == held.run and told.status == record.status else record


def _is_end(reports: Iterable[Report]) -> bool:
    return any(report.status != StreamState.IN_PROGRESS for report in reports)


def _version(entry: Entry | None) -> str | None:
    return None if entry is None else entry.stream.resource_version


def _not_found(stream_id: str) -> Verdict:
    return Verdict(False, FeedbackStream(stream_id=stream_id, status=StreamState.NOT_FOUND.value, version=0))


def _goes_on(stream_id: str, version: int) -> Verdict:
    """Answer a worker that its stream goes on, whatever it said of it."""
    stream = FeedbackStream(stream_id=stream_id, status=StreamState.IN_PROGRESS.value, version=version)
    return Verdict(True, stream)


def _as_reported(report: Report, stream_id: str) -> Verdict:
    """Let a worker go on with a stream about which nothing is certain right now."""
    stream = FeedbackStream(stream_id=stream_id, status=report.status.value, version=report.version)
    return Verdict(True, stream)
