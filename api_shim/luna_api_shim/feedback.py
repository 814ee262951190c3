"""Feedback: what workers report about their streams, and which of them they have to stop.

Most reports change nothing; they cost no write and no read, only a note that the handler is alive. That a stream is to
be stopped is never said on the word of the copy alone, which may be older than what another replica did when it led:
the API server is asked first. Such verdicts are rare, since workers obey them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from luna_api_shim.catalogue import Entry
from luna_api_shim.concurrency import for_each
from luna_api_shim.discretion import discreet
from luna_api_shim.handlers import HandlerWatch
from luna_api_shim.news import NewsBudget, is_news
from luna_api_shim.records import Records, utc_now
from luna_api_shim.store import Store
from luna_api_shim.workers import Worker
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
    """

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
        self._budget = NewsBudget(clock)
        self._confirmed: dict[str, tuple[str | None, float]] = {}

    async def report(self, worker: Worker, items: Iterable[FeedbackItem]) -> FeedbackAnswer:
        """Apply reports; return what the worker may go on with (`unmodified`) and what it has to stop (`modified`).

        Several reports about one stream are applied in their order.

        Raises:
            ApiError: the end of a stream could not be written; the worker may report the same again.
        """
        by_stream: dict[str, list[Report]] = {}
        for item in items:
            report = item.to_report(worker.process, worker.received_until)
            known = self._store.catalogue.get(item.stream_id)
            by_stream.setdefault(item.stream_id, []).append(discreet(report, known, self._store))
        now = utc_now()
        verdicts: dict[str, Verdict] = {}
        open_: list[str] = []
        for stream_id, reports in by_stream.items():
            verdict = self._at_once(stream_id, reports, now)
            if verdict is None:
                open_.append(stream_id)
            else:
                verdicts[stream_id] = verdict

        async def settle(stream_id: str) -> None:
            verdicts[stream_id] = await self._settle(stream_id, by_stream[stream_id])

        await for_each(open_, settle, limit=self._parallel_writes)
        ordered = [verdicts[stream_id] for stream_id in by_stream]
        return FeedbackAnswer(
            streams=FeedbackStreams(
                modified=tuple(verdict.stream for verdict in ordered if not verdict.follows),
                unmodified=tuple(verdict.stream for verdict in ordered if verdict.follows),
            )
        )

    def _at_once(self, stream_id: str, reports: Sequence[Report], now: datetime) -> Verdict | None:
        """Return the verdict on a stream that needs neither a read nor a write; None for one that does."""
        entry = self._store.catalogue.get(stream_id)
        if entry is None:
            return _not_found(stream_id) if self._is_confirmed(stream_id, None) else None
        if self._is_to_be_written(entry, reports, now):
            self._watch.heard(stream_id)  # alive, even if the write should fail
            return None
        verdict = self._verdict(entry, reports[-1])
        return verdict if verdict.follows or self._is_confirmed(stream_id, entry) else None

    def _is_to_be_written(self, entry: Entry, reports: Sequence[Report], now: datetime) -> bool:
        told = _applied(entry.record, reports, now)
        if told is entry.record:
            return False
        return told.status != entry.record.status or (
            is_news(entry.record, told) and self._budget.spend(entry.stream_id)
        )

    async def _settle(self, stream_id: str, reports: Sequence[Report]) -> Verdict:
        try:
            entry = self._store.catalogue.get(stream_id)
            if entry is None or _applied(entry.record, reports, utc_now()) is entry.record:
                entry = await self._confirm(stream_id, entry)
            if entry is None:
                may_be_unheard_of = is_derived(stream_id) and self._watch.is_settling
                return _as_reported(reports[-1], stream_id) if may_be_unheard_of else _not_found(stream_id)
            reports = [discreet(report, entry, self._store) for report in reports]  # it may not have been known before
            entry = await self._records.move(entry, lambda _entry, record, now: _applied(record, reports, now))
            return self._verdict(entry, reports[-1])
        except StreamNotFound:
            return _not_found(stream_id)
        except ApiError as e:
            if any(report.status != StreamState.IN_PROGRESS for report in reports):
                raise
            # One stream must not keep the worker from hearing about all its others; it reports again soon.
            log.warning("stream %s: feedback cannot be kept or checked yet: %s", stream_id, e)
            return _as_reported(reports[-1], stream_id)

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


def _version(entry: Entry | None) -> str | None:
    return None if entry is None else entry.stream.resource_version


def _not_found(stream_id: str) -> Verdict:
    return Verdict(False, FeedbackStream(stream_id=stream_id, status=StreamState.NOT_FOUND.value, version=0))


def _as_reported(report: Report, stream_id: str) -> Verdict:
    """Let a worker go on with a stream about which nothing is certain right now."""
    stream = FeedbackStream(stream_id=stream_id, status=report.status.value, version=report.version)
    return Verdict(True, stream)
