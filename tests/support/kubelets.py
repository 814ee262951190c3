"""A process kubelet for tests, beside an API server of its own, and what tests ask of both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from luna_kube import EVENTS, PODS, ApiError, KubeClient, NotFound, Resource, load_credentials
from luna_local.kubelet.kubelet import Kubelet, KubeletSettings
from support.apiservers import ApiServer
from support.waiting import PATIENCE_S, eventually

Json = dict[str, Any]
NAMESPACE = "default"
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")


class KubeletRun:
    """A running kubelet and its cluster."""

    def __init__(self, client: KubeClient, kubelet: Kubelet, folder: Path) -> None:
        self.client = client
        self.kubelet = kubelet
        self.folder = folder
        self._uids: dict[str, str] = {}

    async def create(self, manifest: Json) -> str:
        """Create a Pod; returns its name."""
        created = await self.client.create(PODS.within(NAMESPACE), manifest)
        name: str = created["metadata"]["name"]
        self._uids[name] = created["metadata"]["uid"]
        return name

    async def pod(self, name: str) -> Json:
        """Read a Pod."""
        found = await self.client.get(PODS.at(NAMESPACE, name))
        self._uids[name] = found["metadata"]["uid"]
        return found

    async def pod_when(self, name: str, condition: Callable[[Json], object], timeout_s: float = PATIENCE_S) -> Json:
        """Return a Pod as soon as its status fulfils a condition."""
        seen: Json = {}

        async with asyncio.timeout(timeout_s):
            try:
                while True:
                    seen = await self.pod(name)
                    status = seen.get("status", {})
                    if condition(status):
                        return seen
                    await asyncio.sleep(0.02)
            except TimeoutError:
                raise AssertionError(f"not within {timeout_s:g} s; the status is {seen.get('status')}") from None

    async def status_when(self, name: str, condition: Callable[[Json], object], timeout_s: float = PATIENCE_S) -> Json:
        """Return the status of a Pod's first container as soon as the Pod's status fulfils a condition."""
        pod = await self.pod_when(name, condition, timeout_s)
        first: Json = pod["status"]["containerStatuses"][0]
        return first

    async def is_gone(self, name: str, timeout_s: float = PATIENCE_S) -> None:
        """Return when a Pod is gone from the API."""
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    await self.pod(name)
                except NotFound:
                    return
                await asyncio.sleep(0.02)

    async def delete(self, name: str, grace_period_s: int | None = None) -> None:
        """Delete a Pod."""
        await self.client.delete(PODS.at(NAMESPACE, name), grace_period_s=grace_period_s)

    def open_log(self, name: str, container: str = "main", **options: Any) -> AsyncIterator[bytes]:
        """Return the log of a container in pieces."""
        return self.kubelet.open_log(self._uids[name], container, **options)

    async def log(self, name: str, container: str = "main", **options: Any) -> str:
        """Return the log of a container, to its end."""
        return b"".join([piece async for piece in self.open_log(name, container, **options)]).decode()

    async def events(self, name: str) -> list[tuple[str, str]]:
        """Return reason and message of a Pod's Events."""
        found = await self.client.list(EVENTS.within(NAMESPACE))
        uid = self._uids[name]
        return [(e["reason"], e["message"]) for e in found.items if e["involvedObject"]["uid"] == uid]

    async def event_when(self, name: str, reason: str, timeout_s: float = PATIENCE_S) -> str:
        """Return the message of a Pod's Event as soon as there is one."""
        async with asyncio.timeout(timeout_s):
            while True:
                for found, message in await self.events(name):
                    if found == reason:
                        return message
                await asyncio.sleep(0.05)


@asynccontextmanager
async def a_kubelet(api: ApiServer, folder: Path) -> AsyncIterator[KubeletRun]:
    """Run a kubelet; at the end its Pods are gone from the API as well."""
    async with KubeClient(await load_credentials(api.kubeconfig)) as client:
        kubelet = Kubelet(client, KubeletSettings(folder))
        running = asyncio.create_task(kubelet.run())
        try:
            ready = asyncio.create_task(kubelet.ready.wait())
            await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
            assert ready.done(), running
            yield KubeletRun(client, kubelet, folder)
        finally:
            kubelet.stop()
            await running


async def delete_all_pods(client: KubeClient) -> None:
    """Delete every Pod of the tests' namespace at once."""
    for pod in (await client.list(PODS.within(NAMESPACE))).items:
        try:
            await client.delete(PODS.at(NAMESPACE, pod["metadata"]["name"]), grace_period_s=0)
        except ApiError as e:
            assert isinstance(e, NotFound)  # noqa: PT017  somebody else deleted it


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


async def all_dead(pids: list[int], timeout_s: float = PATIENCE_S) -> None:
    """Return when none of the processes runs any more."""
    await eventually(lambda: not any(is_alive(pid) for pid in pids), f"pids {pids} ended", timeout_s)


def children_of(pid: int) -> list[int]:
    """Return the children of a process, all their descendants included."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                stat = Path(f"/proc/{name}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found
