"""An event on its way, as the outbox, the writer and the lanes see it."""

from __future__ import annotations

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
    tries: int = 0
    """Of the delivery; only its lane changes it."""
