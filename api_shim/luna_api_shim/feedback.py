"""Feedback: what workers report about their streams, and which of them they have to stop.

Most reports change nothing; they cost no write, only a note that the handler is alive. Reports about the progress of
a file are written in steps of one percent.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from luna_api_shim.catalogue import Entry
from luna_api_shim.concurrency import for_each
from luna_api_shim.handlers import HandlerWatch
from luna_api_shim.records import Records, utc_now
from luna_api_shim.store import Store
from luna_api_shim.workers import Worker
from luna_streams.errors import StreamNotFound
from luna_streams.lifecycle import Report, advance, follows_report
from luna_streams.rest.messages import FeedbackAnswer, FeedbackItem, FeedbackStream, FeedbackStreams
from luna_streams.stream import StreamState, StreamStatus

PROGRESS_STEP: Final = 0.01


class Feedback:
    """Takes reports of workers.

    Args:
        watch: is told of every handler that is alive.
        parallel_writes: status writes of one request at the same time.
    """

    def __init__(self, store: Store, records: Records, watch: HandlerWatch, *, parallel_writes: int = 16) -> None:
        self._store = store
        self._records = records
        self._watch = watch
        self._parallel_writes = parallel_writes

    async def report(self, worker: Worker, items: Iterable[FeedbackItem]) -> FeedbackAnswer:
        """Apply reports; return what the worker may go on with (`unmodified`) and what it has to stop (`modified`).

        Several reports about one stream are applied in their order.

        Raises:
            ApiError: a write failed; the worker may report the same again.
        """
        by_stream: dict[str, list[Report]] = {}
        for item in items:
            by_stream.setdefault(item.stream_id, []).append(item.to_report(worker.process))
        verdicts: dict[str, tuple[bool, FeedbackStream]] = {}
        to_write: list[str] = []
        for stream_id, reports in by_stream.items():
            verdict = self._without_write(stream_id, reports)
            if verdict is None:
                to_write.append(stream_id)
            else:
                verdicts[stream_id] = verdict

        async def write(stream_id: str) -> None:
            verdicts[stream_id] = await self._write(stream_id, by_stream[stream_id])

        await for_each(to_write, write, limit=self._parallel_writes)
        ordered = [verdicts[stream_id] for stream_id in by_stream]
        return FeedbackAnswer(
            streams=FeedbackStreams(
                modified=tuple(stream for follows, stream in ordered if not follows),
                unmodified=tuple(stream for follows, stream in ordered if follows),
            )
        )

    def _without_write(self, stream_id: str, reports: list[Report]) -> tuple[bool, FeedbackStream] | None:
        """Return the verdict on a stream whose record stays as it is; None if something is to be written."""
        entry = self._store.catalogue.get(stream_id)
        if entry is None:
            return False, _not_found(stream_id)
        if any(_settled(entry.record, report, utc_now()) is not entry.record for report in reports):
            self._watch.heard(stream_id)  # alive, even if the write should fail
            return None
        return self._verdict(entry, reports[-1])

    async def _write(self, stream_id: str, reports: list[Report]) -> tuple[bool, FeedbackStream]:
        entry = self._store.catalogue.get(stream_id)
        if entry is None:
            return False, _not_found(stream_id)

        def decide(_current: Entry, record: StreamStatus, now: datetime) -> StreamStatus:
            for report in reports:
                record = _settled(record, report, now)
            return record

        try:
            return self._verdict(await self._records.move(entry, decide), reports[-1])
        except StreamNotFound:
            return False, _not_found(stream_id)

    def _verdict(self, entry: Entry, report: Report) -> tuple[bool, FeedbackStream]:
        record = entry.record
        follows = follows_report(record, report)
        if follows and record.status == StreamState.IN_PROGRESS:
            self._watch.heard(entry.stream_id)
        answer = FeedbackStream(stream_id=entry.stream_id, status=record.status.value, version=record.version)
        return follows, answer


def _settled(record: StreamStatus, report: Report, now: datetime) -> StreamStatus:
    """Return the record after a report; the very same one if the report says nothing that is worth a write."""
    told = advance(record, report, now).record
    return told if is_news(record, told) else record


def is_news(old: StreamStatus, new: StreamStatus) -> bool:
    """Tell whether a record is worth writing: anything but a little progress is."""
    if new is old:
        return False
    before, after = old.video_info, new.video_info
    if old.model_copy(update={"video_info": after}) != new or before is None or after is None:
        return True
    if before.model_copy(update={"progress": after.progress}) != after:
        return True
    return abs((after.progress or 0.0) - (before.progress or 0.0)) >= PROGRESS_STEP


def _not_found(stream_id: str) -> FeedbackStream:
    return FeedbackStream(stream_id=stream_id, status=StreamState.NOT_FOUND.value, version=0)
