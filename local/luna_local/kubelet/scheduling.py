"""The scheduler of a cluster with one node: every Pod goes there, unless it asks for what the node does not have."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from luna_kube import ApiError, Conflict, NotFound
from luna_local.kubelet.cluster import PodCluster
from luna_local.kubelet.events import EventRecorder
from luna_local.kubelet.pod import Pod

_LOG = logging.getLogger(__name__)
_RETRY_S = 2.0


class Scheduler:
    """Binds Pods to one node."""

    def __init__(self, cluster: PodCluster, recorder: EventRecorder, node: str) -> None:
        self._cluster = cluster
        self._recorder = recorder
        self._node = node
        self._refused: set[str] = set()

    async def place(self, pod: Pod) -> None:
        """Bind a Pod, or say once why it cannot be; tries again while the API server is in trouble."""
        while True:
            try:
                await self._decide(pod)
            except (NotFound, Conflict):
                return  # deleted or bound meanwhile
            except ApiError as e:
                _LOG.warning("%s was not scheduled, trying again: %s", pod.key, e)
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _decide(self, pod: Pod) -> None:
        missing = sorted(set(extended_resources(pod)))
        if not missing:
            await self._cluster.bind(pod, self._node)
            self._recorder.normal(pod, "Scheduled", f"Successfully assigned {pod.key} to {self._node}")
        elif pod.metadata.uid not in self._refused:
            await self._refuse(pod, missing)
            self._refused.add(pod.metadata.uid)

    async def _refuse(self, pod: Pod, missing: list[str]) -> None:
        message = f"0/1 nodes are available: {', '.join(f'1 Insufficient {name}' for name in missing)}."
        self._recorder.warning(pod, "FailedScheduling", message)
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        await self._cluster.write_status(pod, {"phase": "Pending", "conditions": [condition]})


def extended_resources(pod: Pod) -> Iterator[str]:
    """Yield the devices that a Pod asks for, such as nvidia.com/gpu; this node offers none."""
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        amounts = {**container.resources.requests, **container.resources.limits}
        yield from (name for name, amount in amounts.items() if "/" in name and str(amount) != "0")
