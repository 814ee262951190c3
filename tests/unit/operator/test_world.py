"""The operator's memory: indexes follow every change, and what is not understood is left alone."""

from __future__ import annotations

import logging

import pytest

from luna_kube import PODS, STREAM_PROCESSORS, STREAMS, EventType
from luna_operator.patience import Patience
from luna_operator.world import World
from luna_streams.v1alpha1 import ProcessorBinding
from support.builders import NOW, a_record, a_spec
from support.operator_builders import a_pod_object, a_served_stream, later
from support.operators import running


def a_world() -> tuple[World, list[str]]:
    changed: list[str] = []
    return World(changed.append, lambda: NOW), changed


def test_a_stream_moves_between_the_indexes() -> None:
    world, changed = a_world()
    obj = a_served_stream("cam")
    world.take(STREAMS, "ADDED", obj)
    space = world.space("default")
    assert list(space.unobserved) == ["cam"]
    bound = ProcessorBinding(pool="pool", pod="pool-0", pod_uid="u")
    for version, (record, waiting, held) in enumerate([
        (a_record(observed_generation=1), ["cam"], []),
        (a_record(observed_generation=1, processor=bound), [], ["pool-0"]),
        (a_record(status="done"), [], []),
    ], start=2):  # fmt: skip
        metadata = {**obj["metadata"], "resourceVersion": str(version)}
        world.take(STREAMS, "MODIFIED", {**obj, "metadata": metadata, "status": record.to_resource()})
        assert (list(space.waiting), list(space.held)) == (waiting, held)
    world.take(STREAMS, "DELETED", {**obj, "metadata": {**obj["metadata"], "resourceVersion": "9"}})
    assert not space.streams
    assert changed == ["default"] * 5


def test_a_list_makes_up_for_missed_deletions() -> None:
    world, _ = a_world()
    world.take(PODS, None, a_pod_object(**running()))
    assert world.space("default").pods["pool-0"].is_ready
    news = world.take_list(PODS, [], "7", world.highest_version(PODS))
    assert news == {EventType.DELETED: 1}
    assert not world.space("default").pods


def test_an_older_event_does_not_undo_an_own_write() -> None:
    world, _ = a_world()
    obj = a_served_stream("cam")
    newer = {**obj, "metadata": {**obj["metadata"], "resourceVersion": "5"}, "status": a_record().to_resource()}
    world.take_written(STREAMS, newer)
    world.take(STREAMS, "ADDED", obj)
    assert world.object(STREAMS, "default", "cam") == newer


def test_what_is_not_understood_is_left_alone_and_said(caplog: pytest.LogCaptureFixture) -> None:
    world, _ = a_world()
    caplog.set_level(logging.WARNING)
    pool = {"metadata": a_served_stream("pool")["metadata"], "spec": {"slotsPerPod": "many"}}
    world.take(STREAM_PROCESSORS, "ADDED", pool)
    assert not world.space("default").pools
    assert "StreamProcessor default/pool is not understood" in caplog.text
    strange = a_served_stream("cam")
    world.take(STREAMS, "ADDED", {**strange, "spec": {**strange["spec"], "placement": "near"}})
    assert not world.space("default").streams
    assert "Stream default/cam is not understood" in caplog.text


def test_restarts_are_found_when_they_are_due() -> None:
    world, _ = a_world()
    policy = {"restart": 1, "attempt_count": 5, "delay": 30}
    spec = a_spec(autorestart=policy)
    for name, seconds in (("late", 50), ("early", 10), ("never", 0)):
        record = a_record(spec, status="failure" if name != "never" else "done", now=later(seconds))
        world.take(STREAMS, "ADDED", {**a_served_stream(name, autorestart=policy), "status": record.to_resource()})
    space = world.space("default")
    assert space.next_restart() == later(10)
    assert [fact.name for fact in space.due_restarts(later(20), 10)] == ["early"]
    assert [fact.name for fact in space.due_restarts(later(60), 10)] == ["early", "late"], "until they changed"
    assert len(space.due_restarts(later(60), 1)) == 1
    world.take(STREAMS, "DELETED", {**a_served_stream("early"), "metadata": {
        **a_served_stream("early")["metadata"], "resourceVersion": "9"}})  # fmt: skip
    assert space.next_restart() == later(50)


def test_what_fails_again_is_left_alone_twice_as_long() -> None:
    patience = Patience()
    waits = []
    now = NOW
    for _ in range(8):
        patience.failed("cam", now)
        assert patience.left_alone(now) == {"cam"}
        until = patience.next_try(now, now)
        assert until is not None
        waits.append((until - now).total_seconds())
        now = until
        assert patience.left_alone(now) == frozenset()
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    patience.succeeded("cam")
    patience.failed("cam", now)
    assert patience.next_try(now, now) == later((now - NOW).total_seconds() + 1)


def test_a_clock_that_was_set_back_leaves_nothing_alone_for_long() -> None:
    patience = Patience()
    patience.failed("cam", later(3600))
    assert patience.left_alone(NOW) == frozenset()
    assert patience.next_try(NOW, NOW) is None


def test_a_wait_that_ended_during_a_pass_and_one_that_began_in_it_are_both_told() -> None:
    patience = Patience()
    patience.failed("early", NOW)
    assert patience.next_try(later(0.5), later(2)) == later(1)
    patience.failed("late", later(2))
    assert patience.next_try(later(1), later(2)) == later(3)


def test_failures_of_what_is_gone_are_forgotten() -> None:
    patience = Patience()
    for _ in range(7):
        patience.failed("cam", NOW)
    patience.failed("other", later(3600))
    patience.failed("cam", later(3600))
    assert patience.next_try(later(3600), later(3600)) == later(3601)
    assert patience.left_alone(later(3601)) == frozenset(), "as if it failed for the first time"
