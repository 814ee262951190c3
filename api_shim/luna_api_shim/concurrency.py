"""Doing many things at the same time, but not too many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[R]], *, limit: int) -> list[R]:
    """Run `work` on every item, at most `limit` at a time; return the results in the items' order.

    Every item gets its turn, also after one failed; then the first failure is raised.
    """
    slots = asyncio.Semaphore(limit)

    async def one(item: T) -> R:
        async with slots:
            return await work(item)

    results = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
    good: list[R] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        good.append(result)
    return good
