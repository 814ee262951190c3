"""Waiting in tests: poll a condition until it holds or a deadline passes; never sleep and hope."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""A deadline that no machine misses because it is busy: a wait that is over costs nothing."""


async def eventually(condition: Callable[[], object], what: str = "", timeout_s: float = PATIENCE_S) -> None:
    """Return as soon as the condition is true; fail after the deadline, saying what did not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what or condition}"
        await asyncio.sleep(0.005)


def eventually_blocking(condition: Callable[[], object], what: str = "", timeout_s: float = PATIENCE_S) -> None:
    """Do the same in a test that has no event loop."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what or condition}"
        time.sleep(0.005)
