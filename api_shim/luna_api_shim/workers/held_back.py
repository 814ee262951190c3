"""Reports that were answered and are still to be written: one for each stream, the newest.

Pure: `feedback` puts them here and writes them when their time has come. They live in the leader only, and end with its
term, since workers report again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce

from luna_streams.lifecycle import Report, follows_report
from luna_streams.stream import StreamStatus

Run = tuple[int, datetime]
"""Version of a stream and its last change of status: what a report was about."""


def run_of(record: StreamStatus) -> Run:
    """Return what a report about this record is about."""
    return record.version, record.status_time


@dataclass(frozen=True, slots=True)
class Held:
    """What is held back of a stream.

    Attributes:
        run: what it is about; it says nothing about any other run.
        due: when it is to be written, monotonic seconds.
    """

    report: Report
    run: Run
    due: float


class HeldBack:
    """The newest report of each stream that is still to be written."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def clear(self) -> None:
        """Drop everything."""
        self._held.clear()

    def hold(self, stream_id: str, record: StreamStatus, reports: Iterable[Report], due: float) -> None:
        """Keep what reports say about a record, the latest of each thing they say.

        What is held back already is newer, as it came while these were being written.
        """
        run, newer = run_of(record), self._held.get(stream_id)
        about = [report for report in reports if follows_report(record, report)]
        if newer is not None and newer.run == run:
            about.append(newer.report)
            due = min(due, newer.due)
        if about:
            self._held[stream_id] = Held(reduce(_merged, about), run, due)

    def take(self, stream_id: str) -> Held | None:
        """Return what is held back of a stream, and hold it no more."""
        return self._held.pop(stream_id, None)

    def due(self, now: float) -> list[str]:
        """Return the streams of which something is to be written now."""
        return [stream_id for stream_id, held in self._held.items() if held.due <= now]


def _merged(older: Report, newer: Report) -> Report:
    """Return the newer report, with what it does not repeat of the older one."""
    video_info, preview = newer.video_info or older.video_info, newer.preview or older.preview
    return replace(newer, video_info=video_info, preview=preview)
