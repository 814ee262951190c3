"""Where streams belong: room, urgency, zones, decoders, spread; and the reasons why there is no seat."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luna_operator.placement import place
from luna_operator.room import Room
from luna_operator.seats import Candidate, Seat
from support.operator_builders import a_candidate, a_seat, later


def pods(*candidates: Candidate, on: tuple[Seat, ...]) -> dict[str, str | None]:
    return {name: d.seat.pod if d.seat else None for name, d in place(candidates, Room(on)).items()}


def test_streams_are_spread_evenly() -> None:
    candidates = [a_candidate(f"cam-{number}") for number in range(6)]
    seats = (a_seat("pool-0", slots=4), a_seat("pool-1", slots=4), a_seat("pool-2", slots=4, used=2))
    assert Counter(pods(*candidates, on=seats).values()) == {"pool-0": 3, "pool-1": 3}, "up to 3, 3 and 2"


def test_the_most_urgent_and_then_the_longest_waiting_come_first() -> None:
    early, late = a_candidate("early", since=later(-60)), a_candidate("late")
    urgent = a_candidate("urgent", since=later(5), priority=10)
    placed = pods(late, early, urgent, on=(a_seat(slots=2),))
    assert placed == {"urgent": "pool-0", "early": "pool-0", "late": None}


def test_the_most_specific_pool_with_room_is_taken() -> None:
    candidate = a_candidate(pools=("special", "general"))
    special, general = a_seat("special-0", pool="special"), a_seat("general-0", pool="general")
    assert pods(candidate, on=(general, special)) == {"cam": "special-0"}
    full = a_seat("special-0", pool="special", used=2)
    assert pods(candidate, on=(general, full)) == {"cam": "general-0"}


def test_a_pod_that_lost_streams_is_asked_last_but_asked() -> None:
    suspect = a_seat("pool-0", is_suspect=True)
    assert pods(a_candidate(), on=(suspect, a_seat("pool-1", used=1))) == {"cam": "pool-1"}
    assert pods(a_candidate(), on=(suspect,)) == {"cam": "pool-0"}


def test_a_required_zone_is_kept_and_a_preferred_one_tried() -> None:
    seats = (a_seat("pool-0", zone="a"), a_seat("pool-1", zone="b", used=1))
    assert pods(a_candidate(required_zones=("b",)), on=seats) == {"cam": "pool-1"}
    assert pods(a_candidate(required_zones=("c",)), on=seats) == {"cam": None}
    assert pods(a_candidate(preferred_zones=("c", "b")), on=seats) == {"cam": "pool-1"}
    assert pods(a_candidate(preferred_zones=("c",)), on=seats) == {"cam": "pool-0"}


def test_a_decoder_is_not_overloaded_but_an_idle_one_takes_a_stream_of_any_size() -> None:
    seat = a_seat(slots=8, capacity_mpx=100.0)
    candidates = [a_candidate(f"cam-{number}", cost_mpx=52.0) for number in range(3)]
    assert list(pods(*candidates, on=(seat,)).values()) == ["pool-0", None, None]
    assert pods(a_candidate(cost_mpx=500.0), on=(seat,)) == {"cam": "pool-0"}
    assert pods(a_candidate(cost_mpx=1.0), on=(a_seat(slots=8, capacity_mpx=0.0),)) == {"cam": None}


def test_no_more_seats_are_given_than_asked_for_and_the_rest_is_left_undecided() -> None:
    candidates = [a_candidate(f"cam-{number}") for number in range(5)]
    assert list(place(candidates, Room((a_seat(slots=9),)), limit=2)) == ["cam-0", "cam-1"]
    assert len(place(candidates, Room((a_seat(slots=1),)), limit=2)) == 5, "who gets no seat is told why all the same"


@pytest.mark.parametrize(
    ("candidate", "seats", "reason", "message"),
    [
        (a_candidate(pools=()), (), "NoPoolSelects", "No StreamProcessor of the namespace selects the stream"),
        (a_candidate(), (), "NoReadyPod", "No pod of pool is ready"),
        (a_candidate(waits_for="pool-0"), (), "NoReadyPod", "Its pod pool-0 is not ready."),
        (a_candidate(), (a_seat(used=2),), "NoFreeSlot", "Every ready pod of pool is full."),
        (a_candidate(required_zones=("b",)), (a_seat(zone="a"),), "NoFreeSlot", "No ready pod of pool in b"),
    ],
)
def test_the_reason_says_what_is_missing(
    candidate: Candidate, seats: tuple[Seat, ...], reason: str, message: str
) -> None:
    scheduling = place([candidate], Room(seats))["cam"].scheduling
    assert scheduling.reason == reason
    assert scheduling.message.startswith(message)


zones = st.sampled_from(["", "a", "b"])
some_seats = st.lists(
    st.builds(
        lambda slots, used, mpx, zone, pool: {
            "slots": slots, "used": used, "capacity_mpx": mpx, "zone": zone, "pool": pool,
        },
        st.integers(1, 4), st.integers(0, 5), st.none() | st.floats(0, 200), zones, st.sampled_from(["x", "y"]),
    ),
    max_size=5,
).map(lambda made: [a_seat(f"pod-{number}", **fields) for number, fields in enumerate(made)])  # fmt: skip
some_candidates = st.lists(
    st.builds(
        lambda pools, priority, wait, required, cost: {
            "pools": tuple(pools), "priority": priority, "since": later(-wait), "required_zones": tuple(required),
            "cost_mpx": cost,
        },
        st.lists(st.sampled_from(["x", "y"]), unique=True, max_size=2), st.integers(-1, 1), st.integers(0, 3),
        st.lists(zones, max_size=2), st.floats(1, 100),
    ),
    max_size=12,
).map(lambda made: [a_candidate(f"cam-{number}", **fields) for number, fields in enumerate(made)])  # fmt: skip


@settings(deadline=None)
@given(candidates=some_candidates, seats=some_seats)
def test_no_seat_is_ever_overfull_and_every_wish_is_kept(candidates: list[Candidate], seats: list[Seat]) -> None:
    decisions = place(candidates, Room(seats))
    assert decisions.keys() == {candidate.name for candidate in candidates}
    given_away = Counter(d.seat.uid for d in decisions.values() if d.seat)
    for seat in seats:
        assert given_away[seat.uid] <= max(0, seat.slots - seat.used)
        costs = [c.cost_mpx for c in candidates if decisions[c.name].seat is seat]
        if seat.capacity_mpx is not None and len(costs) > 1:
            assert seat.used_mpx + sum(costs) <= seat.capacity_mpx + 1e-6
    for candidate in candidates:
        chosen = decisions[candidate.name].seat
        if chosen is not None:
            assert chosen.pool in candidate.pools
            assert not candidate.required_zones or chosen.zone in candidate.required_zones


@settings(deadline=None)
@given(candidates=some_candidates, seats=some_seats, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    candidates: list[Candidate], seats: list[Seat], shuffle: Random
) -> None:
    before = place(candidates, Room(seats))
    shuffle.shuffle(candidates)
    shuffle.shuffle(seats)
    assert place(candidates, Room(seats)) == before


@settings(deadline=None)
@given(candidates=some_candidates, seats=some_seats)
def test_nobody_waits_while_a_seat_that_fits_is_free(candidates: list[Candidate], seats: list[Seat]) -> None:
    plain = [a_candidate(c.name, pools=c.pools, priority=c.priority) for c in candidates]
    roomy = [a_seat(s.pod, pool=s.pool, slots=s.slots, used=s.used) for s in seats]
    decisions = place(plain, Room(roomy))
    given_away = Counter(d.seat.uid for d in decisions.values() if d.seat)
    for candidate in plain:
        if decisions[candidate.name].seat is None:
            fitting = [seat for seat in roomy if seat.pool in candidate.pools]
            assert all(seat.used + given_away[seat.uid] >= seat.slots for seat in fitting)


@settings(deadline=None)
@given(candidates=some_candidates, seats=some_seats, limit=st.integers(1, 4))
def test_in_portions_everybody_gets_the_seat_that_one_pass_would_give(
    candidates: list[Candidate], seats: list[Seat], limit: int
) -> None:
    whole = pods(*candidates, on=tuple(seats))
    placed: dict[str, str | None] = dict.fromkeys(whole)
    left, decided = candidates, 0
    while len(left) > decided:
        decisions = place(left, Room(seats), limit)
        decided = sum(decision.seat is None for decision in decisions.values())
        for candidate in left:
            decision = decisions.get(candidate.name)
            if decision is not None and decision.seat is not None:
                placed[candidate.name] = decision.seat.pod
        taken = {c.name: placed[c.name] for c in left if placed[c.name] is not None}
        seats = [occupied(seat, [c for c in left if taken.get(c.name) == seat.pod]) for seat in seats]
        left = [c for c in left if c.name not in taken]
    assert placed == whole


def occupied(seat: Seat, by: list[Candidate]) -> Seat:
    return replace(seat, used=seat.used + len(by), used_mpx=sum((c.cost_mpx for c in by), seat.used_mpx))
