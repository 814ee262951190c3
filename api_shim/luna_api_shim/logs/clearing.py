"""Clears old entries of the log by itself, if that is wanted: LUNA_STREAMS_LOGS_CLEAR_INTERVAL of LUNA Streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from luna_api_shim.errors import LogsUnavailable
from luna_api_shim.logs.rows import LogRows

log = logging.getLogger(__name__)

IntervalType = Literal["weeks", "days", "hours", "minutes", "seconds"]


@dataclass(frozen=True, slots=True)
class ClearInterval:
    """How old entries become.

    Attributes:
        interval: in units of `interval_type`.
        check_interval_s: time between two looks.
    """

    interval: int
    interval_type: IntervalType
    check_interval_s: float

    def bound(self, now: datetime) -> datetime:
        """Return the time before which entries are cleared; the beginning of time if that is longer ago."""
        try:
            return now - timedelta(**{self.interval_type: self.interval})
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)


async def clear_regularly(rows: LogRows, interval: ClearInterval, now: Callable[[], datetime]) -> None:
    """Clear until cancelled."""
    while True:
        try:
            count = await rows.clear(interval.bound(now()))
        except LogsUnavailable as e:  # the next look makes up for it
            log.warning("the log cannot be cleared: %s", e)
        else:
            if count:
                log.info("cleared %d entries of the log", count)
        await asyncio.sleep(interval.check_interval_s)
