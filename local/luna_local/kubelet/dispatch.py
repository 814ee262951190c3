"""Which Pod needs what: turns changes of Pods into workers that start, stop and go.

Level-triggered: a change only says where to look. `handle` compares what the Pod is now with the worker that it has,
so missed or repeated changes do no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pydantic import ValidationError

from luna_kube import ApiError, CacheEvent, Conflict, EventType
from luna_kube.cache import Key
from luna_local.kubelet.addresses import NoAddressLeft, PodAddresses
from luna_local.kubelet.pod import Pod
from luna_local.kubelet.pod_worker import PodHost, PodWorker
from luna_local.kubelet.scheduling import Scheduler

_LOG = logging.getLogger(__name__)
_SCHEDULER_NAME = "default-scheduler"
_REMOVE_RETRY_S = 1.0


class PodDispatcher:
    """The Pods of this node and their workers.

    Args:
        host: what workers need.
        addresses: where Pods get their IPs from.
        group: runs everything that takes time.
    """

    def __init__(self, host: PodHost, addresses: PodAddresses, group: asyncio.TaskGroup) -> None:
        self._host = host
        self._addresses = addresses
        self._group = group
        self._scheduler = Scheduler(host.cluster, host.recorder, host.node_name)
        self._workers: dict[Key, PodWorker] = {}
        self._grace_s: dict[str, float] = {}
        self._placing: dict[str, asyncio.Task[None]] = {}
        self._is_closed = False

    def worker(self, pod_uid: str) -> PodWorker | None:
        """Return the worker of a Pod, None if it does not run here."""
        return next((each for each in self._workers.values() if each.pod.metadata.uid == pod_uid), None)

    def handle(self, event: CacheEvent) -> None:
        """Bring a Pod's worker in line with what the Pod is now."""
        uid = event.object["metadata"]["uid"]
        worker = self._workers.get(event.key)
        if worker is not None and (event.type is EventType.DELETED or worker.pod.metadata.uid != uid):
            del self._workers[event.key]
            self._group.create_task(self._discard(worker))
            worker = None
        if event.type is EventType.DELETED:
            return
        try:
            pod = Pod.model_validate(event.object)
        except ValidationError as e:
            _LOG.error("pod %s/%s cannot be run: %s", *event.key, e.errors()[0]["msg"])
            return
        self._handle_present(event.key, pod, worker)

    def _handle_present(self, key: Key, pod: Pod, worker: PodWorker | None) -> None:
        node = pod.spec.node_name
        if node not in {"", self._host.node_name}:
            return
        if pod.metadata.deletion_timestamp is not None:
            self._end(pod, worker)
        elif not node:
            if pod.spec.scheduler_name == _SCHEDULER_NAME and not self._is_closed:
                self._schedule(pod)
        elif worker is None and not pod.is_finished and not self._is_closed:
            self._begin(key, pod)

    def _schedule(self, pod: Pod) -> None:
        """Have a Pod placed, unless that is being tried already."""
        uid = pod.metadata.uid
        if uid not in self._placing:
            self._placing[uid] = self._group.create_task(self._scheduler.place(pod))
            self._placing[uid].add_done_callback(lambda _: self._placing.pop(uid, None))

    async def stop(self, which: Callable[[Pod], bool]) -> None:
        """Stop Pods, each within its own grace, and start none from now on; the Pods stay in the API."""
        self._is_closed = True
        for task in list(self._placing.values()):
            task.cancel()
        workers = [worker for worker in self._workers.values() if which(worker.pod)]
        await asyncio.gather(*(worker.stop(worker.pod.spec.termination_grace_period_seconds) for worker in workers))

    def _begin(self, key: Key, pod: Pod) -> None:
        try:
            address = self._host.host_ip if pod.spec.host_network else self._addresses.take()
        except NoAddressLeft as e:
            self._host.recorder.warning(pod, "FailedCreatePodSandBox", str(e))
            return
        worker = PodWorker(pod, self._host, address)
        self._workers[key] = worker
        worker.start(self._group)

    def _end(self, pod: Pod, worker: PodWorker | None) -> None:
        grace_s = float(pod.metadata.deletion_grace_period_seconds or 0)
        uid = pod.metadata.uid
        if uid not in self._grace_s:
            self._grace_s[uid] = grace_s
            self._group.create_task(self._stop_and_remove(pod, worker))
        elif grace_s < self._grace_s[uid] and worker is not None:
            # Deleted again, with less patience.
            self._grace_s[uid] = grace_s
            self._group.create_task(worker.stop(grace_s))

    async def _stop_and_remove(self, pod: Pod, worker: PodWorker | None) -> None:
        if worker is not None:
            await worker.stop(self._grace_s[pod.metadata.uid])
        while True:
            try:
                await self._host.cluster.remove(pod)
            except Conflict:
                pass  # another Pod has the name: this one is gone
            except ApiError as e:
                if self._is_closed:  # the next kubelet removes it
                    return
                _LOG.warning("pod %s was not removed: %s", pod.key, e)
                await asyncio.sleep(_REMOVE_RETRY_S)
                continue
            del self._grace_s[pod.metadata.uid]
            return

    async def _discard(self, worker: PodWorker) -> None:
        """End a Pod that the API no longer has: at once, nobody waits for it."""
        await worker.stop(0)
        if not worker.pod.spec.host_network:
            self._addresses.give_back(worker.address)
        await asyncio.to_thread(worker.workspace.remove)
