"""The operator's memory: caches of streams, pools and pods, and what is read off them, kept up event by event.

Everything here can be lost: it is rebuilt from three lists. Facts are indexed so that a pass looks at what may need a
decision, not at ten thousand streams that are fine.
"""

from __future__ import annotations

import heapq
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from luna_kube import PODS, STREAM_PROCESSORS, STREAMS, Cache, CacheEvent, EventType, Resource
from luna_operator.facts import PodFact, StreamFact, pod_fact, stream_fact
from luna_operator.held import Held
from luna_streams import conditions
from luna_streams.selection import pools_for_traits
from luna_streams.v1alpha1 import StreamProcessor, StreamState

log = logging.getLogger(__name__)

Json = dict[str, Any]

_NOT_UNDERSTOOD: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What reading an object of an unknown shape ends in; pydantic's ValidationError is a ValueError."""

SUSPICION = timedelta(seconds=60)
"""How long a pod from which the shim lost a stream is asked last: as long as Kubernetes takes to notice a dead node."""


@dataclass
class Space:
    """One namespace.

    Attributes:
        held: active streams by the name of the pod they belong to.
        waiting: names of pending streams that belong to no pod.
        unobserved: names of streams whose status was not computed from the present spec.
        leaving: streams whose worker was asked to let go of them, by name.
        suspects: uids of pods from which the shim took streams, until when they are asked last.
        foreign_names: pod names that turned out to belong to somebody else.
    """

    streams: dict[str, StreamFact] = field(default_factory=dict)
    pods: dict[str, PodFact] = field(default_factory=dict)
    pools: dict[str, StreamProcessor] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    waiting: dict[str, None] = field(default_factory=dict)
    unobserved: dict[str, None] = field(default_factory=dict)
    leaving: dict[str, StreamFact] = field(default_factory=dict)
    suspects: dict[str, datetime] = field(default_factory=dict)
    foreign_names: set[str] = field(default_factory=set)
    _restarts: list[tuple[datetime, str]] = field(default_factory=list)
    _pools_of: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def pools_of(self, fact: StreamFact) -> tuple[str, ...]:
        """Return the names of the pools that select a stream, the most specific first."""
        if fact.name not in self._pools_of:
            found = pools_for_traits(self.pools.values(), fact.traits)
            self._pools_of[fact.name] = tuple(pool.name for pool in found)
        return self._pools_of[fact.name]

    def set_pool(self, name: str, pool: StreamProcessor | None) -> None:
        """Take a pool's new state, None when it is gone."""
        self._pools_of.clear()
        if pool is None:
            self.pools.pop(name, None)
        else:
            self.pools[name] = pool

    def set_pod(self, name: str, fact: PodFact) -> None:
        """Take a pod's new state."""
        old = self.pods.get(name)
        if old is not None and old.is_lost and fact.is_ready:  # its node is back
            self.suspects.pop(fact.uid, None)
        self.pods[name] = fact

    def set_stream(self, name: str, fact: StreamFact | None, now: datetime) -> None:
        """Take a stream's new state, None when it is gone."""
        old = self.streams.pop(name, None)
        if old is not None:
            self._unindex(old)
        if fact is None:
            return
        if old is not None and old.pod_uid is not None:
            self._judge(old.pod_uid, old, fact, now)
        self.streams[name] = fact
        if fact.is_deleting:
            return
        if fact.leave_by is not None:
            self.leaving[name] = fact
        if not fact.is_observed:
            self.unobserved[name] = None
        if fact.restart_at is not None:
            heapq.heappush(self._restarts, (fact.restart_at, name))
        if fact.is_active and fact.pod is not None:
            self.held.setdefault(fact.pod, Held()).add(fact)
        elif fact.state == StreamState.PENDING:
            self.waiting[name] = None

    def _judge(self, pod_uid: str, old: StreamFact, fact: StreamFact, now: datetime) -> None:
        """Suspect a pod whose worker did not report, until it takes a stream again.

        That it had taken the stream may not have been seen: a status that is read anew leaps over what was in between.
        """
        if fact.state == StreamState.IN_PROGRESS and old.state == StreamState.PENDING:
            self.suspects.pop(pod_uid, None)
        # Where the operator takes a stream away, it writes with the loss where the stream belongs now, or why it waits.
        is_by_shim = fact.pod is None and fact.scheduled[0] not in conditions.WAITING
        is_news = fact.was_lost and (not old.was_lost or fact.since != old.since)
        if is_news and is_by_shim and old.leave_by is None:
            self.suspects[pod_uid] = now + SUSPICION

    def is_suspect(self, pod: PodFact, now: datetime) -> bool:
        """Tell whether the shim took a stream from a pod a moment ago."""
        return now < self.suspects.get(pod.uid, now) <= now + SUSPICION  # the clock may have been set back

    def is_silent(self, pod: PodFact, now: datetime) -> bool:
        """Tell whether the shim took all streams from a pod, so that nothing shows that its worker lives."""
        if not self.is_suspect(pod, now):
            return False
        held = self.held.get(pod.name)
        facts = held.values() if held is not None else ()
        return not any(fact.state == StreamState.IN_PROGRESS and fact.pod_uid == pod.uid for fact in facts)

    def by_pod(self, names: Iterable[str]) -> dict[str, set[str]]:
        """Sort names of streams by the pods that hold them; those that no pod holds are left out."""
        found: dict[str, set[str]] = {}
        for name in names:
            fact = self.streams.get(name)
            if fact is not None and fact.pod in self.held and name in self.held[fact.pod]:
                found.setdefault(fact.pod, set()).add(name)
        return found

    def next_trust(self, since: datetime, now: datetime) -> datetime | None:
        """Return when the next pod is no longer suspect that was so at `since`, or is by now; forget all others."""
        pods = {pod.uid for pod in self.pods.values()}
        self.suspects = {
            uid: until for uid, until in self.suspects.items() if since < until <= now + SUSPICION and uid in pods
        }
        return min(self.suspects.values(), default=None)

    def due_restarts(self, now: datetime, limit: int) -> list[StreamFact]:
        """Return streams for which automatic restarting has something to do; they stay due until they changed."""
        due: dict[str, StreamFact] = {}
        again: list[tuple[datetime, str]] = []
        while self._restarts and self._restarts[0][0] <= now and len(due) < limit:
            when, name = heapq.heappop(self._restarts)
            fact = self.streams.get(name)
            if fact is not None and fact.restart_at == when and name not in due:
                due[name] = fact
                again.append((when, name))
        for entry in again:
            heapq.heappush(self._restarts, entry)
        return list(due.values())

    def next_restart(self) -> datetime | None:
        """Return when automatic restarting has something to do next."""
        while self._restarts:
            when, name = self._restarts[0]
            fact = self.streams.get(name)
            if fact is not None and fact.restart_at == when:
                return when
            heapq.heappop(self._restarts)
        return None

    def next_leave(self, since: datetime) -> datetime | None:
        """Return when the first worker after `since` is lost that was asked to let go of its stream and does not."""
        moments = (fact.leave_by for fact in self.leaving.values())
        return min((moment for moment in moments if moment is not None and moment > since), default=None)

    def _unindex(self, old: StreamFact) -> None:
        self._pools_of.pop(old.name, None)
        self.waiting.pop(old.name, None)
        self.unobserved.pop(old.name, None)
        self.leaving.pop(old.name, None)
        if old.pod is not None and old.pod in self.held:
            self.held[old.pod].remove(old.name)
            if not self.held[old.pod]:
                del self.held[old.pod]


class World:
    """What the operator knows, by namespace.

    Args:
        on_change: called with the namespace in which something changed.
        clock: present time.
    """

    def __init__(self, on_change: Callable[[str], None], clock: Callable[[], datetime]) -> None:
        self.spaces: dict[str, Space] = {}
        self._caches = {resource: Cache() for resource in (STREAMS, STREAM_PROCESSORS, PODS)}
        self._on_change = on_change
        self._clock = clock

    def space(self, namespace: str) -> Space:
        """Return what is known of a namespace."""
        return self.spaces.setdefault(namespace, Space())

    def object(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """Return an object as the API server gave it, None if there is none; not to be changed."""
        return self._caches[resource].get((namespace, name))

    def highest_version(self, resource: Resource) -> int:
        """Return the newest resource version known of a resource."""
        return self._caches[resource].highest_version

    def knows(self, resource: Resource, obj: Json) -> bool:
        """Tell whether a watch that tells of this object as it was added or changed tells nothing new.

        May be called in another thread: it takes one look at a dict, whose values nobody changes.
        """
        return self._caches[resource].knows(obj)

    def take(self, resource: Resource, event_type: str | None, obj: Json) -> None:
        """Take an event of a watch; the type is None for objects of a list."""
        obj["metadata"].pop("managedFields", None)
        cache = self._caches[resource]
        self._tell(resource, cache.remove(obj) if event_type == "DELETED" else cache.put(obj))

    def take_written(self, resource: Resource, obj: Json) -> None:
        """Take the answer of an own write, ahead of the watch."""
        obj["metadata"].pop("managedFields", None)
        self._tell(resource, self._caches[resource].put(obj, is_own_write=True))

    def take_list(
        self, resource: Resource, items: Iterable[Json], version: str, seen_before: int
    ) -> Counter[EventType]:
        """Take a complete list, see `Cache.replace`; return what of it was news."""
        events = self._caches[resource].replace(items, version, seen_before)
        self._tell(resource, events)
        return Counter(event.type for event in events)

    def _tell(self, resource: Resource, events: Iterable[CacheEvent]) -> None:
        for event in events:
            namespace, name = event.key
            obj = None if event.type is EventType.DELETED else event.object
            self._update(resource, namespace, name, obj)
            self._on_change(namespace)

    def _update(self, resource: Resource, namespace: str, name: str, obj: Json | None) -> None:
        space = self.space(namespace)
        try:
            if resource is STREAMS:
                space.set_stream(name, stream_fact(obj) if obj else None, self._clock())
            elif resource is STREAM_PROCESSORS:
                space.set_pool(name, StreamProcessor.from_object(obj) if obj else None)
            elif obj:
                space.set_pod(name, pod_fact(obj))
            else:
                space.pods.pop(name, None)
        except _NOT_UNDERSTOOD as e:
            # The CRD refuses what is wrong; this is an object of another release. Leave it alone, and say so.
            log.warning("%s %s/%s is not understood and left alone: %s", resource.kind, namespace, name, _short(e))
            if resource is STREAMS:
                space.set_stream(name, None, self._clock())


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
