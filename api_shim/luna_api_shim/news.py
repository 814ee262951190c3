"""Which reports are worth a write: a change of status always, other news at most so often for each stream.

Workers report every few seconds, and some figures (the size of a group of pictures, progress, a text that counts) are
different each time. What was not written is no loss: the next report says it again, and the last one is always written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from luna_streams.stream import StreamStatus

PROGRESS_STEP: Final = 0.01
BURST: Final = 3.0
"""News of a stream that are written without delay, one after the other."""
REFILL_S: Final = 30.0
"""After which one more may be written: 10,000 restless streams then make about 330 writes a second, and not 2,000."""
_PRUNE_ABOVE: Final = 1000


class NewsBudget:
    """How many news of each stream may be written now.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}
        self._prune_above = _PRUNE_ABOVE

    def __len__(self) -> int:
        return len(self._spent)

    def spend(self, stream_id: str) -> bool:
        """Take one from a stream's budget; False if there is none left."""
        now = self._clock()
        spent = self._left_over(stream_id, now)
        if spent > BURST - 1:
            return False
        self._spent[stream_id] = spent + 1, now
        if len(self._spent) > self._prune_above:
            self._spent = {name: value for name, value in self._spent.items() if self._left_over(name, now) > 0}
            self._prune_above = max(_PRUNE_ABOVE, 2 * len(self._spent))
        return True

    def _left_over(self, stream_id: str, now: float) -> float:
        """Return how much was spent and has not come back yet."""
        spent, at = self._spent.get(stream_id, (0.0, now))
        return max(0.0, spent - (now - at) / REFILL_S)


def is_news(old: StreamStatus, new: StreamStatus) -> bool:
    """Tell whether a record says more than a little progress that the other does not."""
    if new is old:
        return False
    before, after = old.video_info, new.video_info
    if old.model_copy(update={"video_info": after}) != new or before is None or after is None:
        return True
    if before.model_copy(update={"progress": after.progress}) != after:
        return True
    return abs((after.progress or 0.0) - (before.progress or 0.0)) >= PROGRESS_STEP
