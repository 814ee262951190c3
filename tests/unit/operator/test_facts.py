"""What is read off objects, and why a stream cannot stay with a pod."""

from __future__ import annotations

from typing import Any

import pytest

from luna_operator.drafts import HANDOVER, draft, what_happened, why_lost
from luna_operator.facts import UNKNOWN_COST_MPX, pod_fact, stream_fact
from luna_streams import naming
from luna_streams.lifecycle import Drained, HandlerLost
from luna_streams.v1alpha1 import ProcessorBinding, StreamState, VideoInfo
from support.builders import NOW, a_record, a_spec
from support.operator_builders import a_pod_fact, a_pod_object, a_served_stream, later
from support.operators import running
from support.operators import waiting as a_waiting_status


def a_served(record: Any, **spec: Any) -> dict[str, Any]:
    return {**a_served_stream(**spec), "status": record.to_resource()}


def test_a_stream_without_status_is_unobserved_and_asks_for_nothing_yet() -> None:
    fact = stream_fact(a_served_stream(groups=("doors",), display_name="cam", priority=3))
    assert (fact.state, fact.is_observed, fact.is_active, fact.pod) == (None, False, False, None)
    assert (fact.traits.groups, fact.traits.name, fact.priority) == (("doors",), "cam", 3)
    assert (fact.cost_mpx, fact.since) == (UNKNOWN_COST_MPX, NOW)


def test_a_declared_cost_counts_until_a_worker_has_measured_it() -> None:
    placement = {"decoder_megapixels_per_second": 415.0}
    assert stream_fact(a_served_stream(placement=placement)).cost_mpx == 415.0
    info = VideoInfo(width=1000, height=1000, frame_rate=10, bit_rate=0, gop_size=25, start_time=NOW)
    measured = a_record().model_copy(update={"video_info": info})
    assert stream_fact(a_served(measured, placement=placement)).cost_mpx == 10.0


def test_groups_of_two_accounts_are_two() -> None:
    mine, theirs = a_served_stream(groups=("doors",)), a_served_stream(groups=("doors",))
    theirs["spec"]["accountId"] = "00000000-0000-4000-8000-000000000000"
    assert stream_fact(mine).groups != stream_fact(theirs).groups


def test_a_status_of_an_older_spec_is_not_an_observation() -> None:
    record = a_record(observed_generation=1)
    assert stream_fact(a_served(record)).is_observed
    newer = a_served(record)
    newer["metadata"]["generation"] = 2
    assert not stream_fact(newer).is_observed


def test_a_lost_stream_is_told_from_one_that_the_user_asked_for() -> None:
    assert stream_fact(a_served(a_record(status="handler_lost"))).was_lost
    assert not stream_fact(a_served(a_record())).was_lost


def test_the_time_of_a_restart_is_known_only_where_there_is_one() -> None:
    spec: dict[str, Any] = {"autorestart": {"restart": 1, "attempt_count": 2, "delay": 30}}
    failed = a_record(a_spec(**spec), status="failure", error="no frames")
    assert stream_fact(a_served(failed, **spec)).restart_at == failed.status_time
    assert stream_fact(a_served(failed)).restart_at is None
    assert stream_fact(a_served(a_record(a_spec(**spec)), **spec)).restart_at is None


def test_a_ready_pod() -> None:
    fact = pod_fact(a_pod_object(slots=5, **running()))
    assert (fact.pool, fact.slots, fact.is_ready, fact.is_running, fact.trouble) == ("pool", 5, True, True, "")


def test_a_pod_on_its_way_out_takes_nothing() -> None:
    obj = a_pod_object(**running())
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pod_fact(obj).is_stopping
    assert not pod_fact(obj).is_ready


def test_a_draining_mark_and_the_owner_are_read_from_the_metadata() -> None:
    obj = a_pod_object()
    obj["metadata"]["annotations"] = {naming.ANNOTATION_DRAIN: "why"}
    obj["metadata"]["ownerReferences"] = [{"kind": "Job", "name": "x", "controller": True}]
    assert pod_fact(obj).is_draining
    assert pod_fact(obj).pool == ""


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (running(is_ready=False), ""),
        (a_waiting_status("ContainerCreating"), ""),
        (a_waiting_status("CrashLoopBackOff", 137), "CrashLoopBackOff: the last run ended with Error, exit code 137"),
        (a_waiting_status("ImagePullBackOff"), "ImagePullBackOff"),
        ({"phase": "Failed", "reason": "Evicted", "message": "disk"}, "Evicted: disk"),
        (
            {
                "phase": "Pending",
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
                ],
            },
            "Unschedulable: no GPU",
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    {"name": "processor", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
                ],
            },
            "the container ended with OOMKilled, exit code 137",
        ),
    ],
)
def test_the_trouble_of_a_pod_is_its_most_telling_fact(status: dict[str, Any], trouble: str) -> None:
    fact = pod_fact(a_pod_object(**status))
    assert fact.trouble == trouble
    assert not fact.is_ready


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"is_ready": False}, None),
        ({"uid": "other"}, "processor pod pool-0 was replaced"),
        ({"is_failed": True, "trouble": "Evicted: disk"}, "processor pod pool-0 ended: Evicted: disk"),
        ({"is_stopping": True}, "processor pod pool-0 is being deleted"),
        ({"is_draining": True}, "processor pod pool-0 is drained"),
        ({"is_running": False}, "processor pod pool-0 does not run: its container is not started"),
        (
            {"is_running": False, "is_draining": True},
            "processor pod pool-0 does not run: its container is not started",
        ),
    ],
)
def test_why_a_stream_cannot_stay(changes: dict[str, Any], reason: str | None) -> None:
    bound = a_record(processor=ProcessorBinding(pool="pool", pod="pool-0", pod_uid="uid-pool-0"))
    fact = stream_fact(a_served(bound))
    assert why_lost(fact, a_pod_fact("pool-0", **changes)) == reason
    assert why_lost(fact, None) == "processor pod pool-0 is gone"


def test_the_worker_of_a_drained_pod_is_asked_first_and_lost_when_it_says_nothing() -> None:
    pod = a_pod_fact("pool-0", is_draining=True)
    bound = ProcessorBinding(pool="pool", pod="pool-0", pod_uid="uid-pool-0", worker="w")
    fact = stream_fact(a_served(a_record(status="in_progress", processor=bound)))
    assert what_happened(fact, pod, NOW) == Drained(NOW + HANDOVER)
    asked = bound.model_copy(update={"leave_by": NOW + HANDOVER})
    fact = stream_fact(a_served(a_record(status="in_progress", processor=asked)))
    assert what_happened(fact, pod, later(11)) is None
    assert what_happened(fact, pod, later(12)) == HandlerLost("processor pod pool-0 is drained")
    assert what_happened(fact, None, later(1)) == HandlerLost("processor pod pool-0 is gone"), "no need to wait"


def test_a_draft_follows_the_spec_the_loss_and_the_clock_at_once() -> None:
    taken = a_record(status="in_progress", observed_generation=1)
    lost = draft(a_served(taken), HandlerLost("the pod is gone"), later(5))
    assert (lost.record.status, lost.record.last_error) == (StreamState.PENDING, "the pod is gone")
    assert [entry.status for entry in lost.entries] == ["handler_lost", "restart", "pending"]
    spec: dict[str, Any] = {"autorestart": {"restart": 1, "attempt_count": 2, "delay": 30}}
    failed = a_record(a_spec(**spec), status="failure", error="no frames")
    again = draft(a_served(failed, **spec), None, later(60))
    assert (again.record.status, again.record.autorestart.current_attempt) == (StreamState.PENDING, 1)
