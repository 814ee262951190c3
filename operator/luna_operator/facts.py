"""What the operator needs to know of an object, read off the raw dict once per version.

Ten thousand streams are held as these small values; their full models are parsed only when one is to be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from luna_operator.pod_states import pod_state
from luna_streams import autorestart, conditions, naming
from luna_streams.lifecycle import is_preempted
from luna_streams.selection import Traits
from luna_streams.v1alpha1 import AutorestartPolicy, GroupAffinity, PreemptionPolicy, StreamState, StreamStatus

Json = dict[str, Any]

CONTAINER: Final = "processor"
CAPACITY_VARIABLE: Final = "LUNA_PROCESSOR_CAPACITY"
LABEL_ZONE: Final = "topology.kubernetes.io/zone"
"""Copied from the node to the pod by Kubernetes (1.35: PodTopologyLabels)."""

UNKNOWN_COST_MPX: Final = 52.0
"""Megapixels per second assumed of a stream whose size is neither measured nor declared: 1080p at 25 frames."""

ACTIVE_STATES: Final = (StreamState.PENDING, StreamState.IN_PROGRESS)
_LOST: Final = (StreamState.HANDLER_LOST, StreamState.RESTART, StreamState.PENDING)


@dataclass(frozen=True, slots=True)
class StreamFact:
    """One stream.

    Attributes:
        state: the documented status; None before the first.
        is_observed: the status was computed from the present spec.
        pod, pod_uid: where it belongs; None when nowhere.
        leave_by: when its worker is lost that was asked to let go of it; None if it was not asked.
        since: when the state was entered; the queue's order.
        cost_mpx: what it asks of a decoder, megapixels per second.
        scheduled: reason and message of the condition Scheduled, as written.
        restart_at: when automatic restarting has something to do.
        was_lost: it is pending because its worker was lost.
        was_preempted: it was lost because a stream of higher priority took its place.
        leave_reason: why its worker was asked to let go of it; None where its pod is drained.
        group_affinity, preemption_policy: as the stream wants it; None takes the pool's.
    """

    name: str
    uid: str
    traits: Traits
    state: StreamState | None
    is_observed: bool
    is_deleting: bool
    pod: str | None
    pod_uid: str | None
    leave_by: datetime | None
    since: datetime
    priority: int
    required_zones: tuple[str, ...]
    preferred_zones: tuple[str, ...]
    cost_mpx: float
    scheduled: tuple[str, str]
    restart_at: datetime | None
    was_lost: bool
    was_preempted: bool
    leave_reason: str | None
    group_affinity: GroupAffinity | None
    preemption_policy: PreemptionPolicy | None

    @property
    def is_active(self) -> bool:
        """Whether it needs a slot."""
        return self.state in ACTIVE_STATES and not self.is_deleting

    @property
    def groups(self) -> tuple[str, ...]:
        """Keys of its groups: groups of two accounts are two, also under one name."""
        return tuple(f"{self.traits.account_id}/{group}" for group in self.traits.groups)


@dataclass(frozen=True, slots=True)
class PodFact:
    """One processor pod.

    Attributes:
        pool: name of its StreamProcessor.
        slots: streams it was told to process at once.
        is_ready: takes streams.
        is_running: the worker's process exists, as far as the kubelet said.
        is_failed: the pod ended for good (Failed, evicted, completed).
        is_stopping: it was deleted and is on its way out.
        is_draining: it takes no new streams and goes when the last one left.
        is_unschedulable: no node has room for it.
        trouble: why it is not ready, for people; "" when it is, or when nothing is known yet.
        node: where it runs; "" while no node is chosen.
        is_lost, is_sick, is_broken, stuck_from: see `PodState`.
        ready_since: since when it takes streams; None if it does not.
    """

    name: str
    uid: str
    pool: str
    template_hash: str
    slots: int
    zone: str
    created_at: datetime
    is_ready: bool
    is_running: bool
    is_failed: bool
    is_stopping: bool
    is_draining: bool
    is_unschedulable: bool
    trouble: str
    node: str = ""
    is_lost: bool = False
    is_sick: bool = False
    is_broken: bool = False
    stuck_from: datetime | None = None
    ready_since: datetime | None = None

    @property
    def is_spent(self) -> bool:
        """Whether it is of no use any more, whatever happens."""
        return self.is_failed or self.is_sick

    def is_unable(self, now: datetime) -> bool:
        """Whether its streams had better have another pod, though it may recover."""
        return self.is_broken or (self.stuck_from is not None and now >= self.stuck_from)


def stream_fact(obj: Json) -> StreamFact:
    """Read a Stream."""
    metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    namespace, name = metadata["namespace"], metadata["name"]
    placement = spec.get("placement") or {}
    binding = status.get("processor") or {}
    state = StreamState(status["status"]) if "status" in status else None
    was_lost = state == StreamState.PENDING and _last_states(status, len(_LOST)) == _LOST
    return StreamFact(
        name=name,
        uid=metadata["uid"],
        traits=Traits(
            namespace=namespace,
            stream_id=naming.stream_id(namespace, name),
            name=spec.get("displayName", ""),
            groups=tuple(spec.get("groups") or ()),
            account_id=spec["accountId"],
        ),
        state=state,
        is_observed=state is not None and status.get("observedGeneration") == metadata.get("generation"),
        is_deleting="deletionTimestamp" in metadata,
        pod=binding.get("pod"),
        pod_uid=binding.get("podUid"),
        leave_by=_time(binding["leaveBy"]) if "leaveBy" in binding else None,
        since=_time(status.get("statusTime") or metadata["creationTimestamp"]),
        priority=spec.get("priority", 0),
        required_zones=tuple(placement.get("requiredZones") or ()),
        preferred_zones=tuple(placement.get("preferredZones") or ()),
        cost_mpx=_cost_mpx(status.get("videoInfo"), placement.get("decoderMegapixelsPerSecond")),
        scheduled=written_scheduling(obj),
        restart_at=_restart_at(spec, status),
        was_lost=was_lost,
        was_preempted=was_lost and is_preempted(status.get("lastError") or ""),
        leave_reason=binding.get("leaveReason"),
        group_affinity=placement.get("groupAffinity"),
        preemption_policy=placement.get("preemptionPolicy"),
    )


def written_scheduling(obj: Json) -> tuple[str, str]:
    """Return reason and message of the condition Scheduled, as written; empty where there is none."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition["type"] == conditions.SCHEDULED:
            return condition["reason"], condition.get("message", "")
    return "", ""


def pod_fact(obj: Json) -> PodFact:
    """Read a processor Pod."""
    metadata, spec = obj["metadata"], obj["spec"]
    state = pod_state(obj, CONTAINER)
    return PodFact(
        name=metadata["name"],
        uid=metadata["uid"],
        pool=_owner(metadata),
        template_hash=(metadata.get("labels") or {}).get(naming.LABEL_TEMPLATE_HASH, ""),
        slots=_slots(spec),
        zone=(metadata.get("labels") or {}).get(LABEL_ZONE, ""),
        created_at=_time(metadata["creationTimestamp"]),
        is_ready=state.is_ready,
        is_running=state.is_running,
        is_failed=state.is_failed,
        is_stopping="deletionTimestamp" in metadata,
        is_draining=naming.ANNOTATION_DRAIN in (metadata.get("annotations") or {}),
        is_unschedulable=state.is_unschedulable,
        trouble=state.trouble,
        node=spec.get("nodeName", ""),
        is_lost=state.is_lost,
        is_sick=state.is_sick,
        is_broken=state.is_broken,
        stuck_from=state.stuck_from,
        ready_since=_ready_since(obj) if state.is_ready else None,
    )


def _ready_since(obj: Json) -> datetime:
    """Return when a ready pod became so; where nobody wrote it down, when it was made."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready" and condition.get("lastTransitionTime"):
            return _time(condition["lastTransitionTime"])
    return _time(obj["metadata"]["creationTimestamp"])


def _owner(metadata: Json) -> str:
    """Return the name of the controlling StreamProcessor; the label may be a shortened form of it."""
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller") and owner["kind"] == "StreamProcessor":
            return str(owner["name"])
    return ""


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _cost_mpx(video_info: Json | None, declared: float | None) -> float:
    """Return what a worker measured, else what the user declared, else what is usual."""
    if video_info:
        cost: float = video_info["width"] * video_info["height"] * video_info["frameRate"] / 1e6
        if cost > 0:
            return cost
    return UNKNOWN_COST_MPX if declared is None else float(declared)


def _restart_at(spec: Json, status: Json) -> datetime | None:
    """Ask the domain, for the few streams that restart by themselves and failed or are on trial."""
    policy = spec.get("autorestart") or {}
    if not policy.get("restart") or "status" not in status:
        return None
    if status["status"] != StreamState.FAILURE and (status.get("autorestart") or {}).get("status") != "in_progress":
        return None
    record = StreamStatus.from_resource(status)
    return autorestart.next_autorestart(record, AutorestartPolicy.from_resource(policy))


def _last_states(status: Json, count: int) -> tuple[str, ...]:
    return tuple(entry["status"] for entry in (status.get("history") or ())[-count:])


def _slots(spec: Json) -> int:
    """Read the capacity from the environment of the container: what the process really was told."""
    for container in spec["containers"]:
        for variable in container.get("env") or ():
            if container["name"] == CONTAINER and variable["name"] == CAPACITY_VARIABLE:
                value = str(variable.get("value", ""))
                return int(value) if value.isdecimal() else 0
    return 0
