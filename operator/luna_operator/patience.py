"""What failed is left alone for a while, ever longer, so that one bad object does not keep the operator busy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

_FIRST_S, _LONGEST_S = 1.0, 60.0
_FORGOTTEN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Wait:
    until: datetime
    delay_s: float

    def lasts(self, now: datetime) -> bool:
        """Tell whether it is not over."""
        return self.lasted(now, now)

    def lasted(self, since: datetime, now: datetime) -> bool:
        """Tell whether it was not over at `since`; a clock that was set back does not make it longer."""
        return since < self.until <= now + timedelta(seconds=self.delay_s)


class Patience:
    """Remembers which keys failed and until when they are left alone."""

    def __init__(self) -> None:
        self._waits: dict[str, _Wait] = {}

    def failed(self, key: str, now: datetime) -> None:
        """Leave a key alone; twice as long as the last time if it failed again."""
        self._forget(now)
        before = self._waits.get(key)
        delay_s = _FIRST_S if before is None else min(_LONGEST_S, before.delay_s * 2)
        self._waits[key] = _Wait(now + timedelta(seconds=delay_s), delay_s)

    def succeeded(self, key: str) -> None:
        """Forget the failures of a key."""
        self._waits.pop(key, None)

    def left_alone(self, now: datetime) -> frozenset[str]:
        """Return the keys that are not to be tried now."""
        return frozenset(key for key, wait in self._waits.items() if wait.lasts(now))

    def next_try(self, since: datetime, now: datetime) -> datetime | None:
        """Return when the next key may be tried again that was left alone at `since`, or is so by now."""
        return min((wait.until for wait in self._waits.values() if wait.lasted(since, now)), default=None)

    def _forget(self, now: datetime) -> None:
        """Forget the keys that were not tried again for long: there is nothing to be done about them any more."""
        self._waits = {key: wait for key, wait in self._waits.items() if now - wait.until < _FORGOTTEN}
