"""In which order events are tried, and when."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.delivery.lanes import Lane, Pauses, Width

PAUSES = Pauses(first_s=1.0, longest_s=8.0)


@dataclass(eq=False)
class Item:
    name: int
    tries: int = 0


def a_lane(count: int, jitter: float = 0.0) -> Lane[Item]:
    lane: Lane[Item] = Lane(PAUSES, lambda: jitter, Width(4, 8))
    for name in range(count):
        lane.add(Item(name))
    return lane


def pick(lane: Lane[Item], now_s: float) -> Item:
    item = lane.pick(now_s)
    assert item is not None
    return item


def test_events_go_in_the_order_they_came() -> None:
    lane = a_lane(3)
    assert [pick(lane, 0).name for _ in range(3)] == [0, 1, 2]
    assert lane.pick(0) is None
    assert lane.next_look_s() is None


def test_what_failed_waits_and_takes_turns_with_the_others() -> None:
    lane = a_lane(4)
    lane.failed(pick(lane, 0), 0)
    assert pick(lane, 0.5).name == 1
    lane.passed()
    assert lane.pick(1.0) is not None, "the first is due again"
    assert pick(lane, 1.0).name == 2


def test_a_platform_that_fails_four_times_is_asked_by_one_event_at_a_time() -> None:
    lane = a_lane(10)
    for _ in range(4):
        lane.failed(pick(lane, 0), 0)
    assert lane.is_down
    assert lane.pick(0.9) is None
    assert lane.next_look_s() == 1.0
    assert pick(lane, 1.0).name == 4, "one that was not tried yet, in case it was the others' fault"
    assert lane.pick(1.0) is None
    assert lane.next_look_s() is None, "nothing is looked for before that one is back"
    lane.passed()
    assert [lane.pick(1.0) is not None for _ in range(3)] == [True] * 3, "it is up again"


def test_pauses_of_a_platform_that_is_down_grow_to_the_longest() -> None:
    lane, now_s, looks = a_lane(1), 0.0, []
    for _ in range(10):
        lane.failed(pick(lane, now_s), now_s)
        look_s = lane.next_look_s()
        assert look_s is not None
        looks.append(look_s - now_s)
        now_s = look_s
    assert looks == [1, 2, 4, 8, 8, 8, 8, 8, 8, 8]


@given(bad=st.integers(1, 200))
def test_events_that_can_never_be_sent_hold_up_no_other(bad: int) -> None:
    lane = a_lane(bad)
    for name in range(1000, 1100):
        lane.add(Item(name))
    now_s, sent = 0.0, 0
    while sent < 100:
        item = lane.pick(now_s)
        if item is None:
            look_s = lane.next_look_s()
            assert look_s is not None
            now_s = max(now_s, look_s)
        elif item.name >= 1000:
            lane.passed()
            sent += 1
        else:
            lane.failed(item, now_s)
    assert now_s <= 8.0 * bad, "nothing is sent before an untried one was reached"
    tries_before = now_s
    for name in range(2000, 2100):
        lane.add(Item(name))
    while sent < 200:
        item = lane.pick(now_s)
        if item is None:
            look_s = lane.next_look_s()
            assert look_s is not None
            now_s = max(now_s, look_s)
        elif item.name >= 1000:
            lane.passed()
            sent += 1
        else:
            lane.failed(item, now_s)
    assert now_s - tries_before <= 1.0, "once others go through, the platform counts as up"


def test_what_is_taken_out_is_not_tried_again() -> None:
    lane = a_lane(4)
    lane.failed(pick(lane, 0), 0)
    assert [item.name for item in lane.take_all(lambda item: item.name % 2 == 0)] == [2, 0]
    assert sorted(item.name for item in lane) == [1, 3]
    assert pick(lane, 10).name == 1


@given(failures=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_a_pause_lies_between_half_of_its_length_and_all_of_it(failures: int, jitter: float) -> None:
    length_s = min(15.0, 0.5 * 2 ** min(failures - 1, 40))
    assert length_s / 2 <= Pauses().after(failures, jitter) <= length_s


def out_at_once(lane: Lane[Item], now_s: float = 0) -> int:
    """Pick all that may be out now."""
    count = 0
    while lane.pick(now_s) is not None:
        count += 1
    return count


def test_a_platform_that_keeps_up_is_sent_more_at_once_up_to_a_limit() -> None:
    lane = a_lane(1000)
    out = out_at_once(lane)
    assert out == 4
    assert lane.next_look_s() is None, "one has to come back first"
    for _ in range(100):
        lane.passed()
        out += out_at_once(lane) - 1
    assert out == 8


def test_a_failure_halves_what_is_sent_at_once() -> None:
    lane = a_lane(1000)
    out = out_at_once(lane)
    for _ in range(100):
        lane.passed()
        out += out_at_once(lane) - 1
    lane.failed(Item(-1), 0)
    for _ in range(out - 1):
        lane.passed()
    assert out_at_once(lane) == 4


def test_what_is_not_in_use_does_not_grow() -> None:
    lane = a_lane(0)
    for name in range(100):
        lane.add(Item(name))
        pick(lane, 0)
        lane.passed()
    for name in range(100):
        lane.add(Item(name))
    assert out_at_once(lane) == 4


@pytest.mark.parametrize(
    ("asked_s", "is_due_s"),
    [
        pytest.param(0.0, 1.0, id="nothing asked"),
        pytest.param(0.5, 1.0, id="less than its own pause"),
        pytest.param(3.0, 3.0, id="more"),
        pytest.param(3600.0, 8.0, id="more than the longest pause"),
    ],
)
def test_an_event_waits_as_long_as_the_platform_asks_and_others_go(asked_s: float, is_due_s: float) -> None:
    lane = a_lane(2)
    lane.failed(pick(lane, 0), 0, asked_s)
    assert pick(lane, 0).name == 1
    assert lane.next_look_s() == is_due_s


def test_a_platform_that_is_down_is_left_alone_as_long_as_it_asks() -> None:
    lane = a_lane(10)
    for asked_s in (5.0, 0.0, 0.0, 3.0):
        lane.failed(pick(lane, 0), 0, asked_s)
    assert lane.next_look_s() == 3.0, "the answer counts by which it is down"
    lane.failed(pick(lane, 3.0), 3.0, 6.0)
    assert lane.next_look_s() == 9.0


def test_workers_that_were_asked_to_wait_do_not_come_back_in_one_moment() -> None:
    lane = a_lane(1, jitter=1.0)
    lane.failed(pick(lane, 0), 0, 3.0)
    assert lane.next_look_s() == 4.0


def test_what_never_reached_the_platform_says_nothing_about_it() -> None:
    lane = a_lane(10)
    for _ in range(4):
        lane.failed(pick(lane, 0), 0)
    pick(lane, 1.0)
    lane.dropped()
    assert lane.is_down
    assert pick(lane, 1.0).name == 5, "the next one finds out"
