"""Builders of what the operator's pure functions work on, and a namespace that carries plans out in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from luna_operator import drafts, manifests
from luna_operator.decide import Plan, Present, changed_streams, decide, gather
from luna_operator.facts import CAPACITY_VARIABLE, CONTAINER, PodFact, stream_fact
from luna_operator.scaling import PoolMemory
from luna_operator.seats import Candidate, Seat
from luna_operator.settings import Settings
from luna_operator.world import Space
from luna_streams.lifecycle import Event, advance
from luna_streams.v1alpha1 import StreamProcessor, StreamStatus
from support.builders import NOW, a_pool, stream_object
from support.chaos_api import apply_merge_patch

Json = dict[str, Any]

SETTINGS = Settings(streams_origin="http://shim:5160")


def a_seat(pod: str = "pool-0", **changes: Any) -> Seat:
    """Return a pod with two free slots."""
    fields: Json = {"pod": pod, "uid": f"uid-{pod}", "pool": "pool", "slots": 2}
    return Seat(**fields | changes)


def a_candidate(name: str = "cam", **changes: Any) -> Candidate:
    """Return a stream that waits for the pool."""
    fields: Json = {"name": name, "pools": ("pool",), "since": NOW}
    return Candidate(**fields | changes)


def a_pod_fact(name: str = "pool-0", **changes: Any) -> PodFact:
    """Return a ready pod of the present template."""
    fields: Json = {
        "name": name, "uid": f"uid-{name}", "pool": "pool", "template_hash": "now", "slots": 2, "zone": "",
        "created_at": NOW, "is_ready": True, "is_running": True, "is_failed": False, "is_stopping": False,
        "is_draining": False, "is_unschedulable": False, "trouble": "",
    }  # fmt: skip
    return PodFact(**fields | changes)


def a_pod_object(name: str = "pool-0", *, pool: str = "pool", slots: int = 2, **status: Any) -> Json:
    """Return a Pod of a pool as the API server gives it."""
    owner = {"kind": "StreamProcessor", "name": pool, "uid": "u", "controller": True}
    container = {"name": CONTAINER, "env": [{"name": CAPACITY_VARIABLE, "value": str(slots)}]}
    return {
        "metadata": {
            "name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1",
            "creationTimestamp": NOW.isoformat(), "ownerReferences": [owner], "labels": {}, "annotations": {},
        },
        "spec": {"containers": [container]},
        "status": status,
    }  # fmt: skip


def a_served_stream(name: str = "cam", **spec: Any) -> Json:
    """Return a Stream without a status as the API server gives it."""
    obj = stream_object(name, **spec)
    obj["metadata"] |= {
        "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1, "creationTimestamp": NOW.isoformat(),
    }  # fmt: skip
    return obj


class Simulation:
    """A namespace in memory: plans are carried out at once, time passes when told, nothing else happens.

    Args:
        pools: that there are; one if none is named.
        zones: of the nodes on which new pods come up, in turn.
    """

    def __init__(self, *pools: StreamProcessor, zones: tuple[str, ...] = ("",)) -> None:
        self.zones = zones
        self.space = Space()
        self.now = NOW
        self.objects: dict[str, Json] = {}
        self.memories: dict[str, PoolMemory] = {}
        self.writes = 0
        self._births = 0
        for pool in pools or (a_pool(),):
            self.space.set_pool(pool.name, pool)

    def add_stream(self, name: str, **spec: Any) -> None:
        """Create a stream."""
        self.put(name, a_served_stream(name, **spec))

    def put(self, name: str, obj: Json | None) -> None:
        """Take a stream's new state, None when it is gone."""
        if obj is None:
            self.objects.pop(name, None)
        else:
            self.objects[name] = obj
        self.space.set_stream(name, stream_fact(obj) if obj else None, self.now)

    def set_pod(self, name: str, **changes: Any) -> None:
        """Change a pod's fact."""
        fact = self.space.pods[name]
        self.space.pods[name] = PodFact(**{field: getattr(fact, field) for field in PodFact.__slots__} | changes)

    def pass_(self, *, limit: int | None = None) -> Plan:
        """Make one pass and carry it out."""
        items = {
            name: drafts.draft(self.objects[name], event, self.now)
            for name, event in changed_streams(self.space, self.now, 1000).items()
        }
        hashes = {name: self.template_hash(name) for name in self.space.pools}
        plan = decide(gather(self.space, items, Present(self.now, frozenset(), hashes, self.memories)), limit)
        for write in plan.streams:
            obj = self.objects[write.name]
            if write.leave is not None:
                item = drafts.asked_to_leave(obj, write.leave, self.now)
            else:
                item = write.draft or drafts.unchanged(obj)
            if patch := drafts.status_patch(item, write.decision, self.now):
                self.writes += 1
                status = apply_merge_patch(item.obj.get("status") or {}, patch)
                self.put(write.name, {**item.obj, "status": status})
        for pool in plan.pools:
            self._create(pool.facts.pool, hashes[pool.facts.pool.name], pool.pods.create)
            self.memories[pool.facts.pool.name] = pool.pods.memory
            for removal in pool.pods.drain:
                self.set_pod(removal.pod.name, is_draining=True)
            for removal in pool.pods.delete:
                del self.space.pods[removal.pod.name]
        self.now += timedelta(seconds=1)
        return plan

    def settle(self, limit: int = 30) -> None:
        """Make passes until nothing changes any more."""
        for _ in range(limit):
            before = self.writes, dict(self.space.pods)
            self.pass_()
            if before == (self.writes, self.space.pods):
                return
        raise AssertionError(f"not settled after {limit} passes")

    def template_hash(self, pool: str) -> str:
        """Return the hash of the present template of a pool."""
        return manifests.pod_template(self.space.pools[pool], SETTINGS).hash

    def places(self) -> dict[str, str | None]:
        """Return the pod of every stream."""
        return {name: fact.pod for name, fact in self.space.streams.items()}

    def _create(self, pool: StreamProcessor, template_hash: str, names: tuple[str, ...]) -> None:
        for name in names:
            self._births += 1
            zone = self.zones[self._births % len(self.zones)]
            self.space.pods[name] = a_pod_fact(
                name, uid=f"{name}-{self._births}", pool=pool.name, template_hash=template_hash,
                slots=pool.spec.slots_per_pod, zone=zone, node=f"node-{zone}", created_at=self.now,
            )  # fmt: skip


def by_worker(world: Simulation, name: str, *events: Event) -> None:
    """Change a stream as the shim does for its worker; the operator gets to see what became of it in the end."""
    obj = world.objects[name]
    record = StreamStatus.from_resource(obj["status"])
    for event in events:
        record = advance(record, event, world.now).record
    world.put(name, {**obj, "status": record.to_resource()})


def later(seconds: float) -> datetime:
    """Return a moment after the tests' present."""
    return NOW + timedelta(seconds=seconds)
