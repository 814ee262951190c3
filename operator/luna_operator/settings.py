"""Settings of the operator, from the environment (LUNA_OPERATOR_*); built in __main__ and passed down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from luna_streams.configuration import load_settings

PREFIX = "LUNA_OPERATOR_"
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@]+$")]


class Settings(BaseModel):
    """How one operator process runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    streams_origin: Origin
    """Address of the shim as processor pods reach it, e.g. http://luna-streams.luna-system:5160."""
    processor_image: str = "luna-streams-processor:0.2.0"
    """Image of processor pods whose pool names none."""
    processor_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When nodes pull it."""
    processor_pull_secrets: tuple[str, ...] = ()
    """Secrets with which nodes pull it, in the namespace of the pool; comma-separated."""
    processor_service_account: str = "default"
    """ServiceAccount of processor pods, in the namespace of their pool; it needs no permission."""
    platform_origin: Origin | None = None
    """LUNA PLATFORM for streams that do not name one, unless their pool does."""
    platform_api_version: int = Field(default=6, ge=1, le=100)
    """Version of its API."""
    namespace: str = ""
    """The only namespace whose streams are served; empty serves all."""
    kubeconfig: str = ""
    """Path of a kubeconfig; empty takes KUBECONFIG, else the pod's ServiceAccount, else ~/.kube/config."""
    lease_namespace: str = "luna-system"
    """Namespace of the Lease by which replicas agree on one that works."""
    lease_name: str = "luna-operator"
    """Name of that Lease."""
    lease_duration: float = Field(default=10.0, ge=1)
    """Seconds after which a silent leader is replaced."""
    lease_renew_deadline: float = Field(default=7.0, gt=0)
    """Seconds after which a leader that cannot renew stops working."""
    lease_retry: float = Field(default=1.0, gt=0)
    """Seconds between attempts to acquire or renew; a Lease that was given back is taken within this time."""
    pod_name: str = ""
    """Name of the operator's own pod (downward API); with the uid it is the identity of this candidate."""
    pod_uid: str = ""
    """Its uid. A restarted container of the same pod leads on without waiting for the Lease to run out."""
    http_host: str = "0.0.0.0"  # noqa: S104  probes and Prometheus come from outside of the pod
    """Address of /healthz, /readyz and /metrics."""
    http_port: int = Field(default=8080, ge=0, le=65535)
    """Their port; 0 takes a free one."""
    write_concurrency: int = Field(default=16, ge=1, le=256)
    """API writes at the same time."""
    audit_interval: float = Field(default=300.0, ge=1)
    """Seconds between complete lists that make up for watch events kopf may have missed."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""

    @field_validator("processor_pull_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _lease_times_in_order(self) -> Settings:
        if not self.lease_retry < self.lease_renew_deadline < self.lease_duration:
            raise ValueError("LEASE_RETRY must be less than LEASE_RENEW_DEADLINE, and that less than LEASE_DURATION")
        return self


def load(environment: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Settings:
    """Return the settings; flags of the command line win over the environment.

    Raises:
        SettingsError: in one line, what is wrong with which variable.
    """
    return load_settings(Settings, PREFIX, environment, flags or {})
