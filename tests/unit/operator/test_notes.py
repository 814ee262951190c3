"""What people are told as Events when a worker was lost, whoever took the stream away."""

from __future__ import annotations

from typing import cast

import pytest

from luna_operator.drafts import Draft, draft, unchanged
from luna_operator.events import EventRecorder, Note
from luna_operator.notes import Notes
from luna_operator.placement import Decision, assigned_to
from luna_operator.scaling import Removal
from luna_streams.conditions import observe_conditions
from luna_streams.lifecycle import HandlerLost, Taken, advance, drained
from support.builders import NOW, a_pool, a_record
from support.operator_builders import a_pod_fact, a_served_stream, later


class Heard:
    """Stands for the recorder, which writes in the background: keeps what it was given."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def note(self, note: Note) -> None:
        self.notes.append(note)

    def lost(self) -> list[tuple[str, str]]:
        return [(note.kind, note.message) for note in self.notes if note.reason == "HandlerLost"]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def notes(heard: Heard) -> Notes:
    return Notes(cast(EventRecorder, heard))


def lost_by_the_shim(reason: str) -> Draft:
    """Return a stream as the shim leaves it when it takes it from its worker."""
    taken = advance(a_record(), Taken("w"), NOW).record
    taken = observe_conditions(taken, NOW)
    left = observe_conditions(advance(taken, HandlerLost(reason), later(1)).record, later(1))
    return unchanged({**a_served_stream(), "status": left.to_resource()})


ASSIGNED = Decision(None, assigned_to("pool-1"), keeps_pod=True)


def test_a_loss_that_the_operator_notices_is_told(heard: Heard, notes: Notes) -> None:
    taken = a_record(status="in_progress", observed_generation=1)
    item = draft({**a_served_stream(), "status": taken.to_resource()}, HandlerLost("processor pod p is gone"), NOW)
    notes.stream_changed(item, ASSIGNED)
    assert heard.lost() == [("Warning", "processor pod p is gone")]


def test_a_loss_that_the_shim_noticed_is_told_when_the_stream_is_placed_for_the_first_time(
    heard: Heard, notes: Notes
) -> None:
    item = lost_by_the_shim("The handler did not report for 20 s")
    notes.stream_changed(item, ASSIGNED)
    assert heard.lost() == [("Warning", "The handler did not report for 20 s")]
    placed = observe_conditions(item.record, NOW, scheduling=ASSIGNED.scheduling)
    notes.stream_changed(unchanged({**a_served_stream(), "status": placed.to_resource()}), ASSIGNED)
    assert len(heard.lost()) == 1, "not again when it is placed anew"


def test_a_loss_that_was_meant_is_no_warning(heard: Heard, notes: Notes) -> None:
    notes.stream_changed(lost_by_the_shim(drained("pool-0")), ASSIGNED)
    assert heard.lost() == [("Normal", "processor pod pool-0 is drained")]


@pytest.mark.parametrize(
    ("changes", "kind"), [({"is_failed": True}, "Warning"), ({"is_sick": True}, "Warning"), ({}, "Normal")]
)
def test_a_pod_is_deleted_with_a_warning_if_it_had_not_to_go(
    heard: Heard, notes: Notes, changes: dict[str, bool], kind: str
) -> None:
    notes.pod_deleted(a_pool(), Removal(a_pod_fact("pool-0", **changes), "why"))
    assert [(note.kind, note.message) for note in heard.notes] == [(kind, "Deleted pod pool-0: why.")]


def test_a_trouble_of_a_pod_is_told_with_its_reason(heard: Heard, notes: Notes) -> None:
    notes.pod_troubled(a_pool(), Removal(a_pod_fact("pool-0"), "NodeLost: node n1 does not answer"))
    told = heard.notes[0]
    assert (told.kind, told.reason) == ("Warning", "PodTrouble")
    assert told.message == "Pod pool-0 takes no streams: NodeLost: node n1 does not answer."
