"""Settings of the shim, from the environment (LUNA_SHIM_*) and the command line, which wins."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from luna_api_shim.errors import StartupError
from luna_api_shim.logs.clearing import IntervalType
from luna_api_shim.logs.database import parse_url
from luna_streams.configuration import SettingsError, load_settings

PREFIX = "LUNA_SHIM_"
DnsName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@?#]+$")]


def _split(value: object) -> object:
    """Take a text of the environment for a list."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _split_pairs(value: object) -> object:
    """Take a text of the environment for names with values."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError("must be name=address, separated by commas")
    return {name.strip(): address.strip() for name, _, address in pairs}


def _of_a_database(value: SecretStr) -> SecretStr:
    parse_url(value.get_secret_value())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Settings(BaseModel):
    """How one replica of the shim runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kubeconfig: str = ""
    """File that says where the API server is; by default as kubectl finds it, or the pod's own account."""
    host: str = "127.0.0.1"
    """Address to listen on; loopback by default, since the API itself asks nobody who he is."""
    port: int = Field(default=5160, ge=0, le=65535)
    """Port to listen on (LUNA Streams'); 0 takes a free one."""
    advertised_host: str = ""
    """Host under which the other replicas reach this one; by default the address listened on, or the host's name."""
    replica: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(default_factory=socket.gethostname)
    """Name of this replica; a replica that is started again under its name leads on without waiting."""
    namespace: DnsName = "default"
    """Namespace in which the REST API creates streams and groups."""
    all_namespaces: bool = False
    """Whether streams of other namespaces are served too; otherwise only those of `namespace`."""
    lease_namespace: DnsName | Literal[""] = ""
    """Namespace of the Lease by which replicas elect a leader; by default `namespace`."""
    lease_name: DnsName = "luna-streams-shim"
    """Name of that Lease."""
    lease_duration: float = Field(default=6.0, ge=1, le=120)
    """Seconds without a sign of life after which another replica leads."""
    obsoleting_period: float = Field(default=20.0, gt=0, le=3600)
    """Seconds without feedback after which a stream's handler is lost."""
    longest_wait: float = Field(default=60.0, ge=0, le=600)
    """Seconds a worker may let the queue wait for streams (`Prefer: wait=N`)."""
    worker_patience: float = Field(default=10.0, gt=0, le=3600)
    """Seconds after which workers stop streams whose reports nobody answers: FaceStream's `max_feedback_delay`.

    Less than `obsoleting_period`, or workers still process streams that were given to others.
    """
    longest_outage: float = Field(default=240.0, ge=0, le=3600)
    """Seconds for which workers are let go on while no replica hears the API server.

    Less than the time after which Kubernetes replaces the pods of a node that is cut off, 300 s.
    """
    shutdown_delay: float = Field(default=0.0, ge=0, le=600)
    """Seconds for which a replica that is told to end still serves, so that nobody is refused while that gets about.

    More than the 5 s between two reports of a worker; the chart sets it, and the pod's grace period to fit.
    """
    leader_patience: float = Field(default=8.0, ge=0, le=60)
    """Seconds a worker's request waits for a leader while there is none."""
    parallel_writes: int = Field(default=16, ge=1, le=256)
    """Writes to the API server one request makes at the same time."""
    max_body_bytes: int = Field(default=16 * 2**20, ge=1024, le=2**30)
    """Largest request body; feedback on 10,000 streams takes about 6 MiB."""
    kubernetes_timeout: float = Field(default=10.0, gt=0, le=120)
    """Seconds one request to the API server may take."""
    database_url: Annotated[SecretStr, AfterValidator(_of_a_database)] | None = None
    """Database of the log, e.g. `postgresql://user:password@host/name`; unset is a SQLite file in `data_folder`.

    Several replicas need PostgreSQL: a file belongs to one.
    """
    data_folder: str = ""
    """Folder of the SQLite file, `logs.db`; by default ~/.local/state/luna-streams."""
    database_pool_size: int = Field(default=5, ge=1, le=100)
    """Connections to the database a replica makes at most."""
    database_timeout: float = Field(default=10.0, gt=0, le=600)
    """Seconds a transaction of the log may take."""
    logs_clear_active: bool = False
    """Whether old entries of the log are deleted by themselves; the last one of each stream always stays."""
    logs_clear_interval: int = Field(default=7, ge=1, le=2**31)
    """How old entries become, in units of `logs_clear_interval_type`."""
    logs_clear_interval_type: IntervalType = "days"
    """Weeks, days, hours, minutes or seconds, in small letters."""
    logs_clear_check_interval: float = Field(default=180.0, gt=0, le=2**31)
    """Seconds between two looks for such entries."""
    stream_quota: int = Field(default=0, ge=0, le=2**31)
    """Streams that may be pending, in progress or paused at the same time; 0 sets no limit."""
    account_stream_quota: int = Field(default=0, ge=0, le=2**31)
    """The same for the streams of each account."""
    active_plugins: Names = ()
    """Plugins that run next to the service, by name; comma-separated."""
    luna_services: Annotated[dict[str, Origin], BeforeValidator(_split_pairs)] = {}
    """Services that `/healthcheck?include_luna_services=1` asks, e.g. `luna-api=http://luna:5000`; comma-separated."""
    influx_organization: str = ""
    """Organization in the InfluxDB to which the plugin `influx_monitoring` writes."""
    influx_token: SecretStr | None = None
    """Token that may write to the bucket."""
    influx_bucket: str = "luna_monitoring"
    """Bucket the points go to."""
    influx_host: str = "127.0.0.1"
    """Host of the InfluxDB."""
    influx_port: int = Field(default=8086, ge=1, le=65535)
    """Its port."""
    influx_use_ssl: bool = False
    """Whether it is spoken to by HTTPS."""
    influx_flushing_period: float = Field(default=1.0, gt=0, le=3600)
    """Seconds between writes."""
    preview_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_split)] = ()
    """Networks previews may be fetched from besides the addresses of workers, comma-separated, e.g. 10.20.0.0/16.

    Needed where workers are heard through a proxy, or report another address than the one they speak from.
    """
    metrics_enabled: bool = True
    """Whether /metrics answers."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""

    @model_validator(mode="after")
    def _lease_is_shorter_than_obsoleting(self) -> Settings:
        if self.lease_duration >= self.obsoleting_period:
            raise ValueError("lease_duration must be shorter than obsoleting_period")
        return self


def load(flags: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Return the settings.

    Args:
        flags: fields given on the command line.
        environment: of the process.

    Raises:
        StartupError: in one line, what is wrong with which variable or flag.
    """
    try:
        return load_settings(Settings, PREFIX, environment, flags)
    except SettingsError as e:
        raise StartupError(str(e)) from e
