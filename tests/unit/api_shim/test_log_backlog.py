"""The backlog of the log: what waits for being copied, what was lost, what a new leader finds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from luna_api_shim.logs.backlog import Addition, Backlog, Copied, LoggedStream
from luna_api_shim.storage.catalogue import Entry
from luna_streams.lifecycle import UserRequest, advance
from luna_streams.stream import DesiredState, Stream, StreamState, StreamStatus
from support.builders import NOW, STREAM_ID, a_record, a_stream

LATER = NOW + timedelta(hours=1)


def a_life(steps: int, name: str = STREAM_ID) -> Entry:
    """Return a stream that changed its status so many times; it began as pending."""
    record = a_record()
    for step in range(steps):
        record = switched(record, step)
    return Entry(a_stream(name, record=record))


def switched(record: StreamStatus, step: int) -> StreamStatus:
    wanted: DesiredState = StreamState.PENDING if record.status == StreamState.PAUSE else StreamState.PAUSE
    event = UserRequest(wanted, STREAM_ID, is_videofile=False)
    return advance(record, event, NOW + timedelta(seconds=step + 1)).record


def live(entry: Entry) -> tuple[Entry, Any]:
    assert entry.stream.status is not None
    return entry, entry.stream.status.history


def numbers(batch: list[Addition]) -> list[int]:
    return [entry.seq for addition in batch for entry in addition.entries]


def copied(entry: Entry, last_seq: int, *, is_deleted: bool = False) -> dict[str, Copied]:
    return {entry.stream.uid: Copied(LoggedStream.of(entry), last_seq, 1, NOW, is_deleted)}


def leading(*streams: Entry, known: dict[str, Copied] | None = None) -> Backlog:
    backlog = Backlog()
    backlog.keep(streams)
    backlog.begin(known or {}, [], LATER)
    return backlog


def drained(backlog: Backlog, limit: int = 500) -> list[Addition]:
    found: list[Addition] = []
    while batch := backlog.next(limit):
        backlog.done(batch)
        found += batch
    return found


def test_everything_that_was_never_copied_waits() -> None:
    assert numbers(drained(leading(a_life(3)))) == [1, 2, 3, 4]


def test_what_was_copied_does_not_wait() -> None:
    entry = a_life(3)
    backlog = leading(entry, known=copied(entry, 3))
    assert len(backlog) == 1
    assert numbers(drained(backlog)) == [4]
    backlog.admit(*live(entry))
    assert backlog.next(10) == []


def test_the_same_history_twice_waits_once() -> None:
    backlog = leading(a_life(1))
    backlog.admit(*live(a_life(2)))
    backlog.admit(*live(a_life(1)))
    assert numbers(drained(backlog)) == [1, 2, 3]


def test_entries_that_left_the_resource_meanwhile_are_remembered() -> None:
    backlog = leading(a_life(0))
    for steps in range(1, 40):
        backlog.admit(*live(a_life(steps)))
    assert numbers(drained(backlog)) == list(range(1, 41))
    assert backlog.lost == 0


def test_entries_that_left_the_resource_unseen_are_counted() -> None:
    entry = a_life(29)
    backlog = leading(entry, known=copied(entry, 10))
    assert numbers(drained(backlog)) == list(range(19, 31))
    assert backlog.lost == 8
    backlog.admit(*live(a_life(49)))
    assert backlog.lost == 8 + 8


def test_a_full_memory_falls_back_on_the_resources() -> None:
    backlog = Backlog(most_entries=15)
    backlog.keep([])
    backlog.begin({}, [], LATER)
    for steps in range(60):
        backlog.admit(*live(a_life(steps)))
    assert len(backlog) <= 15
    assert backlog.lost + len(backlog) == 60
    assert numbers(drained(backlog))[-12:] == list(range(49, 61))


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_a_stream_that_left_is_told_after_its_last_entries(limit: int) -> None:
    backlog = leading(a_life(0))
    backlog.depart(a_life(2), LATER)
    batch = drained(backlog, limit)
    assert numbers(batch) == [1, 2, 3]
    assert [addition.deleted_at for addition in batch if addition.deleted_at] == [LATER]
    assert batch[-1].deleted_at == LATER
    assert len(backlog) == 0


def test_a_stream_that_left_before_it_had_a_status_is_told_all_the_same() -> None:
    backlog = leading()
    backlog.depart(Entry(a_stream(record=None)), LATER)
    (addition,) = drained(backlog)
    assert [entry.status for entry in addition.entries] == ["pending"]
    assert addition.deleted_at == LATER


def test_the_end_is_never_before_the_last_entry() -> None:
    backlog = leading()
    backlog.depart(a_life(9), NOW)
    (addition,) = drained(backlog)
    assert addition.deleted_at == addition.entries[-1].log_time > NOW


def test_what_happens_while_a_batch_is_copied_waits_for_the_next() -> None:
    backlog = leading(a_life(1))
    batch = backlog.next(500)
    backlog.admit(*live(a_life(3)))
    backlog.depart(a_life(3), LATER)
    backlog.done(batch)
    (addition,) = drained(backlog)
    assert numbers([addition]) == [3, 4]
    assert addition.deleted_at == LATER


def test_a_batch_that_could_not_be_copied_waits_on() -> None:
    backlog = leading(a_life(1))
    assert backlog.next(500) == backlog.next(500)


def test_a_batch_that_arrives_after_the_term_is_nothing_to_worry_about() -> None:
    backlog = leading(a_life(1))
    batch = backlog.next(500)
    backlog.rest()
    backlog.done(batch)
    assert len(backlog) == 0


def test_a_new_leader_tells_of_streams_that_vanished_unseen() -> None:
    gone = a_life(4)
    known = copied(gone, 5)
    backlog = Backlog()
    backlog.keep([])
    backlog.begin(known, known.values(), LATER)
    (addition,) = drained(backlog)
    assert (addition.entries, addition.deleted_at) == ((), LATER)


def test_a_new_leader_tells_what_it_saw_of_streams_that_left_before() -> None:
    gone = a_life(4)
    backlog = Backlog()
    backlog.depart(gone, NOW)
    assert backlog.departed == (gone.stream.uid,)
    backlog.keep([])
    known = copied(gone, 3)
    backlog.begin(known, known.values(), LATER)
    (addition,) = drained(backlog)
    assert numbers([addition]) == [4, 5]
    assert addition.deleted_at == NOW + timedelta(0)


def test_a_new_leader_does_not_repeat_what_the_old_one_has_copied() -> None:
    gone = a_life(4)
    backlog = Backlog()
    backlog.depart(gone, NOW)
    backlog.keep([])
    backlog.begin(copied(gone, 5, is_deleted=True), [], LATER)
    assert drained(backlog) == []


def test_a_stream_made_again_under_its_name_is_another_one() -> None:
    old = a_life(2)
    new = Entry(Stream(**dict(old.stream) | {"uid": "another", "status": a_record()}))
    backlog = leading(new, known=copied(old, 3))
    backlog.depart(old, LATER)
    assert {(addition.stream.uid, len(addition.entries)) for addition in drained(backlog)} == {
        ("another", 1),
        (old.stream.uid, 0),
    }


def test_who_does_not_lead_remembers_a_bounded_number_of_streams_that_left() -> None:
    backlog = Backlog(most_departed=3)
    lives = [a_life(1, f"stream-{number}") for number in range(5)]
    for entry in lives:
        backlog.admit(*live(entry))
        backlog.depart(entry, NOW)
    assert backlog.departed == tuple(entry.stream.uid for entry in lives[2:])
    assert backlog.next(10) == []


def test_while_the_database_is_away_a_bounded_number_of_streams_that_left_waits() -> None:
    backlog = Backlog(most_gone=2)
    backlog.keep([])
    lives = [a_life(1, f"cam-{number}") for number in range(5)]
    for entry in lives:
        backlog.admit(*live(entry))
        backlog.depart(entry, LATER)
    assert (len(backlog), backlog.lost) == (2 * 3, 3 * 2), "two changes each, and the end"
    backlog.begin({}, [], LATER)
    assert [one.stream.name for one in drained(backlog)] == ["cam-3", "cam-4"]
    for entry in lives:
        backlog.depart(entry, LATER)
        drained(backlog)
    assert backlog.lost == 6, "what was copied makes room"


def test_who_leads_no_longer_remembers_streams_that_left() -> None:
    gone, there = a_life(2), a_life(1, "there")
    backlog = leading(gone, there)
    backlog.depart(gone, LATER)
    backlog.rest()
    assert backlog.departed == (gone.stream.uid,)
    assert len(backlog) == 0
