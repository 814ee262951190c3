"""In which order, and how eagerly, the events for one platform are tried. Pure: times come in, nothing is sent here.

Two kinds of trouble are told apart by what happens to the others. When several tries in a row fail, the platform is
down: the lane pauses with back-off and lets one event at a time find out whether it is up again. When others go
through, the trouble is the event's own (a handler that answers 500 for one stream): it waits with a back-off of its own
and holds nobody up, however many of its kind there are.
Events that were never tried go in the order they came, and take turns with those that are tried again.

How many are out at once follows what the platform bears: one more for each round that went well while others waited,
half of them after a failure. (Additive increase, multiplicative decrease: Chiu and Jain, 1989.)
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

_STRIKES: Final = 4
"""Failed tries in a row, whichever events', by which a platform counts as down."""
_MOST_DOUBLINGS: Final = 32


class Tried(Protocol):
    """What stands in a lane."""

    tries: int
    """How often it was tried."""


_Item = TypeVar("_Item", bound=Tried)


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long it is waited between tries."""

    first_s: float = 0.5
    longest_s: float = 15.0

    def after(self, failures: int, jitter: float) -> float:
        """Return the pause after so many failures in a row: doubled each time, and shortened by up to a half.

        Args:
            failures: 1 at least.
            jitter: 0 to 1; by it, many workers do not come back in the same moment.
        """
        return float(min(self.longest_s, self.first_s * 2 ** min(failures - 1, _MOST_DOUBLINGS)) * (1 - jitter / 2))

    def at_least(self, asked_s: float, jitter: float) -> float:
        """Return the pause that a platform asked for: the longest of ours at most, and not the same for all workers."""
        return min(self.longest_s, asked_s + self.first_s * jitter) if asked_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Width:
    """How many events of a lane may be out at once."""

    least: int = 4
    most: int = 32


class Lane(Generic[_Item]):
    """The events for one platform that are not being sent at the moment.

    Args:
        pauses: between tries.
        jitter: returns a random number from 0 to 1.
        width: how many may be out at once.
    """

    def __init__(self, pauses: Pauses, jitter: Callable[[], float], width: Width) -> None:
        self._pauses = pauses
        self._limits = width
        self._width = float(width.least)
        self._jitter = jitter
        self._fresh: deque[_Item] = deque()
        self._again: list[tuple[float, int, _Item]] = []
        """Heap: when it is due, a running number, the event."""
        self._numbers = itertools.count()
        self._failures = 0
        self._opens_at_s = 0.0
        self._out = 0
        self._is_freshs_turn = True

    def __iter__(self) -> Iterator[_Item]:
        yield from self._fresh
        yield from self.failing

    @property
    def failing(self) -> Iterator[_Item]:
        """The events that wait for another try."""
        return (item for _, _, item in self._again)

    @property
    def is_down(self) -> bool:
        """Whether the platform takes nothing at present."""
        return self._failures >= _STRIKES

    @property
    def _has_room(self) -> bool:
        """Whether one more may be out: a platform that is down is asked by one event at a time."""
        return self._out < (1 if self.is_down else int(self._width))

    def add(self, item: _Item) -> None:
        """Let an event wait that was never tried."""
        self._fresh.append(item)

    def pick(self, now_s: float) -> _Item | None:
        """Take out what is to be tried now; say later what came of it by `passed`, `failed` or `dropped`."""
        if not self._has_room or (self.is_down and now_s < self._opens_at_s):
            return None
        is_due = bool(self._again) and self._again[0][0] <= now_s
        if self._fresh and (self._is_freshs_turn or self.is_down or not is_due):
            item = self._fresh.popleft()
            self._is_freshs_turn = False
        elif is_due:
            item = heapq.heappop(self._again)[2]
            self._is_freshs_turn = True
        else:
            return None
        self._out += 1
        return item

    def next_look_s(self) -> float | None:
        """Return when something may be due if nothing happens before; None if nothing will.

        Nothing will either while as many are out as may be: one of them has to come back first.
        """
        if not self._has_room or not (self._fresh or self._again):
            return None
        due_s = 0.0 if self._fresh else self._again[0][0]
        return max(due_s, self._opens_at_s) if self.is_down else due_s

    def passed(self) -> None:
        """The platform answered for what was picked, be it by a refusal: it is up."""
        if self._out >= int(self._width):  # one that is not in use says nothing about what the platform bears
            self._width = min(self._limits.most, self._width + 1 / self._width)
        self._out -= 1
        self._failures = 0

    def dropped(self) -> None:
        """What was picked never reached the platform, and will not."""
        self._out -= 1

    def failed(self, item: _Item, now_s: float, asked_s: float = 0.0) -> None:
        """What was picked could not be sent; it waits for another try.

        Args:
            item: what was picked.
            now_s: the time.
            asked_s: how long the platform asked to be left alone. All its events are, if it is down; otherwise this
                one, for others go through.
        """
        self._width = max(self._limits.least, self._width / 2)
        self._out -= 1
        self._failures += 1
        item.tries += 1
        asked_s = self._pauses.at_least(asked_s, self._jitter())
        if self.is_down:
            own_s = self._pauses.after(self._failures - _STRIKES + 1, self._jitter())
            self._opens_at_s = max(self._opens_at_s, now_s + max(own_s, asked_s))
        due_s = now_s + max(self._pauses.after(item.tries, self._jitter()), asked_s)
        heapq.heappush(self._again, (due_s, next(self._numbers), item))

    def take_all(self, is_wanted: Callable[[_Item], bool]) -> list[_Item]:
        """Take out every event of which something is true, without trying it."""
        taken = [item for item in self if is_wanted(item)]
        if taken:
            gone = {id(item) for item in taken}
            self._fresh = deque(item for item in self._fresh if id(item) not in gone)
            self._again = [entry for entry in self._again if id(entry[2]) not in gone]
            heapq.heapify(self._again)
        return taken
