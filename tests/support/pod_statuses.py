"""Statuses of a processor's Pod as the parts of Kubernetes 1.35 write them: kubelet, scheduler, controllers.

Written down from pods of a real cluster; each is a whole status, so that a merge patch replaces what was there.
"""

from __future__ import annotations

from typing import Any

from luna_operator.facts import CONTAINER

Json = dict[str, Any]

BORN = "2026-01-01T00:00:00Z"
STARTED = "2026-01-01T00:00:05Z"
READY = "2026-01-01T00:00:10Z"
HARMED = "2026-01-01T01:00:00Z"

GPU = "nvidia.com/gpu"
UNHEALTHY_GPU = "GPU-3"


def a_container(
    state: Json, *, name: str = CONTAINER, is_ready: bool = False, last: Json | None = None, **more: Any
) -> Json:
    """Return the status of a container."""
    return {
        "name": name, "image": "luna-streams-processor:0.1.0", "imageID": "sha256:0", "ready": is_ready,
        "restartCount": 0 if last is None else 3, "started": "running" in state, "state": state,
        "lastState": {"terminated": last} if last else {}, **more,
    }  # fmt: skip


def ended(reason: str, exit_code: int) -> Json:
    """Return how a container ended."""
    return {"reason": reason, "exitCode": exit_code, "startedAt": STARTED, "finishedAt": HARMED, "containerID": "c://1"}


def a_status(*containers: Json, phase: str = "Running", ready: Json | None = None, **more: Any) -> Json:
    """Return a whole status; without `ready` the kubelet's condition follows from the containers."""
    unready = [container["name"] for container in containers if not container["ready"]]
    kubelets = {"status": "True", "lastTransitionTime": READY}
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        kubelets = {"status": "False", "reason": "ContainersNotReady", "message": message, "lastTransitionTime": HARMED}
    extra = more.pop("extra_conditions", [])
    return {
        "phase": phase, "hostIP": "10.99.0.12", "podIP": "10.88.2.7", "startTime": BORN,
        "reason": None, "message": None,
        "conditions": [
            {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": BORN},
            {"type": "Initialized", "status": "True", "lastTransitionTime": BORN},
            {"type": "Ready", **(ready or kubelets)},
            {"type": "ContainersReady", **kubelets},
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": BORN},
            *extra,
        ],
        "containerStatuses": list(containers), **more,
    }  # fmt: skip


def _running(**more: Any) -> Json:
    return a_container({"running": {"startedAt": STARTED}}, is_ready=True, **more)


def working() -> Json:
    """Return the status of a pod with which all is well."""
    return a_status(_running())


def starting(reason: str = "ContainerCreating") -> Json:
    """Return the status of a pod that a node has begun to start."""
    return a_status(a_container({"waiting": {"reason": reason}}), phase="Pending")


def unschedulable() -> Json:
    """Return the status that the scheduler writes when no node fits."""
    message = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: 2 No preemption victims found."  # noqa: E501  as it is written
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"phase": "Pending", "conditions": [{**condition, "lastTransitionTime": BORN}]}


def unready(since: str = HARMED) -> Json:
    """Return the status of a pod whose readiness probe fails since a moment."""
    status = a_status(a_container({"running": {"startedAt": STARTED}}))
    for condition in status["conditions"]:
        if condition["type"] in ("Ready", "ContainersReady"):
            condition["lastTransitionTime"] = since
    return status


def on_a_lost_node() -> Json:
    """Return what the node lifecycle controller makes of a working pod: Ready is taken away, nothing else."""
    return a_status(_running(), ready={"status": "False", "lastTransitionTime": HARMED})


def disrupted(reason: str, message: str = "", status: Json | None = None) -> Json:
    """Return the status of a pod that is going to be deleted, as who deletes it says."""
    before = status or working()
    target = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    return {**before, "conditions": [*before["conditions"], {**target, "lastTransitionTime": HARMED}]}


def failed(reason: str, message: str) -> Json:
    """Return the status of a pod that the kubelet ended or refused."""
    return {"phase": "Failed", "reason": reason, "message": message, "startTime": BORN,
            "conditions": [], "containerStatuses": []}  # fmt: skip


def evicted() -> Json:
    """Return the status of a pod that the kubelet evicted."""
    return failed("Evicted", "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. ")


def refused_for_its_device() -> Json:
    """Return the status of a pod that a returning node refuses because the device plugin is late."""
    why = f"Allocate failed due to no healthy devices present; cannot allocate unhealthy devices {GPU}, which is unexpected"  # noqa: E501  as it is written
    return failed("UnexpectedAdmissionError", why)


def died(reason: str = "OOMKilled", exit_code: int = 137) -> Json:
    """Return the status of a pod whose container ended a moment ago."""
    return a_status(a_container({"terminated": ended(reason, exit_code)}))


def crash_looping() -> Json:
    """Return the status of a pod whose container keeps ending."""
    message = "back-off 40s restarting failed container=processor pod=pool-0_default(u)"
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    return a_status(a_container(waiting, last=ended("OOMKilled", 137)))


def without_image(reason: str = "ImagePullBackOff") -> Json:
    """Return the status of a pod whose image is missing."""
    message = 'Back-off pulling image "no/such:1": ErrImagePull: failed to pull and unpack image "no/such:1": not found'
    return a_status(a_container({"waiting": {"reason": reason, "message": message}}), phase="Pending")


def cannot_start(reason: str, message: str) -> Json:
    """Return the status of a pod whose container cannot be made."""
    return a_status(a_container({"waiting": {"reason": reason, "message": message}}), phase="Pending")


def crash_looping_beside() -> Json:
    """Return the status of a pod whose sidecar keeps ending."""
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    return a_status(_running(), a_container(waiting, name="sidecar", last=ended("Error", 1)))


def crash_looping_before() -> Json:
    """Return the status of a pod whose init container keeps ending."""
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    first = a_container(waiting, name="fetch-models", last=ended("Error", 2))
    return {**starting("PodInitializing"), "initContainerStatuses": [first]}


def with_device(health: str = "Unhealthy") -> Json:
    """Return the status of a pod with two GPUs, one of which has a health (feature gate ResourceHealthStatus)."""
    devices = [{"resourceID": "GPU-1", "health": "Healthy"}, {"resourceID": UNHEALTHY_GPU, "health": health}]
    return a_status(_running(allocatedResourcesStatus=[{"name": GPU, "resources": devices}]))
