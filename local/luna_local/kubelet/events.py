"""Events: what happens to Pods, as `kubectl describe` and `kubectl get events` show it.

Posting is best effort and never holds up the kubelet: a bounded queue, one writer, the oldest dropped first. The same
thing happening again raises the count of its Event instead of making another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime

from luna_kube import EVENTS, ApiError, Json, KubeClient, NotFound
from luna_local.kubelet.pod import Pod
from luna_local.kubelet.status import timestamp

_LOG = logging.getLogger(__name__)
_MAX_QUEUED = 500
_MAX_REMEMBERED = 1000
_MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class PodEvent:
    """Something that happened to a Pod; equal ones are counted together."""

    namespace: str
    pod_name: str
    pod_uid: str
    field_path: str
    type: str
    reason: str
    message: str


@dataclass(slots=True)
class _Posted:
    name: str
    count: int


class EventRecorder:
    """Posts Events in the background; `run` it beside the kubelet."""

    def __init__(self, client: KubeClient, component: str, host: str) -> None:
        self._client = client
        self._source = {"component": component, "host": host}
        self._queue: deque[tuple[PodEvent, datetime]] = deque(maxlen=_MAX_QUEUED)
        self._filled = asyncio.Event()
        self._posted: OrderedDict[PodEvent, _Posted] = OrderedDict()

    def normal(self, pod: Pod, reason: str, message: str, container: str = "") -> None:
        """Record that something went its way."""
        self._record(pod, "Normal", (reason, message), container)

    def warning(self, pod: Pod, reason: str, message: str, container: str = "") -> None:
        """Record that something is wrong."""
        self._record(pod, "Warning", (reason, message), container)

    def _record(self, pod: Pod, type_: str, what: tuple[str, str], container: str) -> None:
        meta = pod.metadata
        field_path = f"spec.containers{{{container}}}" if container else ""
        reason, message = what
        event = PodEvent(meta.namespace, meta.name, meta.uid, field_path, type_, reason, message[:_MAX_MESSAGE])
        self._queue.append((event, datetime.now(UTC)))
        self._filled.set()

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                event, when = self._queue.popleft()
                try:
                    await self._post(event, when)
                except ApiError as e:
                    _LOG.debug("an event was not posted: %s", e)

    async def drain(self, timeout_s: float) -> None:
        """Post what is queued, as far as the time reaches; for the end, after `run` was cancelled."""
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._queue:
                    await self._post(*self._queue.popleft())

    async def _post(self, event: PodEvent, when: datetime) -> None:
        known = self._posted.get(event)
        if known is not None:
            known.count += 1
            self._posted.move_to_end(event)
            change = {"count": known.count, "lastTimestamp": timestamp(when)}
            with contextlib.suppress(NotFound):  # it expired; begin again below
                await self._client.patch(EVENTS.at(event.namespace, known.name), change)
                return
        posted = _Posted(f"{event.pod_name}.{uuid.uuid4().hex[:16]}", 1)
        await self._client.create(EVENTS.within(event.namespace), self._body(event, posted.name, when))
        self._posted[event] = posted
        if len(self._posted) > _MAX_REMEMBERED:
            self._posted.popitem(last=False)

    def _body(self, event: PodEvent, name: str, when: datetime) -> Json:
        involved: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": event.namespace,
            "name": event.pod_name,
            "uid": event.pod_uid,
        }
        if event.field_path:
            involved["fieldPath"] = event.field_path
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": event.namespace},
            "involvedObject": involved,
            "type": event.type,
            "reason": event.reason,
            "message": event.message,
            "source": self._source,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source["host"],
            "firstTimestamp": timestamp(when),
            "lastTimestamp": timestamp(when),
            "count": 1,
        }
