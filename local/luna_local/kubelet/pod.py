"""A Pod as this kubelet reads it: the fields it acts on, parsed and frozen; everything else is ignored.

The names are Kubernetes' own (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/).
Defaults are those that an API server fills in, so that a sparse manifest means the same here as there.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

RestartPolicy = Literal["Always", "OnFailure", "Never"]


class Part(BaseModel):
    """The base of every part: frozen, camelCase on the wire, null means absent."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class KeyRef(Part):
    """A key of a Secret or ConfigMap."""

    name: str = ""
    key: str
    optional: bool = False


class NamedRef(Part):
    """A whole Secret or ConfigMap."""

    name: str = ""
    optional: bool = False


class FieldRef(Part):
    """A field of the Pod itself."""

    field_path: str


class EnvSource(Part):
    """Where the value of an environment variable comes from; exactly one is set."""

    field_ref: FieldRef | None = None
    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None


class EnvVar(Part):
    """One environment variable."""

    name: str
    value: str = ""
    value_from: EnvSource | None = None


class EnvFrom(Part):
    """All keys of a Secret or ConfigMap as environment variables."""

    prefix: str = ""
    secret_ref: NamedRef | None = None
    config_map_ref: NamedRef | None = None


class VolumeMount(Part):
    """Where a container expects a volume."""

    name: str
    mount_path: str
    sub_path: str = ""


class HttpHeader(Part):
    """A header that a probe sends."""

    name: str
    value: str


class HttpGet(Part):
    """A probe by HTTP: success is a status of 200 to 399."""

    path: str = "/"
    port: int | str
    host: str = ""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocket(Part):
    """A probe by connecting."""

    port: int | str
    host: str = ""


class ExecAction(Part):
    """A probe by a command: success is exit code 0."""

    command: tuple[str, ...]


class Probe(Part):
    """What to ask, how often, and how many answers of a kind count."""

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    exec: ExecAction | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3


class ContainerPort(Part):
    """A port; probes may refer to it by name."""

    container_port: int
    name: str = ""


class Resources(Part):
    """Requested and limiting quantities, as written."""

    requests: dict[str, str | int | float] = Field(default_factory=dict)
    limits: dict[str, str | int | float] = Field(default_factory=dict)


class Container(Part):
    """One container; its image is only a name here, its command is what runs."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    resources: Resources = Resources()


class KeyToPath(Part):
    """Which key becomes which file of a volume."""

    key: str
    path: str


class FilesSource(Part):
    """A Secret or ConfigMap as files; without items every key becomes a file of its name."""

    name: str = Field(default="", validation_alias="name")
    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False

    @property
    def object_name(self) -> str:
        """The object's name: a Secret volume spells the field otherwise than all the others."""
        return self.secret_name or self.name


class TokenSource(Part):
    """A token of the Pod's ServiceAccount, renewed before it expires."""

    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class DownwardFile(Part):
    """A field of the Pod as a file."""

    path: str
    field_ref: FieldRef | None = None


class DownwardSource(Part):
    """Fields of the Pod as files."""

    items: tuple[DownwardFile, ...] = ()


class ProjectedSource(Part):
    """One of the sources of a projected volume; exactly one is set."""

    service_account_token: TokenSource | None = None
    secret: FilesSource | None = None
    config_map: FilesSource | None = None
    downward_api: DownwardSource | None = Field(default=None, alias="downwardAPI")


class Projected(Part):
    """Several sources in one folder."""

    sources: tuple[ProjectedSource, ...] = ()


class HostPath(Part):
    """A path of this machine."""

    path: str
    type: str = ""


class Volume(Part):
    """A volume; exactly one source is set, of the kinds that this kubelet knows."""

    name: str
    empty_dir: dict[str, Any] | None = None
    host_path: HostPath | None = None
    secret: FilesSource | None = None
    config_map: FilesSource | None = None
    projected: Projected | None = None
    downward_api: DownwardSource | None = Field(default=None, alias="downwardAPI")


class PodSpec(Part):
    """What should run."""

    node_name: str = ""
    scheduler_name: str = "default-scheduler"
    service_account_name: str = "default"
    host_network: bool = False
    restart_policy: RestartPolicy = "Always"
    termination_grace_period_seconds: int = 30
    init_containers: tuple[Container, ...] = ()
    containers: tuple[Container, ...]
    volumes: tuple[Volume, ...] = ()


class Metadata(Part):
    """Whose Pod it is."""

    name: str
    namespace: str
    uid: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None


class ContainerRecord(Part):
    """What an earlier kubelet wrote about a container."""

    name: str
    restart_count: int = 0
    container_id: str = Field(default="", alias="containerID")
    state: dict[str, Any] = Field(default_factory=dict)


class Condition(Part):
    """A condition of the Pod, kept in the form it has on the wire."""

    type: str
    status: str
    last_transition_time: str | None = None


class PodRecord(Part):
    """The Pod's status as it stands in the API."""

    phase: str = "Pending"
    start_time: str | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerRecord, ...] = ()
    init_container_statuses: tuple[ContainerRecord, ...] = ()


class Pod(Part):
    """A Pod."""

    metadata: Metadata
    spec: PodSpec
    status: PodRecord = PodRecord()

    @property
    def key(self) -> str:
        """Namespace and name, for people."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def is_finished(self) -> bool:
        """Whether it ended for good."""
        return self.status.phase in {"Succeeded", "Failed"}
