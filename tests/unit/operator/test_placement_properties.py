"""Whole namespaces with zones, groups, decoders, priorities and preemption: what is true of them whatever happens.

A round is one pass of the operator, carried out, and then one report of every worker: streams that were given to it are
taken, those it is to let go of are let go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from luna_operator.facts import StreamFact
from luna_streams.lifecycle import Event, Report, Taken, advance, is_drained
from luna_streams.v1alpha1 import StreamState, StreamStatus
from support.builders import a_pool
from support.operator_builders import Simulation

MOVE_BACK_DELAY_S = 3
ZONES = ("a", "b")
MEGAPIXELS = 100.0
ROUNDS_TO_REST = 90
"""Of a second each; a stream that may preempt waits 60 s for pods that do not come."""

sizes = st.one_of(
    st.fixed_dictionaries({"replicas": st.integers(1, 3)}),
    st.fixed_dictionaries(
        {"min_replicas": st.integers(0, 1), "max_replicas": st.integers(1, 3), "scale_down_delay_seconds": st.just(2)}
    ),
)
pool_specs = st.fixed_dictionaries(
    {
        "slots_per_pod": st.integers(1, 3),
        "preferred_zones": st.sampled_from([(), ("a",)]),
        "decoder": st.sampled_from([None, {"megapixels_per_second": MEGAPIXELS}]),
    }
)
placements = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["Spread", "Pack"]),
        "group_affinity": st.sampled_from(["None", "PreferSamePod", "PreferSpread"]),
        "preemption_policy": st.sampled_from(["Never", "PreemptLowerPriority"]),
        "move_back_delay_seconds": st.just(MOVE_BACK_DELAY_S),
    }
)
stream_specs = st.fixed_dictionaries(
    {
        "priority": st.integers(0, 2),
        "groups": st.sampled_from([(), ("doors",), ("gates",), ("doors", "gates")]),
        "placement": st.fixed_dictionaries(
            {
                "preferred_zones": st.sampled_from([(), ("a",), ("b", "a")]),
                "decoder_megapixels_per_second": st.sampled_from([10.0, 40.0, 60.0, 150.0]),
            },
            optional={
                "required_zones": st.just(("b",)),
                "group_affinity": st.sampled_from(["None", "PreferSamePod", "PreferSpread"]),
                "preemption_policy": st.sampled_from(["Never", "PreemptLowerPriority"]),
            },
        ),
    }
)


@dataclass(frozen=True)
class Loss:
    """A stream that was taken from its worker."""

    name: str
    reason: str


class Namespace(RuleBasedStateMachine):
    """One pool whose streams and pods come and go."""

    @initialize(spec=pool_specs, size=sizes, placement=placements)
    def make(self, spec: dict[str, Any], size: dict[str, Any], placement: dict[str, Any]) -> None:
        self.world = Simulation(a_pool(**spec, **size, placement=placement), zones=ZONES)
        self.count = 0
        self.losses: list[Loss] = []

    @rule(specs=st.lists(stream_specs, min_size=1, max_size=5))
    def add(self, specs: list[dict[str, Any]]) -> None:
        for spec in specs:
            self.count += 1
            self.world.add_stream(f"cam-{self.count}", **spec)

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        running = sorted(fact.name for fact in self.running())
        if running:
            self.tell(data.draw(st.sampled_from(running)), Report(StreamState.DONE, 1, worker="w"))

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        if self.world.space.pods:
            del self.world.space.pods[data.draw(st.sampled_from(sorted(self.world.space.pods)))]

    @rule()
    def one_round(self) -> None:
        self.world.pass_()
        for fact in sorted(self.world.space.streams.values(), key=lambda fact: fact.name):
            if fact.state == StreamState.IN_PROGRESS:
                self.tell(fact.name, Report(StreamState.IN_PROGRESS, 1, worker="w"))
            elif fact.state == StreamState.PENDING and fact.pod in self.world.space.pods:
                self.tell(fact.name, Taken("w"))

    @rule()
    def comes_to_rest(self) -> None:
        """When nothing happens any more, nothing is done any more, however long one waits."""
        for _ in range(ROUNDS_TO_REST):
            self.one_round()
        writes, places, pods, losses = self.state()
        for pause in (0, 2 * MOVE_BACK_DELAY_S, 3600):
            self.world.now += timedelta(seconds=pause)
            plan = self.world.pass_()
            assert (writes, places, pods, losses) == self.state()
            assert plan.streams == ()
        self.nobody_waits_beside_a_free_seat()
        self.nobody_is_outranked_where_preemption_is_wanted()

    @rule()
    def calm_streams_stay(self) -> None:
        """A stream that runs is moved for a better zone or a higher priority only, and then says so."""
        before = len(self.losses)
        self.comes_to_rest()
        for loss in self.losses[before:]:
            is_dead = "is gone" in loss.reason or "was replaced" in loss.reason
            assert is_dead or loss.reason.startswith(("moved: ", "preempted: "))
            assert is_dead or is_drained(loss.reason)

    # -- what is always so -----------------------------------------------------------------------------------------

    @invariant()
    def no_pod_has_more_than_it_takes(self) -> None:
        for name, pod in self.world.space.pods.items():
            held = [f for f in self.world.space.held.get(name, {}).values() if f.pod_uid == pod.uid]
            assert len(held) <= pod.slots
            spec = self.world.space.pools["pool"].spec
            if spec.decoder is not None and len(held) > 1:
                assert sum(fact.cost_mpx for fact in held) <= MEGAPIXELS

    @invariant()
    def required_zones_are_kept(self) -> None:
        for fact in self.world.space.streams.values():
            pod = self.world.space.pods.get(fact.pod or "")
            assert pod is None or fact.pod_uid != pod.uid or not fact.required_zones or pod.zone in fact.required_zones

    # -- what is so at rest ----------------------------------------------------------------------------------------

    def nobody_waits_beside_a_free_seat(self) -> None:
        for fact in self.homeless():
            assert not [name for name in self.world.space.pods if self.has_room(name, fact, without=())]

    def nobody_is_outranked_where_preemption_is_wanted(self) -> None:
        pool_policy = self.world.space.pools["pool"].spec.placement.preemption_policy
        for fact in self.homeless():
            if (fact.preemption_policy or pool_policy) == "Never" or fact.was_preempted:
                continue
            for name in self.world.space.pods:
                lower = [f for f in self.world.space.held.get(name, {}).values() if f.priority < fact.priority]
                assert not lower or not self.has_room(name, fact, without=[f.name for f in lower])

    # -- what the rules are made of --------------------------------------------------------------------------------

    def running(self) -> Iterator[StreamFact]:
        return (fact for fact in self.world.space.streams.values() if fact.state == StreamState.IN_PROGRESS)

    def homeless(self) -> list[StreamFact]:
        return [f for f in self.world.space.streams.values() if f.state == StreamState.PENDING and f.pod is None]

    def has_room(self, pod: str, fact: StreamFact, without: Any) -> bool:
        held = [f for f in self.world.space.held.get(pod, {}).values() if f.name not in without]
        spec = self.world.space.pools["pool"].spec
        is_zone = not fact.required_zones or self.world.space.pods[pod].zone in fact.required_zones
        fits = spec.decoder is None or not held or sum(f.cost_mpx for f in (*held, fact)) <= MEGAPIXELS
        return is_zone and fits and len(held) < self.world.space.pods[pod].slots

    def tell(self, name: str, event: Event) -> None:
        obj = self.world.objects[name]
        record = advance(StreamStatus.from_resource(obj["status"]), event, self.world.now).record
        if record.status == StreamState.PENDING and record.last_error:
            self.losses.append(Loss(name, record.last_error))
        self.world.put(name, {**obj, "status": record.to_resource()})

    def state(self) -> tuple[object, ...]:
        world = self.world
        return world.writes, world.places(), dict(world.space.pods), len(self.losses)


Namespace.TestCase.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestNamespace = Namespace.TestCase
