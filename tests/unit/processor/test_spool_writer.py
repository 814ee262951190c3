"""What becomes of events while the disk takes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from luna_processor.delivery.accounts import Account
from luna_processor.delivery.outbox import Outbox
from luna_processor.delivery.spool import Spool, SpoolFailed
from luna_processor.delivery.spool_records import Change, StoreEvent
from luna_processor.delivery.waiting import WaitingEvent
from support.processor_builders import a_shot, an_event
from support.waiting import eventually_blocking


class FullDisk(Spool):
    """A spool in memory that can be full: nothing is stored then, but things can be taken out."""

    def __init__(self) -> None:
        super().__init__(None)
        self.is_full = False
        self.is_broken = False

    def write(self, changes: Sequence[Change]) -> None:
        if self.is_broken or (self.is_full and any(isinstance(change, StoreEvent) for change in changes)):
            raise SpoolFailed("database or disk is full")
        super().write(changes)

    @property
    def stored(self) -> list[str]:
        return [event.request_id for event in self.waiting()]


@pytest.fixture
def disk() -> FullDisk:
    return FullDisk()


@pytest.fixture
def ready() -> list[WaitingEvent]:
    return []


@pytest.fixture
def outbox(disk: FullDisk, ready: list[WaitingEvent]) -> Iterator[Outbox]:
    made = Outbox(disk, 10**9)
    made.start(ready.extend)
    yield made
    made.close()


def add(outbox: Outbox, ready: list[WaitingEvent], size_bytes: int = 10) -> WaitingEvent:
    count = len(ready)
    assert outbox.add(an_event(shots=(a_shot(jpeg=bytes(size_bytes)),)), Account(), None) == "added"
    eventually_blocking(lambda: len(ready) > count, "it is ready to be sent")
    return ready[-1]


def test_events_go_out_from_memory_while_the_disk_is_full_and_are_stored_when_it_is_not(
    outbox: Outbox, disk: FullDisk, ready: list[WaitingEvent], caplog: pytest.LogCaptureFixture
) -> None:
    disk.is_full = True
    first, second = add(outbox, ready), add(outbox, ready)
    assert outbox.load(first).shots[0].jpeg == bytes(10)
    assert disk.stored == []
    outbox.settle(first, None)
    disk.is_full = False
    eventually_blocking(lambda: disk.stored == [second.stored.request_id], "what still waits is stored")
    eventually_blocking(lambda: second.body is None, "and its memory is free")
    assert outbox.load(second).shots[0].jpeg == bytes(10)
    assert outbox.write_failures
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "the spool takes nothing", "the spool takes events again",
    ]  # fmt: skip


def test_what_is_delivered_is_taken_out_of_a_disk_that_is_full(
    outbox: Outbox, disk: FullDisk, ready: list[WaitingEvent]
) -> None:
    there = add(outbox, ready)
    eventually_blocking(lambda: disk.stored == [there.stored.request_id], "it is stored")
    disk.is_full = True
    add(outbox, ready)
    outbox.settle(there, None)
    eventually_blocking(lambda: disk.stored == [], "room is made all the same")


def test_a_disk_that_takes_nothing_costs_no_more_memory_than_is_set_aside(
    outbox: Outbox, disk: FullDisk, ready: list[WaitingEvent]
) -> None:
    disk.is_broken = True
    for _ in range(3):
        add(outbox, ready, 10 * 2**20)
    assert outbox.add(an_event(shots=(a_shot(jpeg=bytes(10 * 2**20)),)), Account(), None) == "full"
    outbox.settle(ready[0], None)
    add(outbox, ready, 10 * 2**20)


def test_what_was_taken_out_while_the_disk_was_broken_is_gone_afterwards(
    outbox: Outbox, disk: FullDisk, ready: list[WaitingEvent]
) -> None:
    there = add(outbox, ready)
    eventually_blocking(lambda: disk.stored, "it is stored")
    disk.is_broken = True
    outbox.settle(there, None)
    eventually_blocking(lambda: outbox.write_failures, "it could not be taken out")
    disk.is_broken = False
    eventually_blocking(lambda: disk.stored == [], "it is now")
