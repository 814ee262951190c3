"""The steward does what the operator does, a second later and once; in memory, by a clock the test turns."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records
from luna_api_shim.upkeep.steward import Steward
from luna_kube import Unavailable
from luna_streams.policies import AutorestartPolicy
from luna_streams.stream import Stream, StreamState
from support.builders import NOW, STREAM_ID, a_record, a_stream
from support.memory_store import MemoryStore

SECOND = timedelta(seconds=1)


class Yard:
    """A steward and the streams it looks after."""

    def __init__(self) -> None:
        self.store, self.now = MemoryStore(), NOW + SECOND
        self.steward = Steward(self.store, Records(self.store, self.clock), self.clock)

    def clock(self) -> datetime:
        return self.now

    def add(self, number: int = 1, *, follows: bool = True, status: str = "pending", **spec: Any) -> Entry:
        """Put a stream there; `follows` says whether its record knows the present spec."""
        stream = a_stream(STREAM_ID[:-2] + f"{number:02d}", **spec)
        record = a_record(a_stream().spec if not follows else stream.spec, status=status)
        record = record.model_copy(update={"observed_generation": stream.generation - (not follows)})
        return self.store.add(stream.model_copy(update={"status": record}))

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.steward.look()
            self.now += SECOND / 2


@pytest.fixture
def yard() -> Yard:
    return Yard()


async def test_a_spec_edited_by_hand_is_followed_after_the_operator_had_its_chance(yard: Yard) -> None:
    entry = yard.add(follows=False, desired_status=StreamState.PAUSE)
    await yard.look(2)
    assert yard.store.writes == []
    await yard.look(2)
    assert yard.store.record(entry).status == StreamState.PAUSE
    await yard.look(9)
    assert yard.store.writes == ["status"]


async def test_an_edit_that_asks_for_nothing_new_costs_no_write(yard: Yard) -> None:
    yard.add(follows=False, groups=("doors",))
    await yard.look(9)
    assert yard.store.writes == []


async def test_a_failed_stream_is_restarted_when_it_is_due(yard: Yard) -> None:
    entry = yard.add(status="failure", autorestart=AutorestartPolicy(restart=1, attempt_count=2, delay=60))
    await yard.look(3)
    record = yard.store.record(entry)
    assert (record.status, record.autorestart.current_attempt) == (StreamState.PENDING, 1)
    await yard.look(9)
    assert yard.store.writes == ["status"]
    yard.now += 60 * SECOND
    await yard.look(3)
    assert yard.store.record(entry).autorestart.status == "enabled"


@pytest.mark.parametrize("autorestart", [AutorestartPolicy(), AutorestartPolicy(restart=1)], ids=["off", "denied"])
async def test_what_is_not_to_be_restarted_is_not_even_looked_at(yard: Yard, autorestart: AutorestartPolicy) -> None:
    entry = yard.add(status="failure", autorestart=autorestart)
    if autorestart.restart:
        counters = entry.record.autorestart.model_copy(update={"status": "denied"})
        denied = entry.record.model_copy(update={"autorestart": counters})
        yard.store.add(entry.stream.model_copy(update={"status": denied}))
    assert yard.store.catalogue.restarting() == []
    await yard.look(9)
    assert yard.store.writes == []


async def test_one_stream_that_cannot_be_written_holds_up_no_other(yard: Yard) -> None:
    first, second = (yard.add(n, follows=False, desired_status=StreamState.PAUSE) for n in (1, 2))

    def fail_first(_what: str, stream: Stream | None) -> None:
        if stream is not None and stream.name == first.stream.name:
            raise Unavailable("PUT", "no answer")

    yard.store.before_write = fail_first
    await yard.look(4)
    assert yard.store.record(second).status == StreamState.PAUSE
    yard.store.before_write = lambda _what, _stream: None
    await yard.look(1)
    assert yard.store.record(first).status == StreamState.PAUSE


async def test_trouble_is_told_once_and_not_at_every_look(yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_what: str, _stream: Stream | None) -> None:
        raise Unavailable("PUT", "no answer")

    for number in range(1, 10):
        yard.add(number, follows=False, desired_status=StreamState.PAUSE)
    yard.store.before_write = fail
    await yard.look(20)
    (told,) = caplog.messages
    assert "cannot be looked after yet, and 8 more" in told
    yard.add(10, follows=False, desired_status=StreamState.PAUSE)
    await yard.look(20)
    assert "and 0 more" in caplog.messages[1]
    assert len(caplog.messages) == 2
