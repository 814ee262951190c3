"""What pools must have room for: slots, and pods where decoders are full before the slots are."""

from __future__ import annotations

from typing import Any

from luna_operator.demand import Demand, demand
from luna_operator.placement import place
from luna_operator.room import Room
from luna_operator.seats import Candidate, Seat
from luna_streams.v1alpha1 import StreamProcessor
from support.builders import a_pool
from support.operator_builders import a_candidate, a_seat


def asked(candidates: list[Candidate], seats: list[Seat], *pools: StreamProcessor) -> Demand:
    staying: dict[str, int] = {}
    for seat in seats:
        staying[seat.pool] = staying.get(seat.pool, 0) + seat.used
    return demand(candidates, place(candidates, Room(seats)), seats, pools, staying)


def a_decoding_pool(name: str = "pool", **spec: Any) -> StreamProcessor:
    wanted: dict[str, Any] = {"slots_per_pod": 8, "max_replicas": 9, "decoder": {"megapixels_per_second": 100.0}}
    return a_pool(name, **wanted | spec)


def several(number: int, **fields: Any) -> list[Candidate]:
    return [a_candidate(f"cam-{index}", **fields) for index in range(number)]


def test_slots_alone_ask_for_no_number_of_pods() -> None:
    wanted = asked(several(3), [a_seat(slots=1)], a_pool(max_replicas=9))
    assert (wanted.streams["pool"], wanted.waiting["pool"], wanted.pods["pool"]) == (3, 2, 0)


def test_streams_that_no_decoder_has_room_for_ask_for_as_many_pods_as_they_fill() -> None:
    seat = a_seat(slots=8, used=1, capacity_mpx=100.0, used_mpx=80.0)
    wanted = asked(several(5, cost_mpx=40.0), [seat], a_decoding_pool())
    assert wanted.pods["pool"] == 1 + 3, "two fit on one pod"


def test_a_pool_whose_decoders_are_full_and_cannot_grow_passes_the_stream_on() -> None:
    seat = a_seat(slots=8, used=1, capacity_mpx=100.0, used_mpx=80.0)
    candidates = several(2, cost_mpx=80.0, pools=("pool", "other"))
    wanted = asked(candidates, [seat], a_decoding_pool(max_replicas=1), a_pool("other", max_replicas=9))
    assert (wanted.waiting["pool"], wanted.waiting["other"]) == (0, 2)


def test_pods_without_a_decoder_are_not_made_for_streams_they_cannot_take() -> None:
    pool = a_decoding_pool(decoder={"megapixels_per_second": 0.0})
    assert asked(several(3, cost_mpx=1.0), [a_seat(capacity_mpx=0.0)], pool).pods["pool"] == 0
