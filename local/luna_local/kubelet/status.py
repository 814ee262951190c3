"""The status of a Pod in Kubernetes' own form, from what the kubelet sees: pure functions.

Rules as in Kubernetes' kubelet (pkg/kubelet/kubelet_pods.go, status/generate.go): the phase from the states of the
containers and the restart policy; the conditions from readiness; `lastTransitionTime` moves only with a status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from luna_local.kubelet.pod import Condition, Container, Pod, RestartPolicy

Json = dict[str, Any]

_QOS_RESOURCES = {"cpu", "memory"}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not running; the reason says what for."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """Running since then."""

    started_at: datetime


@dataclass(frozen=True, slots=True)
class Terminated:
    """Ended, and how."""

    exit_code: int
    reason: str
    finished_at: datetime
    started_at: datetime | None = None
    signal: int | None = None
    message: str = ""
    container_id: str = ""


State = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What is so about one container; `last_state` is how the run before the present one ended."""

    state: State
    last_state: Terminated | None = None
    restart_count: int = 0
    container_id: str = ""
    is_started: bool = False
    is_ready: bool = False

    def will_restart(self, policy: RestartPolicy) -> bool:
        """Whether a terminated container is going to be started again."""
        if not isinstance(self.state, Terminated):
            return False
        return policy == "Always" or (policy == "OnFailure" and self.state.exit_code != 0)


@dataclass(frozen=True, slots=True)
class PodObservation:
    """What is so about a Pod.

    Attributes:
        init: facts of the init containers, by name, in order.
        containers: facts of the containers, by name, in order.
        previous_conditions: as last written, for their transition times.
        start_time: when the kubelet took the Pod up.
    """

    pod: Pod
    init: Mapping[str, ContainerFacts]
    containers: Mapping[str, ContainerFacts]
    pod_ip: str
    host_ip: str
    start_time: datetime
    previous_conditions: Sequence[Condition] = field(default=())


def timestamp(moment: datetime) -> str:
    """Return a time as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod_status(seen: PodObservation, now: datetime) -> Json:
    """Return the status to write."""
    return {
        "phase": phase(seen),
        "conditions": _conditions(seen, now),
        "hostIP": seen.host_ip,
        "hostIPs": [{"ip": seen.host_ip}],
        "podIP": seen.pod_ip,
        "podIPs": [{"ip": seen.pod_ip}],
        "startTime": timestamp(seen.start_time),
        "qosClass": qos_class(seen.pod.spec.containers),
        "initContainerStatuses": _container_statuses(seen.pod.spec.init_containers, seen.init),
        "containerStatuses": _container_statuses(seen.pod.spec.containers, seen.containers),
    }


def terminated_of(written: Json | None) -> Terminated | None:
    """Return the end of a container as a status tells of it; None if it tells of none."""
    if not written:
        return None
    began = written.get("startedAt")
    return Terminated(
        exit_code=written["exitCode"],
        reason=written.get("reason", ""),
        finished_at=datetime.fromisoformat(written["finishedAt"]),
        started_at=datetime.fromisoformat(began) if began else None,
        signal=written.get("signal"),
        message=written.get("message", ""),
        container_id=written.get("containerID", ""),
    )


def phase(seen: PodObservation) -> str:
    """Return the phase: Pending until every container has run, then by what they do."""
    policy = seen.pod.spec.restart_policy
    if any(_failed_for_good(facts, policy) for facts in seen.init.values()):
        return "Failed"
    facts = list(seen.containers.values())
    if not _is_initialized(seen) or any(_never_ran(each) for each in facts):
        return "Pending"
    if all(isinstance(each.state, Terminated) and not each.will_restart(policy) for each in facts):
        codes = [each.state.exit_code for each in facts if isinstance(each.state, Terminated)]
        return "Succeeded" if not any(codes) else "Failed"
    return "Running"


def qos_class(containers: Iterable[Container]) -> str:
    """Return the quality-of-service class that requests and limits amount to."""
    classes = {_qos_class(each) for each in containers}
    return classes.pop() if len(classes) == 1 else "Burstable"


def _qos_class(container: Container) -> str:
    limits = {key: value for key, value in container.resources.limits.items() if key in _QOS_RESOURCES}
    # A request that is not given equals the limit.
    requests = {**limits, **{k: v for k, v in container.resources.requests.items() if k in _QOS_RESOURCES}}
    if not requests:
        return "BestEffort"
    return "Guaranteed" if requests == limits and set(limits) == _QOS_RESOURCES else "Burstable"


def _failed_for_good(facts: ContainerFacts, policy: RestartPolicy) -> bool:
    return policy == "Never" and isinstance(facts.state, Terminated) and facts.state.exit_code != 0


def _never_ran(facts: ContainerFacts) -> bool:
    return isinstance(facts.state, Waiting) and facts.last_state is None


def _is_initialized(seen: PodObservation) -> bool:
    return all(isinstance(facts.state, Terminated) and facts.state.exit_code == 0 for facts in seen.init.values())


def _conditions(seen: PodObservation, now: datetime) -> list[Json]:
    current = phase(seen)
    not_initialized = [
        name
        for name, facts in seen.init.items()
        if not (isinstance(facts.state, Terminated) and facts.state.exit_code == 0)
    ]
    unready = [name for name, facts in seen.containers.items() if not facts.is_ready]
    if current == "Succeeded":
        readiness = ("False", "PodCompleted", "")
    elif current == "Failed":
        readiness = ("False", "PodFailed", "")
    else:
        readiness = _all_well(unready, "ContainersNotReady", "containers with unready status")
    initialized = _all_well(not_initialized, "ContainersNotInitialized", "containers with incomplete status")
    wanted = {
        "PodScheduled": ("True", "", ""),
        "Initialized": initialized,
        "ContainersReady": readiness,
        "Ready": readiness,
    }
    previous = {condition.type: condition for condition in seen.previous_conditions}
    return [_condition(kind, value, previous.get(kind), now) for kind, value in wanted.items()]


def _all_well(unwell: list[str], reason: str, what: str) -> tuple[str, str, str]:
    return ("False", reason, f"{what}: [{' '.join(unwell)}]") if unwell else ("True", "", "")


def _condition(kind: str, value: tuple[str, str, str], previous: Condition | None, now: datetime) -> Json:
    status, reason, message = value
    changed_at = timestamp(now)
    if previous is not None and previous.status == status and previous.last_transition_time:
        changed_at = previous.last_transition_time
    condition: Json = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": changed_at}
    # Null removes what an earlier status said: the patch merges conditions by their type.
    return {**condition, "reason": reason or None, "message": message or None}


def _container_statuses(containers: Iterable[Container], facts: Mapping[str, ContainerFacts]) -> list[Json]:
    return [_container_status(each, facts[each.name]) for each in containers if each.name in facts]


def _container_status(container: Container, facts: ContainerFacts) -> Json:
    status: Json = {
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "ready": facts.is_ready,
        "started": facts.is_started,
        "restartCount": facts.restart_count,
        "state": _state(facts.state),
        "lastState": _state(facts.last_state) if facts.last_state else {},
    }
    return {**status, "containerID": facts.container_id} if facts.container_id else status


def _state(state: State) -> Json:
    match state:
        case Waiting(reason, message):
            return {"waiting": _without_empty({"reason": reason, "message": message})}
        case Running(started_at):
            return {"running": {"startedAt": timestamp(started_at)}}
        case Terminated():
            return {
                "terminated": {
                    "exitCode": state.exit_code,
                    **_without_empty(
                        {
                            "signal": state.signal,
                            "reason": state.reason,
                            "message": state.message,
                            "startedAt": timestamp(state.started_at) if state.started_at else None,
                            "finishedAt": timestamp(state.finished_at),
                            "containerID": state.container_id,
                        }
                    ),
                }
            }


def _without_empty(table: Json) -> Json:
    return {key: value for key, value in table.items() if value not in (None, "")}
