"""What the status of a Pod says about its worker: pure, from what Kubernetes 1.35 writes there.

The kubelet writes containers and conditions, the scheduler that no node fits, the API server and the controllers that
a pod is to go (DisruptionTarget). A node that answers no more writes nothing: 40 to 50 s later the node lifecycle
controller takes the condition Ready from its pods, and nothing else, so their containers still look as if they ran.
docs/failures.md tells what follows from each state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

Json = dict[str, Any]

STARTING: Final = ("ContainerCreating", "PodInitializing")
"""Reasons of a container that waits as every container does at first; every other reason is trouble."""

NODE_LOST: Final = "NodeLost"
"""The node does not answer; whether the worker still runs, the shim hears."""
DEVICE_UNHEALTHY: Final = "DeviceUnhealthy"
"""The kubelet reports that a GPU of the worker is broken."""
NOT_READY: Final = "NotReady"
"""The worker runs, was ready, and says that it is not."""
WORKER_SILENT: Final = "WorkerSilent"
"""The worker stopped reporting to the shim, while Kubernetes has not noticed anything yet."""
ENDED: Final = "Ended"
"""The pod ended, and nobody said why."""
NOT_STARTED: Final = "NotStarted"
"""The pod is not ready for so long that something must hold it up: a volume, the network, an enormous image."""

UNREADY_PATIENCE: Final = timedelta(seconds=30)
"""How long a worker that was ready may say that it is not, before another pod is made for its streams."""
START_PATIENCE: Final = timedelta(minutes=10)
"""How long a pod may take to start: as long as a Deployment waits (progressDeadlineSeconds)."""


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod's state.

    Attributes:
        is_ready: takes streams, as far as its status says.
        is_running: the worker's process exists, as far as the kubelet said.
        is_failed: the pod ended for good.
        is_unschedulable: no node has room for it.
        is_lost: its node does not answer.
        is_sick: one of its devices is broken.
        is_broken: a container cannot run: it keeps ending, or its image is missing.
        stuck_from: when to give up hope if it is still not ready then; None where time alone changes nothing.
        trouble: why it is not ready, for people, "Reason: message"; "" when it is, or when nothing is known yet.
    """

    is_ready: bool
    is_running: bool
    is_failed: bool
    is_unschedulable: bool
    is_lost: bool
    is_sick: bool
    is_broken: bool
    stuck_from: datetime | None
    trouble: str


def pod_state(obj: Json, container_name: str) -> PodState:
    """Read a Pod.

    Args:
        obj: as the API server gave it.
        container_name: of the worker's container.
    """
    status = obj.get("status") or {}
    phase = status.get("phase", "Pending")
    container = _named(status.get("containerStatuses"), container_name)
    ready = _condition(status, "Ready")
    is_running = phase == "Running" and "running" in (container.get("state") or {})
    is_stopping = "deletionTimestamp" in obj["metadata"]
    was_ready = is_running and not is_stopping and _was_ready(ready, container)
    is_failed = phase in ("Failed", "Succeeded")
    is_lost = is_running and _is_lost(ready, container)
    sick = _sick_devices(status)
    leaves = _condition(status, "DisruptionTarget").get("status") == "True"
    is_ready = is_running and ready.get("status") == "True" and not (sick or leaves or is_stopping)
    is_unschedulable = _condition(status, "PodScheduled").get("reason") == "Unschedulable"
    waits = not (is_ready or is_failed or is_stopping or is_lost or is_unschedulable)
    return PodState(
        is_ready=is_ready,
        is_running=is_running,
        is_failed=is_failed,
        is_unschedulable=is_unschedulable,
        is_lost=is_lost,
        is_sick=bool(sick) and not is_failed,
        is_broken=not is_failed and any(_broken(c) for c in _containers(status)),
        stuck_from=_stuck_from(obj, ready, was_ready=was_ready) if waits else None,
        trouble="" if is_ready else _trouble(obj, container, sick, is_lost=is_lost) or _unready(was_ready=was_ready),
    )


def _is_lost(ready: Json, container: Json) -> bool:
    """Tell whether somebody else than the kubelet took the readiness: it gives no reason, and the container keeps its.

    A kubelet always gives one (ContainersNotReady, ReadinessGatesNotReady …).
    Source: MarkPodsNotReady, kubernetes/pkg/controller/util/node.
    """
    return ready.get("status") == "False" and not ready.get("reason") and container.get("ready") is True


def _sick_devices(status: Json) -> tuple[str, ...]:
    """Return the devices that the kubelet calls unhealthy; "Unknown" says that its plugin is away, no more.

    Source: KEP-4680, container statuses with the feature gate ResourceHealthStatus.
    """
    return tuple(
        " ".join(filter(None, (kind.get("name", "a device"), device.get("resourceID"))))
        for container in status.get("containerStatuses") or ()
        for kind in container.get("allocatedResourcesStatus") or ()
        for device in kind.get("resources") or ()
        if device.get("health") == "Unhealthy"
    )


def _containers(status: Json) -> Iterable[Json]:
    """Yield the statuses of all containers, in the order in which they hold up the pod."""
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _broken(container: Json) -> str:
    """Return the reason why a container cannot run; "" if it runs, is starting, or ended only now."""
    reason = ((container.get("state") or {}).get("waiting") or {}).get("reason")
    return "" if reason in (None, *STARTING) else str(reason)


def _was_ready(ready: Json, container: Json) -> bool:
    """Tell whether a running container that is not ready was so: then that changed after it had started."""
    started = ((container.get("state") or {}).get("running") or {}).get("startedAt")
    changed = ready.get("lastTransitionTime")
    if ready.get("status") != "False" or started is None or changed is None:
        return False
    return _time(changed) > _time(started)


def _stuck_from(obj: Json, ready: Json, *, was_ready: bool) -> datetime:
    """Return until when a pod that is not ready may be waited for."""
    since = _time(ready.get("lastTransitionTime") or obj["metadata"]["creationTimestamp"])
    return since + (UNREADY_PATIENCE if was_ready else START_PATIENCE)


def _trouble(obj: Json, container: Json, sick: tuple[str, ...], *, is_lost: bool) -> str:
    """Say why a pod is not ready, the most telling fact first."""
    status = obj.get("status") or {}
    if status.get("reason"):  # Evicted, UnexpectedAdmissionError, NodeShutdown …
        return _joined(status["reason"], status.get("message"))
    if sick:
        return _joined(DEVICE_UNHEALTHY, f"{', '.join(sick)} is unhealthy")
    disruption = _condition(status, "DisruptionTarget")
    if disruption.get("status") == "True":  # DeletionByTaintManager, EvictionByEvictionAPI, PreemptionByScheduler …
        return _joined(disruption.get("reason", "DisruptionTarget"), disruption.get("message"))
    if is_lost:
        return _joined(NODE_LOST, f"node {obj['spec'].get('nodeName') or 'unknown'} does not answer")
    return _container_trouble(status, container) or _unscheduled(status)


def _container_trouble(status: Json, container: Json) -> str:
    for other in _containers(status):
        if reason := _broken(other):
            ended = _last_end(other)
            cause = f"the last run ended with {_ended(ended)}" if ended else other["state"]["waiting"].get("message")
            return _joined(reason, cause)
    ended = _last_end(container)
    if ended and "running" not in (container.get("state") or {}):
        return f"the container ended with {_ended(ended)}"
    return ""


def _unready(*, was_ready: bool) -> str:
    return _joined(NOT_READY, "its worker says that it is not ready") if was_ready else ""


def _last_end(container: Json) -> Json:
    """Return how the container, or its last run, ended; empty if it never did."""
    for state in (container.get("state"), container.get("lastState")):
        if ended := (state or {}).get("terminated"):
            return dict(ended)
    return {}


def _unscheduled(status: Json) -> str:
    condition = _condition(status, "PodScheduled")
    if condition.get("status") != "False":
        return ""
    return _joined(condition.get("reason", "Unschedulable"), condition.get("message"))


def _ended(terminated: Json) -> str:
    return f"{terminated.get('reason', 'Error')}, exit code {terminated.get('exitCode', '?')}"


def _joined(reason: str, message: str | None) -> str:
    return f"{reason}: {message}" if message else reason


def _condition(status: Json, name: str) -> Json:
    found: Json = next((c for c in status.get("conditions") or () if c["type"] == name), {})
    return found


def _named(containers: Iterable[Json] | None, name: str) -> Json:
    found: Json = next((c for c in containers or () if c["name"] == name), {})
    return found


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
