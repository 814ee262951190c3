"""Events that wait."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from luna_processor.events import ShotEvent
from luna_processor.outbox import Account, Outbox
from support.processor_builders import a_target, an_event


def to(origin: str) -> ShotEvent:
    return an_event(target=a_target(origin=origin))


def test_a_full_outbox_refuses_at_once_when_nobody_waits() -> None:
    outbox, account = Outbox(1), Account()
    assert outbox.add(an_event(), account, None)
    assert not outbox.add(an_event(), account, None)
    assert outbox.size == 1


def test_a_caller_that_waits_gets_the_room_another_event_leaves() -> None:
    outbox, account = Outbox(1), Account()
    first = an_event()
    outbox.add(first, account, None)
    accepted = []
    waiter = threading.Thread(
        target=lambda: accepted.append(outbox.add(an_event(), Account(), lambda: False)), daemon=True
    )
    waiter.start()
    outbox.done(first, account)
    waiter.join(5)
    assert accepted == [True]


def test_a_caller_that_is_interrupted_stops_waiting() -> None:
    outbox = Outbox(1)
    outbox.add(an_event(), Account(), None)
    assert not outbox.add(an_event(), Account(), lambda: True)


def test_runs_are_counted_apart() -> None:
    outbox, mine, other = Outbox(10), Account(), Account()
    event = an_event()
    outbox.add(event, mine, None)
    outbox.add(an_event(), other, None)
    outbox.done(event, mine)
    assert outbox.wait_empty(mine, lambda: False)
    assert not outbox.wait_empty(other, lambda: True)
    assert (mine.waiting, other.waiting) == (0, 1)


def test_a_platform_that_is_down_leaves_room_for_others() -> None:
    outbox = Outbox(1000)
    accepted = [outbox.add(to("http://down"), Account(), None) for _ in range(1000)]
    assert accepted.count(True) == 800
    assert outbox.add(to("http://up"), Account(), None)


@given(capacity=st.integers(20, 60), down=st.integers(1, 4))
def test_however_many_are_down_the_next_one_finds_room_and_the_whole_is_bounded(capacity: int, down: int) -> None:
    outbox = Outbox(capacity)
    for _ in range(capacity):
        for number in range(down):
            outbox.add(to(f"http://down-{number}"), Account(), None)
    assert outbox.size < capacity
    assert outbox.add(to("http://up"), Account(), None)


def test_losses_are_told_with_their_number_and_the_last_reason() -> None:
    assert Account().losses is None
    account = Account()
    account.lose("status 400")
    assert account.losses == "1 event was not delivered; the last reason: status 400"
    account.lose("status 413")
    assert account.losses == "2 events were not delivered; the last reason: status 413"
