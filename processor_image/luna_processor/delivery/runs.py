"""Which events of a file are behind it, when the file is read again because its worker was killed. Pure.

A run is finished when its end was reported and heard, or when somebody told the stream to stop: the next one is a new
run, whose events are new. A run that nobody finished goes on, and what it had settled is not sent again. What the
worker protocol tells is enough for that:

- the version of the stream: a PUT makes another stream of it;
- `video_info.start_time` of the last report the server has: where it is not ours, another worker had the stream in
  between and may have finished it, so that ours may not be trusted. Its events may then be sent twice, under the same
  names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from luna_processor.delivery.spool_records import Change, ForgetRun, Run, SetRun

_MOST_REMEMBERED: Final = 50_000
"""Events per run; a file that has more would send the rest of them twice, under the same names."""
_SAME_MOMENT_S: Final = 1.0
"""Servers may round times."""


@dataclass(frozen=True, slots=True)
class RunStart:
    """A stream was taken from the queue."""

    stream_id: str
    version: int
    began_at: datetime
    reported_began_at: datetime | None
    """When the run began that the server heard of last; None if it heard of none since the stream was written."""


class Runs:
    """The latest run of every stream whose source can be read again.

    Args:
        runs: that are remembered.
        settled: stream, request id, and why it was lost if it was, of every event behind an unfinished run.
    """

    def __init__(self, runs: Iterable[Run], settled: Iterable[tuple[str, str, str | None]]) -> None:
        self._runs = {run.stream_id: run for run in runs}
        self._settled: dict[str, dict[str, str | None]] = {}
        for stream_id, request_id, loss in settled:
            self._settled.setdefault(stream_id, {})[request_id] = loss

    def begin(self, start: RunStart) -> tuple[int, Change]:
        """Begin a run or go on with one; returns its number, and what is to be written."""
        known = self._runs.get(start.stream_id)
        number = known.number if known is not None and known.version == start.version else 0
        run = Run(start.stream_id, start.version, number, start.began_at.timestamp())
        forgets = known is None or not _goes_on(known, start)
        self._runs[start.stream_id] = run
        if forgets:
            self._settled.pop(start.stream_id, None)
        return number, SetRun(run, forgets)

    def finish(self, stream_id: str, version: int) -> Change | None:
        """Say that a run will not go on: its end was heard, or somebody stopped it."""
        run = self._runs.get(stream_id)
        if run is None or run.version != version or run.began_at_s is None:
            return None
        self._runs[stream_id] = replace(run, number=run.number + 1, began_at_s=None)
        self._settled.pop(stream_id, None)
        return SetRun(self._runs[stream_id], forgets_settled=True)

    def forget(self, stream_id: str) -> Change | None:
        """Say that a stream is gone for good."""
        self._settled.pop(stream_id, None)
        return ForgetRun(stream_id) if self._runs.pop(stream_id, None) else None

    def is_settled(self, stream_id: str, request_id: str) -> bool:
        """Return whether an event is behind the run: delivered, or lost."""
        return request_id in self._settled.get(stream_id, {})

    def loss(self, stream_id: str, request_id: str) -> str | None:
        """Return why a settled event was lost; None if it was delivered."""
        return self._settled.get(stream_id, {}).get(request_id)

    def settle(self, stream_id: str, version: int, request_id: str, loss: str | None) -> bool:
        """Put an event behind its run; returns whether that is to be remembered."""
        run = self._runs.get(stream_id)
        if run is None or run.version != version or run.began_at_s is None:
            return False
        settled = self._settled.setdefault(stream_id, {})
        if len(settled) >= _MOST_REMEMBERED:
            return False
        settled[request_id] = loss
        return True


def _goes_on(run: Run, start: RunStart) -> bool:
    """Return whether a start is the same run once more."""
    if run.version != start.version or run.began_at_s is None:
        return False
    reported = start.reported_began_at
    return reported is None or abs(reported.timestamp() - run.began_at_s) <= _SAME_MOMENT_S
