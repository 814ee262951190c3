"""Events that wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.delivery.accounts import Account
from luna_processor.delivery.event_codec import encode
from luna_processor.delivery.events import ShotEvent
from luna_processor.delivery.outbox import LostEvent, Outbox
from luna_processor.delivery.runs import RunStart
from luna_processor.delivery.spool import Spool
from luna_processor.delivery.waiting import WaitingEvent
from support.processor_builders import STREAM_ID, a_shot, a_target, an_event
from support.waiting import eventually_blocking

NOW = datetime(2024, 4, 5, tzinfo=UTC)
SIZE_BYTES = len(encode(an_event()))


class HandedOut(Outbox):
    """An outbox that says what it handed over to be sent."""

    def __init__(self, spool: Spool, capacity_bytes: int) -> None:
        super().__init__(spool, capacity_bytes)
        self.ready: list[WaitingEvent] = []
        self.start(self.ready.extend)

    def take(self, count: int = 1) -> list[WaitingEvent]:
        eventually_blocking(lambda: len(self.ready) >= count, "they are ready")
        return self.ready


OpenOutbox = Callable[[], HandedOut]


@pytest.fixture
def open_outbox(tmp_path: Path) -> Iterator[OpenOutbox]:
    opened: list[HandedOut] = []

    def open_one() -> HandedOut:
        for outbox in opened:
            outbox.close()
        opened[:] = [HandedOut(Spool(tmp_path / "spool"), 10**6)]
        return opened[0]

    yield open_one
    for outbox in opened:
        outbox.close()


def in_memory(events: float = 100) -> HandedOut:
    return HandedOut(Spool(None), round(events * SIZE_BYTES))


def to(origin: str) -> ShotEvent:
    return an_event(target=a_target(origin))


def a_start(version: int = 1, began_at: datetime = NOW, reported: datetime | None = None) -> RunStart:
    return RunStart(STREAM_ID, version, began_at, reported)


def test_a_full_outbox_refuses_at_once_when_nobody_waits() -> None:
    outbox, account = in_memory(1), Account()
    assert outbox.add(an_event(), account, None) == "added"
    assert outbox.add(an_event(), account, None) == "full"
    assert (outbox.size, outbox.size_bytes, account.waiting) == (1, SIZE_BYTES, 1)


def test_a_caller_that_waits_gets_the_room_another_event_leaves() -> None:
    outbox, account = in_memory(1), Account()
    outbox.add(an_event(), account, None)
    accepted = []
    waiter = threading.Thread(
        target=lambda: accepted.append(outbox.add(an_event(), Account(), lambda: False)), daemon=True
    )
    waiter.start()
    outbox.settle(outbox.take()[0], None)
    waiter.join(60)
    assert accepted == ["added"]


def test_a_caller_that_is_interrupted_stops_waiting() -> None:
    outbox = in_memory(1)
    outbox.add(an_event(), Account(), None)
    assert outbox.add(an_event(), Account(), lambda: True) == "interrupted"


def test_an_event_that_is_larger_than_the_whole_is_not_waited_for() -> None:
    large = an_event(shots=(a_shot(jpeg=bytes(10_000)),))
    assert in_memory(1).add(large, Account(), lambda: False) == "full"


def test_what_comes_after_the_end_is_not_taken_for_kept() -> None:
    outbox = in_memory()
    outbox.close()
    assert outbox.add(an_event(), Account(), None) == "full"


def test_runs_are_counted_apart() -> None:
    outbox, mine, other = in_memory(), Account(), Account()
    outbox.add(an_event(), mine, None)
    outbox.settle(outbox.take()[0], None)
    outbox.add(an_event(), other, None)
    assert outbox.wait_empty(mine, lambda: False)
    assert not outbox.wait_empty(other, lambda: True)
    assert (mine.waiting, other.waiting) == (0, 1)


def test_a_platform_that_is_down_leaves_room_for_others() -> None:
    size_bytes = len(encode(to("http://down")))
    outbox = Outbox(Spool(None), 100 * size_bytes)
    accepted = [outbox.add(to("http://down"), Account(), None) for _ in range(100)]
    assert accepted.count("added") == 80
    assert outbox.add(to("http://up"), Account(), None) == "added"


@given(capacity=st.integers(20, 60), down=st.integers(1, 4))
def test_however_many_are_down_the_next_one_finds_room_and_the_whole_is_bounded(capacity: int, down: int) -> None:
    outbox = Outbox(Spool(None), capacity * len(encode(to("http://down-0"))))
    for _ in range(capacity):
        for number in range(down):
            outbox.add(to(f"http://down-{number}"), Account(), None)
    assert outbox.size < capacity
    assert outbox.add(to("http://up"), Account(), None) == "added"
    outbox.close()


def test_losses_are_told_with_their_number_and_the_last_reason() -> None:
    assert Account().losses is None
    account = Account()
    account.lose("status 400")
    assert account.losses == "1 event was not delivered; the last reason: status 400"
    account.lose("status 413")
    assert account.losses == "2 events were not delivered; the last reason: status 413"


def test_what_waits_is_there_again_after_a_restart_whole_and_in_its_order(open_outbox: OpenOutbox) -> None:
    outbox = open_outbox()
    events = [an_event(track_id=str(number), shots=(a_shot(frame_jpeg=b"frame"),)) for number in range(5)]
    for event in events:
        outbox.add(event, Account(), None)
    outbox.note_frames(outbox.take(5)[2], ("http://store/1",))
    outbox.settle(outbox.ready[0], None)

    again = open_outbox()
    waiting = again.take(4)
    assert [again.load(each).track_id for each in waiting] == ["1", "2", "3", "4"]
    assert again.load(waiting[0]).shots[0].frame_jpeg == b"frame"
    assert [each.image_origins for each in waiting] == [(None,), ("http://store/1",), (None,), (None,)]
    assert again.size_bytes == sum(len(encode(event)) for event in events[1:])


def test_a_file_that_is_read_again_after_a_kill_sends_nothing_twice(open_outbox: OpenOutbox) -> None:
    outbox = open_outbox()
    account = outbox.begin_run(a_start(), is_repeatable=True)
    delivered, lost, waiting = an_event(), an_event(), an_event()
    for event in (delivered, lost, waiting):
        outbox.add(event, account, None)
    hands = outbox.take(3)
    outbox.settle(hands[0], None)
    outbox.settle(hands[1], "status 400")

    again = open_outbox()
    account = again.begin_run(a_start(began_at=NOW + timedelta(minutes=1)), is_repeatable=True)
    assert account.waiting == 1, "what waits is waited for before the stream is done"
    assert [again.add(event, account, None) for event in (delivered, lost, waiting)] == ["known"] * 3
    assert again.add(an_event(), account, None) == "added"
    assert account.losses == "1 event was not delivered; the last reason: status 400"
    assert again.size == 2


def finish(outbox: Outbox) -> None:
    outbox.finish_run(STREAM_ID, 1)


def forget(outbox: Outbox) -> None:
    outbox.forget_runs(STREAM_ID)


def nothing(outbox: Outbox) -> None:
    pass


@pytest.mark.parametrize(
    ("between", "start", "number", "is_sent_again"),
    [
        pytest.param(nothing, a_start(), 0, False, id="cut short"),
        pytest.param(nothing, a_start(reported=NOW), 0, False, id="cut short after a report"),
        pytest.param(finish, a_start(reported=NOW), 1, True, id="its end was heard"),
        pytest.param(forget, a_start(), 0, True, id="deleted and made again"),
        pytest.param(nothing, a_start(version=2), 0, True, id="another version"),
        pytest.param(
            nothing, a_start(reported=NOW + timedelta(minutes=5)), 0, True, id="another worker had it in between"
        ),
    ],
)
@pytest.mark.parametrize("is_killed", [True, False], ids=["in another process", "in the same"])
def test_what_a_run_has_behind_it(
    open_outbox: OpenOutbox,
    between: Callable[[Outbox], None],
    start: RunStart,
    number: int,
    is_sent_again: bool,
    is_killed: bool,
) -> None:
    outbox = open_outbox()
    event = an_event()
    outbox.add(event, outbox.begin_run(a_start(), is_repeatable=True), None)
    outbox.settle(outbox.take()[0], None)
    between(outbox)
    if is_killed:
        outbox = open_outbox()
    account = outbox.begin_run(start, is_repeatable=True)
    assert account.run_number == number
    assert outbox.add(event, account, None) == ("added" if is_sent_again else "known")


def test_live_streams_have_no_past(open_outbox: OpenOutbox) -> None:
    outbox = open_outbox()
    event = an_event()
    outbox.add(event, outbox.begin_run(a_start(), is_repeatable=False), None)
    outbox.settle(outbox.take()[0], None)
    again = open_outbox()
    assert again.add(event, again.begin_run(a_start(), is_repeatable=False), None) == "added"


def test_what_the_disk_did_not_keep_is_lost_and_said_so(open_outbox: OpenOutbox, tmp_path: Path) -> None:
    outbox = open_outbox()
    outbox.add(an_event(shots=(a_shot(jpeg=b"picture" * 10_000),)), Account(), None)
    outbox.take()
    open_outbox().close()
    database = tmp_path / "spool" / "events.db"
    content = database.read_bytes()
    assert b"picturepicture" in content
    database.write_bytes(content.replace(b"picturepicture", b"pictuRepicture"))
    again = HandedOut(Spool(tmp_path / "spool"), 10**6)
    with pytest.raises(LostEvent, match="checksum"):
        again.load(again.take()[0])
    again.close()


def test_the_age_of_the_oldest_counts_from_when_it_was_made() -> None:
    outbox = in_memory()
    assert outbox.oldest_s == 0
    outbox.add(an_event(), Account(), None)
    eventually_blocking(lambda: outbox.oldest_s > 0.01, "it grows old")
