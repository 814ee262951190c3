"""Many writers of one object, and one that never gets its turn."""

import asyncio
from dataclasses import dataclass

import pytest

from luna_api_shim.storage.conflicts import first_in_line
from luna_kube import Conflict
from support.waiting import PATIENCE_S


@dataclass(frozen=True)
class Counter:
    version: int
    value: int


class Server:
    """Takes a write only under the newest version, and takes its time."""

    def __init__(self, write_s: float = 0.001) -> None:
        self.counter = Counter(1, 0)
        self.conflicts = 0
        self._write_s = write_s

    async def add_one(self, known: Counter) -> Counter:
        await asyncio.sleep(self._write_s)
        if known.version != self.counter.version:
            self.conflicts += 1
            raise Conflict("write the counter", "the object has been modified", status=409)
        self.counter = Counter(known.version + 1, known.value + 1)
        return self.counter

    async def read(self, _known: Counter) -> Counter:
        await asyncio.sleep(self._write_s)
        return self.counter


async def test_all_of_many_writers_get_through() -> None:
    server = Server()

    await asyncio.gather(*(first_in_line(server.add_one, server.counter, server.read) for _ in range(40)))

    assert server.counter.value == 40
    assert server.conflicts > 40  # more than one attempt each, else the test shows nothing


async def test_who_never_gets_a_turn_is_told_so_in_time() -> None:
    server = Server()

    async def always_late(known: Counter) -> Counter:
        server.counter = Counter(known.version + 1, known.value)
        return await server.add_one(known)

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Conflict):
            await first_in_line(always_late, server.counter, server.read, patience_s=0.3)
    assert server.conflicts > 3


async def test_other_errors_are_not_tried_again() -> None:
    server, calls = Server(), []

    async def broken(known: Counter) -> Counter:
        calls.append(known)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await first_in_line(broken, server.counter, server.read)
    assert len(calls) == 1
