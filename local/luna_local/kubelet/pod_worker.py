"""One Pod on this node, from its admission to its end; publishes its status whenever something changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from luna_kube import ApiError, NotFound
from luna_local.kubelet.cluster import PodCluster
from luna_local.kubelet.container import ContainerHost, ContainerRunner
from luna_local.kubelet.environment import PodFacts
from luna_local.kubelet.errors import MountError
from luna_local.kubelet.events import EventRecorder
from luna_local.kubelet.guarding import Guard
from luna_local.kubelet.pod import Condition, Container, ContainerRecord, Pod
from luna_local.kubelet.status import (
    ContainerFacts,
    Json,
    PodObservation,
    Running,
    Terminated,
    Waiting,
    pod_status,
    terminated_of,
)
from luna_local.kubelet.workspace import PodWorkspace

_LOG = logging.getLogger(__name__)
_MOUNT_RETRY_S = 2.0
_WRITE_RETRY_S = 1.0
_LOST_CODE = 137


@dataclass(frozen=True, slots=True)
class PodHost:
    """What every Pod needs of the kubelet."""

    node_name: str
    host_ip: str
    folder: Path
    cluster: PodCluster
    guard: Guard
    session: aiohttp.ClientSession
    recorder: EventRecorder


class PodWorker:
    """Runs one Pod.

    Args:
        pod: the Pod as it was when it was admitted; its spec does not change.
        host: the kubelet's side.
        address: the Pod's own IP.
    """

    def __init__(self, pod: Pod, host: PodHost, address: str) -> None:
        self.pod = pod
        self.address = address
        self._host = host
        facts = PodFacts(host.node_name, address, host.host_ip)
        self.workspace = PodWorkspace(pod, facts, host.folder / pod.metadata.uid, host.cluster)
        self._start_time = _parsed(pod.status.start_time) or datetime.now(UTC)
        self._conditions = pod.status.conditions
        self._written: Json | None = None
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        container_host = ContainerHost(
            pod=pod,
            address=address,
            log_folder=self.workspace.logs,
            guard=host.guard,
            session=host.session,
            recorder=host.recorder,
            prepare=self.workspace.command,
            prepare_probe=self.workspace.probe_arguments,
            on_change=self._changed.set,
        )
        self._init = _runners(pod.spec.init_containers, pod.status.init_container_statuses, container_host)
        self._containers = _runners(pod.spec.containers, pod.status.container_statuses, container_host)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to run the Pod in the background."""
        self._changed.set()
        self._tasks = [
            group.create_task(self._run_contained(), name=f"run {self.pod.key}"),
            group.create_task(self._publish(), name=f"publish {self.pod.key}"),
        ]

    async def stop(self, grace_s: float) -> None:
        """Stop every container, then write the Pod's last status; may be called again with a shorter grace."""
        self._stopping.set()
        async with asyncio.TaskGroup() as group:
            for runner in (*self._init, *self._containers):
                group.create_task(runner.stop(grace_s))
        running, publishing = self._tasks
        await asyncio.wait([running])
        publishing.cancel()
        await asyncio.wait([publishing])
        try:
            await self._write()
        except ApiError as e:
            _LOG.debug("the last status of %s was not written: %s", self.pod.key, e)

    def is_running(self, container: str, run: int) -> bool:
        """Whether a run of a container still goes on; runs are counted like restarts."""
        facts = (each.facts for each in (*self._init, *self._containers) if each.container.name == container)
        return any(isinstance(each.state, Running) and each.restart_count == run for each in facts)

    async def _run_contained(self) -> None:
        """Run the containers; whatever goes wrong with this Pod stays with this Pod."""
        try:
            await self._run_containers()
        except Exception as e:  # the boundary between Pods: the others and the kubelet go on
            _LOG.exception("%s failed", self.pod.key)
            self._host.recorder.warning(self.pod, "FailedSync", f"Internal error: {type(e).__name__}: {e}")

    async def _run_containers(self) -> None:
        renew_at = await self._mount()
        renewing = asyncio.create_task(self._renew(renew_at))
        try:
            # A failed init container of a Pod that never restarts is the Pod's end.
            policy = "OnFailure" if self.pod.spec.restart_policy == "Always" else self.pod.spec.restart_policy
            for runner in self._init:
                await runner.run(policy)
                if not isinstance(runner.facts.state, Terminated) or runner.facts.state.exit_code != 0:
                    return
            await asyncio.gather(*(runner.run(self.pod.spec.restart_policy) for runner in self._containers))
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _mount(self) -> datetime | None:
        while not self._stopping.is_set():
            try:
                self.workspace.make()
                return await self.workspace.volumes.write()
            except MountError as e:
                self._host.recorder.warning(self.pod, "FailedMount", str(e))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_MOUNT_RETRY_S):
                        await self._stopping.wait()
        return None

    async def _renew(self, renew_at: datetime | None) -> None:
        while renew_at is not None:
            await asyncio.sleep(max(_MOUNT_RETRY_S, (renew_at - datetime.now(UTC)).total_seconds()))
            try:
                renew_at = await self.workspace.volumes.write()
            except MountError as e:
                self._host.recorder.warning(self.pod, "FailedMount", str(e))

    async def _publish(self) -> None:
        """Write the status after changes, one write at a time; what changes meanwhile goes into the next."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write()
            except NotFound:
                return
            except ApiError as e:
                _LOG.warning("the status of %s was not written: %s", self.pod.key, e)
                self._changed.set()
                await asyncio.sleep(_WRITE_RETRY_S)

    async def _write(self) -> None:
        now = datetime.now(UTC)
        seen = PodObservation(
            pod=self.pod,
            init={runner.container.name: runner.facts for runner in self._init},
            containers={runner.container.name: runner.facts for runner in self._containers},
            pod_ip=self.address,
            host_ip=self._host.host_ip,
            start_time=self._start_time,
            previous_conditions=self._conditions,
        )
        status = pod_status(seen, now)
        if status == self._written:
            return
        await self._host.cluster.write_status(self.pod, status)
        self._written = status
        self._conditions = tuple(Condition.model_validate(each) for each in status["conditions"])


def _runners(
    containers: Sequence[Container], records: Sequence[ContainerRecord], host: ContainerHost
) -> list[ContainerRunner]:
    by_name = {record.name: record for record in records}
    return [ContainerRunner(each, host, _facts_at_start(by_name.get(each.name))) for each in containers]


def _facts_at_start(record: ContainerRecord | None) -> ContainerFacts:
    """Return what is known of a container before this kubelet runs it.

    One that ran under an earlier kubelet has ended with it, whatever its record says: this run is its next.
    """
    waiting = Waiting("ContainerCreating")
    if record is None or not ({"running", "terminated"} & record.state.keys()):
        return ContainerFacts(waiting, restart_count=record.restart_count if record else 0)
    ended = terminated_of(record.state.get("terminated")) or Terminated(
        _LOST_CODE,
        "ContainerStatusUnknown",
        datetime.now(UTC),
        message="the kubelet that ran this container ended",
        container_id=record.container_id,
    )
    return ContainerFacts(waiting, last_state=ended, restart_count=record.restart_count + 1)


def _parsed(moment: str | None) -> datetime | None:
    return datetime.fromisoformat(moment) if moment else None
