"""An event on its way, as the outbox, the writer and the lanes see it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from luna_processor.delivery.accounts import Account
from luna_processor.delivery.spool_records import StoredEvent


@dataclass(slots=True, eq=False)
class WaitingEvent:
    """One event; changed by the outbox, under its lock, except for `tries`."""

    stored: StoredEvent
    account: Account
    """Of the run that waits for it."""
    image_origins: tuple[str | None, ...]
    """Where the source frame of each shot was stored, None where it was not."""
    body: bytes | None = field(default=None, repr=False)
    """Until the spool has it."""
    is_settled: bool = False
    born_at_s: float = field(default_factory=time.monotonic)
    """When it was made, by the monotonic clock: one that is set right while events wait makes none of them old."""
    tries: int = 0
    """Of the delivery; only its lane changes it."""

    @property
    def age_s(self) -> float:
        """How long it has waited, with the time before a restart."""
        return time.monotonic() - self.born_at_s
