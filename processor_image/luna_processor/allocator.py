"""Keep what the process has freed usable for all its threads, or give it back, so that its memory stays flat."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Mapping

ARENAS = 2
_M_ARENA_MAX = -8
"""As glibc's malloc.h numbers it."""
RETURN_EVERY_S = 30.0
"""Often enough for sources that break all the time; each return takes milliseconds."""


def bound_arenas(environment: Mapping[str, str] = os.environ) -> None:
    """Let the C library allocate from few arenas; to be called before the threads of streams start.

    By itself glibc has eight per core, and what is freed in one is of no use to a thread of another: every connection
    has a new thread and decoder, so memory crept up by megabytes in a thousand reconnects. Few calls per frame
    allocate, large pictures are mapped by themselves, and Python's own objects are behind its lock: nobody waits.

    Source: mallopt(3). A C library without arenas (musl) is left alone, and so is a choice of the user's.

    Args:
        environment: of the process.
    """
    if "MALLOC_ARENA_MAX" in environment or "glibc.malloc.arena_max" in environment.get("GLIBC_TUNABLES", ""):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)


async def return_free_memory_for_ever() -> None:
    """Give the system back what is free within the arenas, again and again.

    By itself the C library returns only what lies at the end of an arena. Every source leaves holes of other sizes (a
    decoder's frames, a file's index) before it, so a process that reads many kept hundreds of megabytes of nothing.

    Source: malloc_trim(3), since glibc 2.8. A C library without it is left alone.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(RETURN_EVERY_S)
        await asyncio.to_thread(trim, 0)
