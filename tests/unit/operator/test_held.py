"""The streams of a pod: what is kept up change by change is what a look at all of them finds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from luna_operator.facts import StreamFact, stream_fact
from luna_operator.held import Held
from luna_streams import conditions
from luna_streams.v1alpha1 import StreamState
from support.operator_builders import a_served_stream, later

A_FACT = stream_fact(a_served_stream())
UIDS = ("one", "other")

facts = st.builds(
    lambda **changes: replace(A_FACT, **changes),
    name=st.sampled_from("abcd"),
    state=st.sampled_from([StreamState.PENDING, StreamState.IN_PROGRESS]),
    pod_uid=st.sampled_from([None, *UIDS]),
    leave_by=st.sampled_from([None, later(5)]),
    scheduled=st.sampled_from([(conditions.NO_READY_POD, ""), (conditions.ASSIGNED, "")]),
    preferred_zones=st.sampled_from([(), ("zone-a",)]),
)


def names(found: list[StreamFact]) -> list[str]:
    return sorted(fact.name for fact in found)


@given(st.lists(facts))
def test_what_is_known_of_a_pods_streams_is_what_a_look_at_each_finds(changes: list[StreamFact]) -> None:
    held = Held()
    for fact in changes:
        is_same = held.get(fact.name) == fact
        held.remove(fact.name)
        if not is_same:  # what comes as it was is taken away
            held.add(fact)
        everyone = list(held.values())
        assert names(list(held.leaving.values())) == names([f for f in everyone if f.leave_by is not None])
        assert names(list(held.choosy.values())) == names([f for f in everyone if f.preferred_zones])
        assert names(list(held.hopeful.values())) == names([
            f for f in everyone if f.state == StreamState.PENDING and f.scheduled[0] == conditions.NO_READY_POD
        ])  # fmt: skip
        for uid in UIDS:
            assert held.count_of(uid) == sum(f.pod_uid in (None, uid) for f in everyone)
            assert names(list(held.astray(uid))) == names([f for f in everyone if f.pod_uid not in (None, uid)])
