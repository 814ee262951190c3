"""What is read off the status of a pod, for every state in which Kubernetes leaves one; the table names them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from luna_operator import pod_states
from luna_operator.drafts import why_lost
from luna_operator.facts import PodFact, pod_fact, stream_fact
from luna_operator.pod_states import START_PATIENCE, STARTING, UNREADY_PATIENCE
from luna_streams.v1alpha1 import ProcessorBinding
from support import pod_statuses as ps
from support.builders import a_record
from support.operator_builders import a_pod_object, a_served_stream
from support.repository import ROOT

Json = dict[str, Any]

PAGE = (ROOT / "docs" / "failures.md").read_text()
BOUND = stream_fact({
    **a_served_stream(),
    "status": a_record(processor=ProcessorBinding(pool="pool", pod="pool-0", pod_uid="uid-pool-0")).to_resource(),
})  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A status, whether the pod is being deleted, and what is to be read off.

    Attributes:
        flags: the facts that are true, of those that decisions are made by.
        trouble: how it begins.
        loss: why a stream in progress is lost, how it begins; None if it is not.
    """

    status: Json
    flags: str
    trouble: str = ""
    loss: str | None = None
    is_deleted: bool = False


FLAGS = ("ready", "running", "failed", "stopping", "unschedulable", "lost", "sick", "broken")
P = "processor pod pool-0"
NOT_RUNNING = f"{P} does not run: "
CASES = {
    "works": Case(ps.working(), "ready running"),
    "has no status": Case({}, "", loss=NOT_RUNNING),
    "starts": Case(ps.starting(), "", loss=NOT_RUNNING),
    "initializes": Case(ps.starting("PodInitializing"), "", loss=NOT_RUNNING),
    "finds no node": Case(ps.unschedulable(), "unschedulable", "Unschedulable: 0/2 nodes", NOT_RUNNING),
    "is not ready": Case(ps.unready(), "running", "NotReady: its worker says"),
    "lost its node": Case(ps.on_a_lost_node(), "running lost", "NodeLost: node node2 does not answer"),
    "is deleted by the taint manager": Case(
        ps.disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", ps.on_a_lost_node()),
        "running stopping lost", "DeletionByTaintManager: Taint manager", f"{P} is being deleted: DeletionByTaintMan",
        is_deleted=True,
    ),
    "is about to be evicted": Case(
        ps.disrupted("EvictionByEvictionAPI", "Eviction API: evicting"), "running", "EvictionByEvictionAPI: Eviction"
    ),
    "is preempted": Case(
        ps.disrupted("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"),
        "running stopping", "PreemptionByScheduler: ", f"{P} is being deleted: PreemptionByScheduler: ",
        is_deleted=True,
    ),
    "lost its node for good": Case(
        ps.disrupted("DeletionByPodGC", "PodGC: node no longer exists", ps.failed("", "")),
        "failed", "DeletionByPodGC: PodGC: node no longer exists", f"{P} ended: DeletionByPodGC",
    ),
    "is deleted": Case(ps.working(), "running stopping", "", f"{P} is being deleted", is_deleted=True),
    "was evicted": Case(ps.evicted(), "failed", "Evicted: The node was low", f"{P} ended: Evicted: The node was"),
    "was shut down": Case(
        ps.failed("Terminated", "Pod was terminated in response to imminent node shutdown."),
        "failed", "Terminated: Pod was", f"{P} ended: Terminated",
    ),
    "was refused while the node shut down": Case(
        ps.failed("NodeShutdown", "Pod was rejected as the node is shutting down."), "failed", "NodeShutdown: ",
        f"{P} ended: NodeShutdown",
    ),
    "was refused for its device": Case(
        ps.refused_for_its_device(), "failed", "UnexpectedAdmissionError: Allocate failed due to",
        f"{P} ended: UnexpectedAdmissionError: Allocate",
    ),
    "was refused for want of room": Case(
        ps.failed("OutOfnvidia.com/gpu", "Pod was rejected: Node didn't have enough resource: nvidia.com/gpu"),
        "failed", "OutOfnvidia.com/gpu: Pod was", f"{P} ended: OutOfnvidia.com/gpu",
    ),
    "ended by itself": Case(
        {**ps.died("Completed", 0), "phase": "Succeeded"}, "failed", "the container ended with Completed, exit code 0",
        f"{P} ended: the container ended with Completed",
    ),
    "ran out of memory": Case(
        ps.died(), "", "the container ended with OOMKilled, exit code 137",
        f"{P} does not run: the container ended with OOMKilled, exit code 137",
    ),
    "crashed": Case(ps.died("Error", 139), "", "the container ended with Error, exit code 139", NOT_RUNNING),
    "rebooted with its node": Case(
        ps.died("ContainerStatusUnknown", 137), "", "the container ended with ContainerStatusUnknown", NOT_RUNNING
    ),
    "keeps ending": Case(
        ps.crash_looping(), "broken", "CrashLoopBackOff: the last run ended with OOMKilled, exit code 137",
        f"{P} does not run: CrashLoopBackOff",
    ),
    "has a sidecar that keeps ending": Case(
        ps.crash_looping_beside(), "running broken", "CrashLoopBackOff: the last run ended with Error, exit code 1"
    ),
    "has a first container that keeps ending": Case(
        ps.crash_looping_before(), "broken", "CrashLoopBackOff: the last run ended with Error, exit code 2",
        NOT_RUNNING,
    ),
    "cannot pull its image": Case(
        ps.without_image("ErrImagePull"), "broken", "ErrImagePull: ", f"{P} does not run: ErrImagePull"
    ),
    "has no image": Case(
        ps.without_image(), "broken", "ImagePullBackOff: Back-off", f"{P} does not run: ImagePullBackOff"
    ),
    "names no image": Case(ps.without_image("InvalidImageName"), "broken", "InvalidImageName: ", NOT_RUNNING),
    "may not pull its image": Case(ps.without_image("ErrImageNeverPull"), "broken", "ErrImageNeverPull", NOT_RUNNING),
    "lacks a Secret": Case(
        ps.cannot_start("CreateContainerConfigError", 'secret "models" not found'), "broken",
        'CreateContainerConfigError: secret "models" not found', NOT_RUNNING,
    ),
    "cannot be made": Case(
        ps.cannot_start("CreateContainerError", "name is reserved"), "broken", "CreateContainerError: ", NOT_RUNNING
    ),
    "has no runtime for its GPU": Case(
        ps.cannot_start("RunContainerError", "nvidia-container-cli: initialization error"), "broken",
        "RunContainerError: nvidia-container-cli", NOT_RUNNING,
    ),
    "lost a GPU": Case(
        ps.with_device(), "running sick", "DeviceUnhealthy: nvidia.com/gpu GPU-3 is unhealthy",
        f"{P} cannot go on: DeviceUnhealthy: nvidia.com/gpu GPU-3",
    ),
    "has a GPU whose plugin is away": Case(ps.with_device("Unknown"), "ready running"),
}  # fmt: skip


def read(case: Case) -> PodFact:
    obj = a_pod_object(**case.status)
    obj["spec"]["nodeName"] = "node2"
    if case.is_deleted:
        obj["metadata"]["deletionTimestamp"] = ps.HARMED
    return pod_fact(obj)


@pytest.mark.parametrize("name", CASES)
def test_a_state_is_read_off_the_status(name: str) -> None:
    case, fact = CASES[name], read(CASES[name])
    assert [flag for flag in FLAGS if getattr(fact, f"is_{flag}")] == case.flags.split()
    assert fact.trouble.startswith(case.trouble)
    assert bool(fact.trouble) == bool(case.trouble)


@pytest.mark.parametrize("name", CASES)
def test_the_reason_of_a_loss_says_what_happened_to_the_pod(name: str) -> None:
    loss = why_lost(BOUND, read(CASES[name]))
    expected = CASES[name].loss
    assert (loss is None) == (expected is None)
    assert (loss or "").startswith(expected or "")


@pytest.mark.parametrize("name", CASES)
def test_the_page_has_the_reason_and_the_words_of_the_loss(name: str) -> None:
    case = CASES[name]
    reason = case.trouble.partition(":")[0].removeprefix("the container ended with ").partition(",")[0]
    assert f"`{reason}" in PAGE
    verb = (case.loss or P).removeprefix(P).strip().partition(":")[0]
    assert f"processor pod P {verb}".strip() in PAGE


@pytest.mark.parametrize(
    "reason", [*STARTING, *(v for k, v in vars(pod_states).items() if k.isupper() and isinstance(v, str))]
)
def test_the_page_names_every_reason_of_the_code(reason: str) -> None:
    assert f"`{reason}" in PAGE


def test_a_worker_that_was_ready_is_waited_for_less_long_than_one_that_starts() -> None:
    lost = pod_fact(a_pod_object(**ps.unready()))
    assert lost.stuck_from is not None
    assert lost.stuck_from.isoformat() == "2026-01-01T01:00:30+00:00"
    assert (lost.is_unable(lost.stuck_from - UNREADY_PATIENCE), lost.is_unable(lost.stuck_from)) == (False, True)
    new = pod_fact(a_pod_object(**ps.unready(since=ps.BORN)))
    assert new.stuck_from is not None
    assert new.stuck_from.isoformat() == "2026-01-01T00:10:00+00:00"
    assert UNREADY_PATIENCE < START_PATIENCE


@pytest.mark.parametrize("name", ["works", "lost its node", "finds no node", "was evicted", "is deleted"])
def test_time_alone_makes_no_trouble_of_a_pod_that_has_none_or_has_another(name: str) -> None:
    assert read(CASES[name]).stuck_from is None


def test_a_readiness_gate_is_not_a_lost_node() -> None:
    ready = {"status": "False", "reason": "ReadinessGatesNotReady", "lastTransitionTime": ps.READY}
    running = ps.a_container({"running": {"startedAt": ps.STARTED}}, is_ready=True)
    assert not pod_fact(a_pod_object(**ps.a_status(running, ready=ready))).is_lost
