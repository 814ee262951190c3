"""Handlers that are silent for too long, by a clock the test turns."""

from __future__ import annotations

from typing import Any

import pytest

from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records
from luna_api_shim.workers.handlers import HandlerWatch, lose
from luna_kube import Unavailable
from luna_streams.stream import ProcessorBinding, Stream, StreamState
from support.builders import STREAM_ID, a_record, a_stream
from support.memory_store import MemoryStore

PERIOD_S = 20.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(store: MemoryStore, clock: Clock) -> HandlerWatch:
    return HandlerWatch(store, Records(store), period_s=PERIOD_S, clock=clock)


def in_progress(store: MemoryStore, stream_id: str = STREAM_ID) -> Entry:
    stream = a_stream(stream_id)
    return store.add(stream.model_copy(update={"status": a_record(stream.spec, status="in_progress")}))


def test_a_handler_is_overdue_after_a_whole_period_of_silence(
    store: MemoryStore, watch: HandlerWatch, clock: Clock
) -> None:
    entry = in_progress(store)
    assert watch.overdue() == []
    clock.now += PERIOD_S - 0.1
    assert watch.overdue() == []
    clock.now += 0.1
    assert watch.overdue() == [entry]


def test_a_report_gives_another_period(store: MemoryStore, watch: HandlerWatch, clock: Clock) -> None:
    entry = in_progress(store)
    watch.overdue()
    clock.now += PERIOD_S - 1
    watch.heard(entry.stream_id)
    clock.now += PERIOD_S - 1
    assert watch.overdue() == []


def test_a_new_term_gives_everybody_a_period_of_grace(store: MemoryStore, watch: HandlerWatch, clock: Clock) -> None:
    in_progress(store)
    watch.overdue()
    clock.now += 10 * PERIOD_S
    watch.begin()
    assert watch.overdue() == []
    clock.now += PERIOD_S
    assert len(watch.overdue()) == 1


def test_what_is_not_in_progress_is_forgotten(store: MemoryStore, watch: HandlerWatch, clock: Clock) -> None:
    entry = in_progress(store)
    watch.overdue()
    store.add(entry.stream.model_copy(update={"status": a_record(entry.stream.spec, status="pause")}))
    clock.now += PERIOD_S
    assert watch.overdue() == []
    in_progress(store)  # taken again: the old times do not count
    assert watch.overdue() == []


async def test_a_lost_stream_goes_back_into_the_queue(store: MemoryStore) -> None:
    entry = in_progress(store)
    await lose(Records(store), entry, "gone")
    record = store.record(entry)
    assert (record.status, record.last_error, record.processor) == (StreamState.PENDING, "gone", ProcessorBinding())


async def test_trouble_is_told_once_and_not_every_second(
    store: MemoryStore, watch: HandlerWatch, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_what: str, _stream: Stream | None) -> None:
        raise Unavailable("PUT", "no answer")

    entries = [in_progress(store, STREAM_ID[:-1] + str(number)) for number in range(5)]
    watch.overdue()
    clock.now += PERIOD_S
    store.before_write = fail
    for _ in range(10):
        await watch.give_up()
    (told,) = caplog.messages
    assert "has lost its handler, which cannot be written yet, and 4 more: PUT" in told

    store.before_write = lambda _what, _stream: None
    await watch.give_up()
    assert {store.record(entry).status for entry in entries} == {StreamState.PENDING}


@pytest.mark.parametrize("what", ["another holder", "another version", "finished", "reported"])
async def test_a_stream_that_moved_on_is_not_lost(store: MemoryStore, what: str) -> None:
    entry = in_progress(store)
    changes: Any = {
        "another holder": {"processor": ProcessorBinding(worker="another")},
        "another version": {"version": 2},
        "finished": {"status": StreamState.DONE},
        "reported": {},
    }[what]
    store.change(entry.stream, status=entry.record.model_copy(update=changes))

    await lose(Records(store), entry, "gone", unless=lambda: what == "reported")

    assert store.record(entry).last_error is None
    assert store.record(entry).status != StreamState.PENDING
