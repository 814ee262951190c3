"""Writing an object that others write, too: again on the newest version.

A count of attempts is no bound: with twelve writers at once one of them may lose eleven times and has done nothing
wrong. What a caller feels is time, so that is what is bounded. Nobody pauses in between: each conflict means that
another writer got through, so there are as many rounds as writers at most, and reading again keeps them apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from luna_kube import Conflict

_PATIENCE_S: Final = 10.0

_Object = TypeVar("_Object")
_Result = TypeVar("_Result")


async def first_in_line(
    attempt: Callable[[_Object], Awaitable[_Result]],
    known: _Object,
    read_again: Callable[[_Object], Awaitable[_Object]],
    patience_s: float = _PATIENCE_S,
) -> _Result:
    """Return what `attempt` returns once no other writer was faster.

    Args:
        attempt: computes and writes, under the version it is given.
        known: the version to begin with.
        read_again: returns the newest version.
        patience_s: how long it is tried; once in any case.

    Raises:
        Conflict: another writer was faster until the end.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + patience_s
    while True:
        try:
            return await attempt(known)
        except Conflict:
            if loop.time() >= deadline_s:
                raise
        known = await read_again(known)
