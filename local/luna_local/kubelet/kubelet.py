"""The process kubelet: binds Pods to this machine's Node and runs them as processes.

    kubelet = Kubelet(client, KubeletSettings(folder=data / "pods"))
    task = asyncio.create_task(kubelet.run())
    await kubelet.ready.wait()

Pods come from a reflector; each has a worker that lives until the Pod is gone. The kubelet keeps nothing of its own
beyond a run: after a restart the API says which Pods there are, and their containers are started again.

What it does not do: images, mount and network namespaces, resource limits, security contexts, lifecycle hooks,
persistent volumes, ephemeral containers, and more than one node.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from luna_kube import PODS, KubeClient, Reflector
from luna_local.kubelet.addresses import HOST_IP, PodAddresses
from luna_local.kubelet.cluster import PodCluster
from luna_local.kubelet.dispatch import PodDispatcher
from luna_local.kubelet.events import EventRecorder
from luna_local.kubelet.guarding import Guard
from luna_local.kubelet.logreading import LogOptions, find_run, read_log
from luna_local.kubelet.node import LocalNode
from luna_local.kubelet.pod import Pod
from luna_local.kubelet.pod_worker import PodHost

_DRAIN_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """How a kubelet runs.

    Attributes:
        folder: where Pods have their folders; one kubelet at a time.
        node_name: what the Node is called.
        unlink_at_end: files that must not outlive the kubelet; the guardian removes them even after SIGKILL.
        guardian_keeps: descriptors that the guardian keeps open until it has done its work, for example of a lock that
            says that nothing of this kubelet is left.
    """

    folder: Path
    node_name: str = "local"
    unlink_at_end: tuple[Path, ...] = ()
    guardian_keeps: tuple[int, ...] = ()


class Kubelet:
    """Runs Pods as processes of this machine.

    Attributes:
        ready: set when the Node is registered and the Pods that exist are known.
    """

    def __init__(self, client: KubeClient, settings: KubeletSettings) -> None:
        self.ready = asyncio.Event()
        self._settings = settings
        self._client = client
        self._pods = Reflector(client, PODS.everywhere())
        self._dispatcher: PodDispatcher | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Run until `stop` is called; then, and also after a crash, none of the processes is left."""
        self._settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        recorder = EventRecorder(self._client, "kubelet", self._settings.node_name)
        session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        guard = Guard(self._settings.folder, self._settings.unlink_at_end, self._settings.guardian_keeps)
        with contextlib.closing(PodAddresses()) as addresses:
            async with guard.running(), session, self._pods.running():
                host = self._host(guard, session, recorder)
                await self._serve(host, addresses)
                await recorder.drain(_DRAIN_TIMEOUT_S)

    def stop(self) -> None:
        """Ask `run` to stop every Pod and return; the Pods stay in the API and run again under the next kubelet."""
        self._stopping.set()

    async def stop_pods(self, which: Callable[[Pod], bool]) -> None:
        """Stop some Pods before `stop`, each within its own grace; from now on none is started any more."""
        if self._dispatcher is not None:
            await self._dispatcher.stop(which)

    def open_log(  # noqa: PLR0913  the shape that the API server's LogProvider has
        self,
        pod_uid: str,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        timestamps: bool = False,
        previous: bool = False,
    ) -> AsyncIterator[bytes]:
        """Return the log of a Pod's container in pieces; with `follow`, until that run of it ends.

        Raises:
            NoSuchLog: if there is none; the text says why.
        """
        run = find_run(self._settings.folder / pod_uid / "logs", container, previous=previous)
        since = datetime.now(UTC) - timedelta(seconds=since_seconds) if since_seconds is not None else None
        worker = self._dispatcher.worker(pod_uid) if self._dispatcher is not None else None

        def is_running() -> bool:
            return worker is not None and worker.is_running(container, run.number)

        return read_log(run.path, LogOptions(follow, tail_lines, since, timestamps), is_running)

    async def _serve(self, host: PodHost, addresses: PodAddresses) -> None:
        node = LocalNode(self._client, self._settings.node_name)
        await node.register()
        await self._pods.synced.wait()
        await asyncio.to_thread(self._remove_old_folders)
        async with asyncio.TaskGroup() as group:
            self._dispatcher = PodDispatcher(host, addresses, group)
            background = [
                group.create_task(node.keep_alive(), name="node heartbeat"),
                group.create_task(host.recorder.run(), name="pod events"),
                group.create_task(self._follow(self._dispatcher), name="pods"),
            ]
            self.ready.set()
            await self._stopping.wait()
            await self._dispatcher.stop(lambda _pod: True)
            for task in background:
                task.cancel()

    async def _follow(self, dispatcher: PodDispatcher) -> None:
        async for event in self._pods.changes():
            dispatcher.handle(event)

    def _remove_old_folders(self) -> None:
        """Remove what Pods left that were deleted while no kubelet ran."""
        known = {pod["metadata"]["uid"] for pod in self._pods.cache.values()}
        for folder in self._settings.folder.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _host(self, guard: Guard, session: aiohttp.ClientSession, recorder: EventRecorder) -> PodHost:
        return PodHost(
            node_name=self._settings.node_name,
            host_ip=HOST_IP,
            folder=self._settings.folder,
            cluster=PodCluster(self._client),
            guard=guard,
            session=session,
            recorder=recorder,
        )
