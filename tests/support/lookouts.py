"""Sees what becomes of streams on a cluster: every change of status with its time, and which pods really work on them.

Two witnesses that do not ask each other: the API server tells what the streams' status says; each processor pod tells
by its own HTTP interface which streams it processes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from luna_kube import PODS, STREAMS, CacheEvent, KubeClient, Reflector, load_credentials
from luna_streams import naming
from support.releases import Release
from support.waiting import eventually

Json = dict[str, Any]

PORT = 34569
"""Of the worker's own HTTP interface."""
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Sight:
    """What the status of a stream said from a moment on (seconds of the monotonic clock)."""

    at: float
    status: str
    pod: str | None


@dataclass
class Lookout:
    """Watches the streams and processor pods of a namespace.

    Attributes:
        history: what was seen of each stream, oldest first.
        overlaps_s: the longest time that two pods worked on a stream at once, by stream.
    """

    client: KubeClient
    namespace: str
    history: dict[str, list[Sight]] = field(default_factory=dict)
    overlaps_s: dict[str, float] = field(default_factory=dict)
    _overlapping_since: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.streams = Reflector(self.client, STREAMS.within(self.namespace))
        labels = f"{naming.LABEL_COMPONENT}=processor,{naming.LABEL_POOL}"
        self.pods = Reflector(self.client, PODS.within(self.namespace), labels=labels)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Lookout]:
        """Watch for the length of the block."""
        async with self.streams.running(), self.pods.running():
            self.streams.subscribe(self._note)
            task = asyncio.create_task(self._visit_pods())
            try:
                yield self
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    def status(self, name: str) -> Json:
        """Return a stream's status as it is now."""
        obj = self.streams.get(self.namespace, name) or {}
        status: Json = obj.get("status") or {}
        return status

    def pod_of(self, name: str) -> str | None:
        """Return the pod that a stream belongs to."""
        pod: str | None = (self.status(name).get("processor") or {}).get("pod")
        return pod

    def node_of(self, pod: str) -> str:
        """Return the node of a pod."""
        obj = self.pods.get(self.namespace, pod) or {}
        return str((obj.get("spec") or {}).get("nodeName", ""))

    def address_of(self, pod: str) -> str:
        """Return the IP address of a pod."""
        obj = self.pods.get(self.namespace, pod) or {}
        return str((obj.get("status") or {}).get("podIP", ""))

    def streams_of(self, pod: str) -> list[str]:
        """Return the streams that belong to a pod."""
        return [name for (_, name), _ in self.streams.cache.items() if self.pod_of(name) == pod]

    def pod_names(self) -> list[str]:
        """Return the processor pods that are not on their way out."""
        return sorted(n for (_, n), obj in self.pods.cache.items() if "deletionTimestamp" not in obj["metadata"])

    def in_progress(self, names: Iterable[str]) -> list[str]:
        """Return those of the streams that are processed."""
        return [name for name in names if self.status(name).get("status") == "in_progress"]

    async def all_in_progress(self, names: Iterable[str], timeout_s: float) -> None:
        """Wait until all of the streams are processed; say which are not."""
        wanted = list(names)
        try:
            await eventually(lambda: len(self.in_progress(wanted)) == len(wanted), timeout_s=timeout_s)
        except AssertionError:
            missing = {name: self.describe(name) for name in set(wanted) - set(self.in_progress(wanted))}
            raise AssertionError(f"not in progress within {timeout_s:g} s: {missing}") from None

    def describe(self, name: str) -> str:
        """Say what is known of a stream, for a failing test."""
        status = self.status(name)
        scheduled = [c for c in status.get("conditions") or () if c["type"] == "Scheduled"]
        return f"{status.get('status')} {status.get('processor')} {status.get('lastError')} {scheduled}"

    def gap_s(self, name: str, since: float) -> float:
        """Return how long after `since` a stream was first in progress again on any pod; infinite if it was not."""
        left = False
        for sight in self.history.get(name, ()):
            if sight.at < since:
                continue
            left = left or sight.status != "in_progress"
            if left and sight.status == "in_progress":
                return sight.at - since
        return float("inf")

    def left_at(self, name: str, since: float) -> float:
        """Return when a stream left its pod after `since`; infinite if it did not."""
        before = [sight.pod for sight in self.history.get(name, ()) if sight.at < since]
        after = (s.at for s in self.history.get(name, ()) if s.at >= since and s.pod not in (None, before[-1]))
        return next(after, float("inf"))

    def _note(self, event: CacheEvent) -> None:
        status = event.object.get("status") or {}
        sight = Sight(time.monotonic(), status.get("status", ""), (status.get("processor") or {}).get("pod"))
        history = self.history.setdefault(event.key[1], [])
        if not history or (history[-1].status, history[-1].pod) != (sight.status, sight.pod):
            history.append(sight)

    async def _visit_pods(self) -> None:
        async with httpx.AsyncClient(timeout=2) as http:
            while True:
                addresses = {
                    name: address
                    for (_, name), obj in self.pods.cache.items()
                    if (address := (obj.get("status") or {}).get("podIP"))
                }
                answers = await asyncio.gather(*(_streams_at(http, address) for address in addresses.values()))
                self._compare(dict(zip(addresses, answers, strict=True)), time.monotonic())
                await asyncio.sleep(_LOOK_EVERY_S)

    def _compare(self, worked_on: dict[str, set[str]], now: float) -> None:
        """Note the streams that two pods work on."""
        seen: dict[str, int] = {}
        for streams in worked_on.values():
            for stream in streams:
                seen[stream] = seen.get(stream, 0) + 1
        twice = {stream for stream, count in seen.items() if count > 1}
        for stream in twice:
            since = self._overlapping_since.setdefault(stream, now)
            self.overlaps_s[stream] = max(self.overlaps_s.get(stream, 0.0), now - since)
        for stream in self._overlapping_since.keys() - twice:
            del self._overlapping_since[stream]


@asynccontextmanager
async def a_lookout(release: Release) -> AsyncIterator[Lookout]:
    """Watch the namespace of a release for the length of the block."""
    async with (
        KubeClient(await load_credentials(release.cluster.kubeconfig)) as client,
        Lookout(client, release.namespace).running() as running,
    ):
        yield running


async def _streams_at(http: httpx.AsyncClient, address: str) -> set[str]:
    """Return the ids of the streams a pod works on; none if it does not answer."""
    try:
        answer = await http.get(f"http://{address}:{PORT}/api/1/streams")
    except httpx.TransportError:
        return set()
    return {str(stream["stream_id"]) for stream in answer.json()} if answer.is_success else set()
