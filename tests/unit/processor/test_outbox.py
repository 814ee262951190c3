"""Events that wait."""

from __future__ import annotations

import threading

from luna_processor.outbox import Outbox
from support.processor_builders import an_event


def test_a_full_outbox_refuses_at_once_when_nobody_waits() -> None:
    outbox = Outbox(1)
    assert outbox.add(an_event(), None)
    assert not outbox.add(an_event(), None)
    assert outbox.size == 1


def test_a_caller_that_waits_gets_the_room_another_event_leaves() -> None:
    outbox = Outbox(1)
    first = an_event()
    outbox.add(first, None)
    accepted = []
    waiter = threading.Thread(target=lambda: accepted.append(outbox.add(an_event(), lambda: False)), daemon=True)
    waiter.start()
    outbox.done(first)
    waiter.join(5)
    assert accepted == [True]


def test_a_caller_that_is_interrupted_stops_waiting() -> None:
    outbox = Outbox(1)
    outbox.add(an_event(), None)
    assert not outbox.add(an_event(), lambda: True)


def test_streams_are_counted_apart() -> None:
    outbox = Outbox(10)
    mine, other = an_event(stream_id="a"), an_event(stream_id="b")
    outbox.add(mine, None)
    outbox.add(other, None)
    outbox.done(mine)
    assert outbox.wait_empty("a", lambda: False)
    assert not outbox.wait_empty("b", lambda: True)
    assert (outbox.pending("a"), outbox.pending("b")) == (0, 1)
