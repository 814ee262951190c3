"""The StreamProcessor resource: a pool of processor pods and the streams it is for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from luna_streams.model import INT32_MAX, GroupName, Model, PlatformUrl, StreamName, Time, Uuid, Zone
from luna_streams.stream import Condition, GroupAffinity, PreemptionPolicy

ChildName = Annotated[str, StringConstraints(min_length=1, max_length=253)]
"""Name of another object, or of an extended resource."""

Count = Annotated[int, Field(ge=0, le=INT32_MAX)]


class PoolSelector(Model):
    """Which streams a pool is for: within one list any, between lists all; no list at all selects every stream.

    These are the filters that workers of LUNA Streams have always had.
    """

    stream_ids: tuple[Uuid, ...] = Field(default=(), max_length=1000)
    names: tuple[StreamName, ...] = Field(default=(), max_length=1000)
    group_names: tuple[GroupName, ...] = Field(default=(), max_length=1000)
    account_ids: tuple[Uuid, ...] = Field(default=(), max_length=1000)


class GpuRequest(Model):
    """GPUs a pod asks for: an extended resource, or a claim of Dynamic Resource Allocation."""

    resource_name: ChildName | None = None
    """Extended resource, for example nvidia.com/gpu, nvidia.com/gpu.shared or nvidia.com/mig-1g.10gb."""
    count: int = Field(default=1, ge=1, le=16)
    """How many of the extended resource; a claim says itself how much it is."""
    claim_template: ChildName | None = None
    """ResourceClaimTemplate in the same namespace: each pod gets a claim of its own."""
    claim_name: ChildName | None = None
    """ResourceClaim in the same namespace, which all pods of the pool share."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(name is not None for name in (self.resource_name, self.claim_template, self.claim_name)) != 1:
            raise ValueError("gpu needs exactly one of resourceName, claimTemplate and claimName")
        return self


class PodMetadata(Model):
    """Labels and annotations that every pod gets besides the operator's own."""

    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class PodTemplate(Model):
    """What is different from the pod that the operator would make."""

    metadata: PodMetadata = PodMetadata()
    spec: dict[str, Any] = Field(default_factory=dict)
    """Strategic merge patch of the pod's spec."""


class DecoderCapacity(Model):
    """What a pod's decoder can do; a GPU slice without a decoder says 0."""

    megapixels_per_second: float = Field(ge=0)


HandlerFormat = Literal["events", "stream_events", "stream_events_6_18"]
"""What a handler of LUNA PLATFORM is sent: a form, msgpack, or msgpack as it was before API 6.27."""


class PlatformAddress(Model):
    """LUNA PLATFORM for streams that do not name one (REST v2 has no such field)."""

    origin: PlatformUrl
    api_version: int = Field(default=6, ge=1, le=100)
    event_format: HandlerFormat = "events"
    """How its handlers are sent events, also those that streams name themselves."""


class PoolPlacement(Model):
    """How streams are given to the pods of a pool."""

    strategy: Literal["Spread", "Pack"] = "Spread"
    """Spread: each to the emptiest pod, so that the loss of one hits few. Pack: to the fullest, so that others go."""
    group_affinity: GroupAffinity = "None"
    """For streams that do not say it themselves."""
    preemption_policy: PreemptionPolicy = "Never"
    """For streams that do not say it themselves."""
    move_back_delay_seconds: int = Field(default=300, ge=0, le=86400)
    """How long a stream runs, and the pod it moves to has been there, before it moves to a zone it prefers."""


class StreamProcessorSpec(Model):
    """What the user wants of a pool."""

    selector: PoolSelector = PoolSelector()
    slots_per_pod: int = Field(default=8, ge=1, le=1000)
    """Streams one pod processes at once."""
    replicas: int | None = Field(default=None, ge=0, le=1000)
    """A fixed number of pods; unset scales between minReplicas and maxReplicas by demand."""
    min_replicas: int = Field(default=1, ge=0, le=1000)
    max_replicas: int = Field(default=1, ge=0, le=1000)
    scale_down_delay_seconds: int = Field(default=300, ge=0, le=86400)
    """Quiet time before a pod without streams goes."""
    image: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """Image of the processor; unset takes the operator's default."""
    gpu: GpuRequest | None = None
    """Unset runs on the CPU."""
    decoder: DecoderCapacity | None = None
    models: ChildName | None = None
    """PersistentVolumeClaim with a models folder; unset takes the models of the image."""
    platform: PlatformAddress | None = None
    pod_template: PodTemplate = PodTemplate()
    """Overrides merged into the pod."""
    spread: Literal["none", "node", "zone"] = "node"
    """What pods are kept apart by, where possible."""
    preferred_zones: tuple[Zone, ...] = Field(default=(), max_length=16)
    """Of the pods, and of streams that prefer none themselves."""
    placement: PoolPlacement = PoolPlacement()

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError("minReplicas must not exceed maxReplicas")
        return self


class StreamProcessorStatus(Model):
    """What is so."""

    replicas: Count = 0
    ready_replicas: Count = 0
    updated_replicas: Count = 0
    """Pods of the present template; the others are about to be replaced."""
    slots: Count = 0
    """Slots of ready pods."""
    assigned: Count = 0
    """Streams that belong to pods of this pool."""
    waiting: Count = 0
    """Pending streams that the pool selects and has no slot for."""
    label_selector: Annotated[str, StringConstraints(max_length=1024)] = ""
    """Selector of the pool's pods, for the scale subresource."""
    conditions: tuple[Condition, ...] = Field(default=(), max_length=16)
    observed_generation: int | None = None


class StreamProcessor(Model):
    """A StreamProcessor object as the rest of the code sees it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int = 1
    create_time: Time
    is_deleting: bool = False
    spec: StreamProcessorSpec
    status: StreamProcessorStatus = StreamProcessorStatus()

    @classmethod
    def from_object(cls, obj: dict[str, Any]) -> Self:
        """Parse a whole object of the Kubernetes API."""
        meta = obj["metadata"]
        return cls(
            namespace=meta.get("namespace", ""),
            name=meta["name"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            generation=meta.get("generation", 1),
            create_time=meta["creationTimestamp"],
            is_deleting="deletionTimestamp" in meta,
            spec=StreamProcessorSpec.from_resource(obj.get("spec") or {}),
            status=StreamProcessorStatus.from_resource(obj.get("status") or {}),
        )
