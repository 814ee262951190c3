"""The Node that stands for this machine: registered at the start, kept alive by a heartbeat Lease."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
from datetime import UTC, datetime
from importlib.metadata import version

from luna_kube import LEASES, NAMESPACES, NODES, AlreadyExists, ApiError, Json, KubeClient, PatchKind
from luna_local.kubelet.addresses import HOST_IP
from luna_local.kubelet.cluster import ensure
from luna_local.kubelet.status import timestamp

_LOG = logging.getLogger(__name__)
_LEASE_NAMESPACE = "kube-node-lease"
# The kubelet's own figures: renewed every 10 s, dead after 40 s.
_LEASE_DURATION_S = 40
_RENEW_INTERVAL_S = 10.0
_MAX_PODS = 250


class LocalNode:
    """This machine as a Node."""

    def __init__(self, client: KubeClient, name: str) -> None:
        self._client = client
        self.name = name

    async def register(self) -> None:
        """Make the Node, or take over the one of an earlier run, and report it ready."""
        body: Json = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": {
                    "kubernetes.io/hostname": self.name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": platform.machine(),
                },
            },
        }
        await ensure(self._client, NODES, body)
        await self._client.patch(NODES.at(None, self.name).status, {"status": _status(self.name)}, PatchKind.STRATEGIC)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _LEASE_NAMESPACE}}
        await ensure(self._client, NAMESPACES, namespace)

    async def keep_alive(self) -> None:
        """Renew the heartbeat Lease until cancelled."""
        while True:
            try:
                await self._renew()
            except ApiError as e:
                _LOG.warning("the heartbeat was not written: %s", e)
            await asyncio.sleep(_RENEW_INTERVAL_S)

    async def _renew(self) -> None:
        renewed_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": _LEASE_DURATION_S, "renewTime": renewed_at}
        meta = {"name": self.name, "namespace": _LEASE_NAMESPACE}
        body: Json = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
        try:
            await self._client.create(LEASES.within(_LEASE_NAMESPACE), body)
        except AlreadyExists:
            await self._client.patch(LEASES.at(_LEASE_NAMESPACE, self.name), {"spec": spec})


def _status(name: str) -> Json:
    now = timestamp(datetime.now(UTC))
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    amounts = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory_bytes // 1024}Ki", "pods": str(_MAX_PODS)}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "pods run as processes of this machine",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    return {
        "capacity": amounts,
        "allocatable": amounts,
        "conditions": [ready],
        "addresses": [
            {"type": "InternalIP", "address": HOST_IP},
            {"type": "Hostname", "address": socket.gethostname()},
        ],
        "nodeInfo": {
            "operatingSystem": "linux",
            "architecture": platform.machine(),
            "kernelVersion": platform.release(),
            "osImage": _os_name(),
            "kubeletVersion": f"luna-local-{version('luna-streams-operator')}",
            "kubeProxyVersion": "",
            "containerRuntimeVersion": f"process://{platform.python_version()}",
            "machineID": "",
            "systemUUID": "",
            "bootID": _boot_id(),
        },
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
