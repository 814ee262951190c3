"""What `luna-streams up` puts into its cluster: CRDs, the Pods of shim and operator, a pool of processors.

The Pods run the same programs as in a cluster, with the same settings; only addresses differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from luna_kube.manifests import crd_manifests
from luna_streams import naming

Json = dict[str, Any]

SYSTEM_NAMESPACE = "luna-system"
USER_NAMESPACE = "default"
SHIM, OPERATOR = "shim", "operator"
POOL = "default"
_OPERATOR_PORT = 8080
_PROBE_PERIOD_S = 1
# From start to ready, on a slow machine.
_STARTUP_S = 120


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts find each other, and where the shim keeps the log of streams."""

    rest_port: int
    kubeconfig: Path
    inbox: str
    logs: Path

    @property
    def rest(self) -> str:
        """The REST API's address."""
        return f"http://127.0.0.1:{self.rest_port}"


def custom_resource_definitions() -> Iterator[Json]:
    """Yield the CRDs.

    Raises:
        OSError: if they are not there.
    """
    for path in crd_manifests():
        yield yaml.safe_load(path.read_text("utf-8"))


def namespace(name: str) -> Json:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def shim_pod(addresses: Addresses) -> Json:
    """Return the Pod of the REST shim; it is on the host's network, since people and foreign workers call it."""
    variables = {
        "KUBECONFIG": str(addresses.kubeconfig),
        "LUNA_SHIM_HOST": "127.0.0.1",
        "LUNA_SHIM_PORT": str(addresses.rest_port),
        "LUNA_SHIM_NAMESPACE": USER_NAMESPACE,
        "LUNA_SHIM_ALL_NAMESPACES": "true",
        "LUNA_SHIM_LEASE_NAMESPACE": SYSTEM_NAMESPACE,
        "LUNA_SHIM_REPLICA": SHIM,
        "LUNA_SHIM_DATA_FOLDER": str(addresses.logs),
    }
    probe = {"httpGet": {"path": "/readyz", "port": addresses.rest_port}}
    pod = _system_pod(SHIM, ["luna-streams", "shim"], _plain(variables), probe)
    pod["spec"]["hostNetwork"] = True
    return pod


def operator_pod(addresses: Addresses) -> Json:
    """Return the Pod of the operator."""
    variables = {
        "KUBECONFIG": str(addresses.kubeconfig),
        "LUNA_OPERATOR_STREAMS_ORIGIN": addresses.rest,
        "LUNA_OPERATOR_PLATFORM_ORIGIN": addresses.inbox,
        "LUNA_OPERATOR_LEASE_NAMESPACE": SYSTEM_NAMESPACE,
        "LUNA_OPERATOR_HTTP_PORT": str(_OPERATOR_PORT),
    }
    fields = {
        "LUNA_OPERATOR_HTTP_HOST": "status.podIP",
        "LUNA_OPERATOR_POD_NAME": "metadata.name",
        "LUNA_OPERATOR_POD_UID": "metadata.uid",
    }
    probe = {"httpGet": {"path": "/readyz", "port": _OPERATOR_PORT}}
    return _system_pod(OPERATOR, ["luna-streams", "operator"], [*_plain(variables), *_from_fields(fields)], probe)


def default_pool(processors: int) -> Json:
    """Return the pool that processes every stream which no other pool selects."""
    return {
        "apiVersion": naming.API_VERSION,
        "kind": "StreamProcessor",
        "metadata": {"name": POOL, "namespace": USER_NAMESPACE},
        "spec": {"minReplicas": processors, "maxReplicas": processors},
    }


def _system_pod(name: str, command: list[str], environment: list[Json], probe: Json) -> Json:
    container = {
        "name": name,
        "image": "luna-streams",
        "command": command,
        "env": environment,
        "startupProbe": {**probe, "periodSeconds": _PROBE_PERIOD_S, "failureThreshold": _STARTUP_S},
        "readinessProbe": {**probe, "periodSeconds": 5, "timeoutSeconds": 3},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": SYSTEM_NAMESPACE,
            "labels": {naming.LABEL_NAME: "luna-streams", naming.LABEL_COMPONENT: name},
        },
        # They go by the kubeconfig they are given, and need no token of their own.
        "spec": {"terminationGracePeriodSeconds": 10, "automountServiceAccountToken": False, "containers": [container]},
    }


def _plain(variables: dict[str, str]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _from_fields(fields: dict[str, str]) -> list[Json]:
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
