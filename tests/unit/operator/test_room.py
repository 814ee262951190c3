"""Which seat is the best: spread over zones, nodes and pods, packed, by groups, by zones; and how long that takes."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from luna_operator.placement import place
from luna_operator.room import Room
from luna_operator.seats import Candidate, PoolRules, Seat
from support.operator_builders import a_candidate, a_seat


def pods(candidates: list[Candidate], seats: list[Seat], **rules: object) -> list[str | None]:
    decisions = place(candidates, Room(seats, {"pool": PoolRules(**rules)}))  # type: ignore[arg-type]  # as named there
    return [d.seat.pod if (d := decisions[c.name]).seat else None for c in candidates]


def several(number: int, **fields: object) -> list[Candidate]:
    return [a_candidate(f"cam-{index}", **fields) for index in range(number)]


def test_equally_empty_pods_are_taken_in_the_emptiest_zone_and_on_the_emptiest_node() -> None:
    seats = [
        a_seat("pool-0", zone="a", node="a1"),
        a_seat("pool-1", zone="a", node="a1"),
        a_seat("pool-2", zone="a", node="a2"),
        a_seat("pool-3", zone="b", node="b1"),
    ]
    assert pods(several(4), seats) == ["pool-0", "pool-3", "pool-2", "pool-1"]


def test_packing_fills_one_pod_after_the_other() -> None:
    seats = [a_seat("pool-0"), a_seat("pool-1", used=1), a_seat("pool-2", slots=3)]
    assert pods(several(5), seats, strategy="Pack") == ["pool-1", "pool-0", "pool-0", "pool-2", "pool-2"]


def test_packing_passes_over_a_decoder_without_room() -> None:
    seats = [a_seat("pool-0", slots=8, used=1, used_mpx=90.0, capacity_mpx=100.0), a_seat("pool-1", capacity_mpx=100.0)]
    assert pods(several(1, cost_mpx=20.0), seats, strategy="Pack") == ["pool-1"]


def test_streams_of_a_group_gather_on_one_pod_as_long_as_it_has_room() -> None:
    seats = [
        a_seat("pool-0", slots=3, used=1, groups={"doors": 1}),
        a_seat("pool-1", slots=3),
        a_seat("pool-2", slots=3),
    ]
    placed = pods(several(4, groups=("doors",)), seats, group_affinity="PreferSamePod")
    assert placed == ["pool-0", "pool-0", "pool-1", "pool-1"]


def test_streams_of_a_group_keep_apart_by_zone_then_node_then_pod() -> None:
    seats = [
        a_seat("pool-0", slots=9, zone="a", node="a1"),
        a_seat("pool-1", slots=9, zone="a", node="a1"),
        a_seat("pool-2", slots=9, zone="a", node="a2"),
        a_seat("pool-3", slots=9, zone="b", node="b1", used=8),
    ]
    placed = pods(several(3, groups=("doors",), group_affinity="PreferSpread"), seats)
    assert placed == ["pool-0", "pool-3", "pool-2"]


def test_a_group_keeps_no_stream_waiting() -> None:
    seats = [a_seat("pool-0", slots=2)]
    assert pods(several(2, groups=("doors",), group_affinity="PreferSpread"), seats) == ["pool-0", "pool-0"]


def test_what_the_stream_wants_of_its_groups_counts_before_what_the_pool_wants() -> None:
    seats = [a_seat("pool-0", used=1, groups={"doors": 1}), a_seat("pool-1")]
    apart = several(1, groups=("doors",), group_affinity="None")
    assert pods(apart, seats, group_affinity="PreferSamePod") == ["pool-1"]


def test_the_zones_of_the_pool_count_for_streams_that_prefer_none() -> None:
    seats = [a_seat("pool-0", zone="a"), a_seat("pool-1", zone="b")]
    own = a_candidate("own", preferred_zones=("a",))
    assert pods([a_candidate(), own], seats, preferred_zones=("b",)) == ["pool-1", "pool-0"]


def test_streams_are_spread_over_pods_whatever_their_size() -> None:
    seats = [a_seat(f"pool-{number}", slots=4, capacity_mpx=200.0) for number in range(4)]
    assert set(Counter(pods(several(8, cost_mpx=50.0), seats)).values()) == {2}


@pytest.mark.parametrize("strategy", ["Spread", "Pack"])
def test_ten_thousand_streams_find_their_pods_of_five_hundred_at_once(strategy: str) -> None:
    seats = [
        a_seat(f"pool-{number}", slots=20, zone=f"z{number % 3}", node=f"n{number % 60}", capacity_mpx=900.0)
        for number in range(500)
    ]
    candidates = [a_candidate(f"cam-{number}", cost_mpx=5.0 + number % 400) for number in range(10_000)]
    began = time.process_time()
    placed = pods(candidates, seats, strategy=strategy)
    assert time.process_time() - began < 10, "0.2 to 1 s on an idle core; looking at every seat takes a minute"
    assert None in placed
