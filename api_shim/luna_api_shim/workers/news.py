"""What a report says that the record does not, and how soon that is to be written.

Workers report every few seconds, and some figures (the size of a group of pictures, progress) are different each time:
they are written at most so often for each stream. Everything else is written whenever it changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

from luna_streams.policies import VideoInfo
from luna_streams.stream import StreamStatus

PROGRESS_STEP: Final = 0.01
BURST: Final = 10.0
"""Figures of a stream that are written without delay, one after the other."""
REFILL_S: Final = 30.0
"""After which one more may be written: 10,000 restless streams then make about 330 writes a second, and not 2,000."""
_PRUNE_ABOVE: Final = 1000
_FIGURES: Final = ("frame_rate", "bit_rate", "gop_size", "progress")
"""What a worker measures as it goes; the rest of its video information stays as long as the source does."""


class News(Enum):
    """How much more one record says than another."""

    NONE = auto()
    LITTLE = auto()
    """A little progress: it can wait."""
    FIGURES = auto()
    """Figures that may be different every time: they wait if there were many."""
    FIRM = auto()
    """Anything else: it is written at once."""


def news(old: StreamStatus, new: StreamStatus) -> News:
    """Return how much more the new record says."""
    if new == old:
        return News.NONE
    before, after = old.video_info, new.video_info
    if old.model_copy(update={"video_info": after}) != new or before is None or after is None:
        return News.FIRM
    if _with_figures_of(before, after, _FIGURES) != after:
        return News.FIRM
    if _with_figures_of(before, after, ("progress",)) != after:
        return News.FIGURES
    step = abs((after.progress or 0.0) - (before.progress or 0.0))
    return News.FIGURES if step >= PROGRESS_STEP else News.LITTLE


def _with_figures_of(one: VideoInfo, other: VideoInfo, figures: tuple[str, ...]) -> VideoInfo:
    changes: dict[str, Any] = {figure: getattr(other, figure) for figure in figures}
    return one.model_copy(update=changes)


class FiguresBudget:
    """How many figures of each stream may be written now.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}
        self._prune_above = _PRUNE_ABOVE

    def __len__(self) -> int:
        return len(self._spent)

    def spend(self, stream_id: str) -> float:
        """Take one from a stream's budget; return 0, or the seconds until there is one to take."""
        now = self._clock()
        spent = self._left_over(stream_id, now)
        if spent > BURST - 1:
            return (spent - (BURST - 1)) * REFILL_S
        self._spent[stream_id] = spent + 1, now
        if len(self._spent) > self._prune_above:
            self._spent = {name: value for name, value in self._spent.items() if self._left_over(name, now) > 0}
            self._prune_above = max(_PRUNE_ABOVE, 2 * len(self._spent))
        return 0.0

    def _left_over(self, stream_id: str, now: float) -> float:
        """Return how much was spent and has not come back yet."""
        spent, at = self._spent.get(stream_id, (0.0, now))
        return max(0.0, spent - (now - at) / REFILL_S)
