"""The loop: a namespace in which something changed gets one pass, which looks at everything and acts on the difference.

    changed_streams -> drafts -> gather -> decide -> apply (writes side by side, at most `write_concurrency`)

Passes are level-triggered: what a pass could not do (a conflict, an API server that is away, more than fits in one
batch) the next one finds again. A pass that finds everything as it should be writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from pydantic import ValidationError

from luna_kube import STREAM_PROCESSORS, STREAMS, ApiError, Forbidden, Invalid
from luna_operator import drafts, manifests, pool_status
from luna_operator.cluster import Cluster
from luna_operator.decide import Plan, PoolPlan, Present, StreamWrite, changed_streams, decide, gather
from luna_operator.drafts import Draft, Leave
from luna_operator.manifests import PodTemplate
from luna_operator.metrics import Metrics
from luna_operator.notes import Notes
from luna_operator.patience import Patience
from luna_operator.pool_status import Rejection
from luna_operator.scaling import PodPlan, PoolMemory
from luna_operator.settings import Settings
from luna_operator.world import World
from luna_streams import conditions
from luna_streams.v1alpha1 import StreamProcessor

log = logging.getLogger(__name__)

Json = dict[str, Any]

BATCH: Final = 250
"""Streams changed in one pass, at most; fewer where the API server is slow, see `next_batch`."""
_SMALLEST_BATCH: Final = 16
_PASS_S: Final = 1.0
"""Writing time of a pass: a pod that dies meanwhile is noticed by the next one, however slow the API server is."""
_PAUSE: Final = timedelta(milliseconds=500)
"""Time alone makes a namespace worth a look this often at most."""
_CRASH_PAUSE_S: Final = 1.0
_LONGEST_BREATH_S: Final = 0.25


@dataclass
class _Memory:
    """What a namespace's passes remember; losing it costs patience, nothing else."""

    pools: dict[str, PoolMemory] = field(default_factory=dict)
    streams: Patience = field(default_factory=Patience)
    pods: Patience = field(default_factory=Patience)
    births: Patience = field(default_factory=Patience)
    rejections: dict[str, Rejection] = field(default_factory=dict)
    wake_at: datetime | None = None
    batch: int = BATCH


class Reconciler:
    """Runs the passes.

    Args:
        world: what is known; whoever makes it wires its `on_change` to `wake`.
        cluster: carries out writes.
        notes: tells people what happened.
        metrics: counts.
        settings: of the operator.
    """

    def __init__(self, world: World, cluster: Cluster, notes: Notes, metrics: Metrics, settings: Settings) -> None:
        self._world = world
        self._cluster = cluster
        self._notes = notes
        self._metrics = metrics
        self._settings = settings
        self._dirty: dict[str, None] = {}
        self._memories: dict[str, _Memory] = {}
        self._wake = asyncio.Event()

    def wake(self, namespace: str) -> None:
        """Ask for a pass over a namespace."""
        self._dirty[namespace] = None
        self._wake.set()

    async def run(self) -> None:
        """Run passes until cancelled."""
        while True:
            await self._until_due()
            namespace = next(iter(self._dirty))
            del self._dirty[namespace]
            try:
                with self._metrics.passes.time():
                    await self.reconcile(namespace)
            except Exception:  # the outermost loop: a bug in one namespace must not end the work in all others
                log.exception("the pass over namespace %s failed; it is tried again", namespace)
                self.wake(namespace)
                await asyncio.sleep(_CRASH_PAUSE_S)

    async def reconcile(self, namespace: str) -> None:
        """Make one pass over a namespace."""
        memory = self._memories.setdefault(namespace, _Memory())
        began, looked_at = time.monotonic(), _now()
        plan, is_all = self._look(namespace, memory, looked_at)
        self._show(namespace, plan)
        look_s = time.monotonic() - began
        batch = plan.streams[:BATCH]
        writes = deque(batch)
        until = time.monotonic() + _PASS_S
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._settings.write_concurrency, len(writes))):
                group.create_task(self._write_streams(namespace, writes, until))
            for pool in plan.pools:
                group.create_task(self._apply_pool(pool, memory))
        memory.batch = next_batch(memory.batch, len(batch) - len(writes), len(writes))
        if writes or not is_all or len(plan.streams) > BATCH:
            self.wake(namespace)
        # What the writes changed or failed to is newer than the look; what came due during them was not looked at.
        now = _now()
        looks = [pool.pods.look_again for pool in plan.pools]
        space = self._world.space(namespace)
        looks += [space.next_restart(), space.next_leave(looked_at), plan.look_again, space.next_trust(looked_at, now)]
        looks += [patience.next_try(looked_at, now) for patience in (memory.streams, memory.pods, memory.births)]
        # A restart that is due and could not be written stays due.
        memory.wake_at = min((max(moment, now + _PAUSE) for moment in looks if moment is not None), default=None)
        # Looking may take half of the time at most: a storm of events is answered by fewer, larger passes. While the
        # API server is waited for, events are taken in anyway.
        await asyncio.sleep(max(0.0, min(_LONGEST_BREATH_S, began + 2 * look_s - time.monotonic())))

    def _look(self, namespace: str, memory: _Memory, now: datetime) -> tuple[Plan, bool]:
        """Decide what is to be done; False if there are more changed streams than fit into one pass."""
        space = self._world.space(namespace)
        left_alone = memory.streams.left_alone(now)
        limit = memory.batch + len(left_alone)  # those are found again every time: look further than them
        changed = changed_streams(space, now, limit)
        items = {
            name: self._draft(namespace, name, partial(drafts.draft, happened=event, now=now))
            for name, event in changed.items()
            if name not in left_alone
        }
        ready = {name: item for name, item in items.items() if item is not None}
        hashes = {name: manifests.pod_template(pool, self._settings).hash for name, pool in space.pools.items()}
        present = Present(now, memory.streams.left_alone(now), hashes, memory.pools)
        plan = decide(gather(space, ready, present), memory.batch)
        before, memory.pools = memory.pools, {pool.facts.pool.name: pool.pods.memory for pool in plan.pools}
        for gone in before.keys() - memory.pools.keys():
            self._metrics.forget_pool(namespace, gone)
            memory.rejections.pop(gone, None)
        return plan, len(changed) < limit and plan.is_whole

    async def _until_due(self) -> None:
        """Wait until a namespace changed, or until time alone makes one worth a look."""
        while True:
            now = _now()
            for namespace, memory in self._memories.items():
                if memory.wake_at is not None and memory.wake_at <= now:
                    memory.wake_at = None
                    self._dirty[namespace] = None
            if self._dirty:
                self._wake.clear()
                return
            next_at = min((m.wake_at for m in self._memories.values() if m.wake_at is not None), default=None)
            timeout_s = None if next_at is None else (next_at - now).total_seconds()
            # Not wait_for, which can swallow a cancellation in Python 3.11: the operator would not end.
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()

    def _draft(self, namespace: str, name: str, make: Callable[[Json], Draft]) -> Draft | None:
        """Return what becomes of a stream; None if it is gone, or not one this release understands."""
        obj = self._world.object(STREAMS, namespace, name)
        if obj is None:
            return None
        try:
            return make(obj)
        except ValidationError as e:
            first = e.errors()[0]
            why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            log.warning("stream %s/%s is left alone: %s", namespace, name, why)
            self._memories[namespace].streams.failed(name, _now())
            self._notes.stream_not_understood(namespace, name, obj["metadata"]["uid"], why)
            return None

    async def _write_streams(self, namespace: str, writes: deque[StreamWrite], until: float) -> None:
        """Write one stream after the other; the rest is decided anew when the time of the pass is over."""
        while writes and time.monotonic() < until:
            write = writes.popleft()
            try:
                await self._write_stream(namespace, write)
            except Exception:  # a bug about one stream must not keep all others waiting
                log.exception("stream %s/%s is left alone for a while", namespace, write.name)
                self._memories[namespace].streams.failed(write.name, _now())

    async def _write_stream(self, namespace: str, write: StreamWrite) -> None:
        item = write.draft
        if item is None:
            # Read at the last moment: a status that changed meanwhile is kept, not overwritten.
            fact = self._world.space(namespace).streams.get(write.name)
            if fact is not None and fact.is_observed:  # else it is gone, or edited: the next pass knows
                item = self._draft(namespace, write.name, partial(_present, leave=write.leave))
        patch = drafts.status_patch(item, write.decision, _now()) if item is not None else {}
        if item is None or not patch:
            return
        patience = self._memories[namespace].streams
        try:
            is_written = await self._cluster.patch_stream_status(item.obj, patch)
        except ApiError as e:
            log.warning("the status of stream %s/%s was not written: %s", namespace, write.name, e)
            patience.failed(write.name, _now())
            return
        patience.succeeded(write.name)
        if is_written:
            for entry in item.entries:
                self._metrics.transitions.labels(entry.status).inc()
            self._notes.stream_changed(item, write.decision)
            if write.leave is not None:
                self._notes.stream_leaves(item, write.leave)

    async def _apply_pool(self, plan: PoolPlan, memory: _Memory) -> None:
        pool, pods = plan.facts.pool, plan.pods
        if _attempt(pool) in memory.pods.left_alone(_now()):
            return
        for trouble in pods.troubled:
            self._notes.pod_troubled(pool, trouble)
        try:
            for removal in pods.drain:
                await self._cluster.drain_pod(pool.namespace, removal.pod, removal.reason)
                self._notes.pod_drained(pool, removal)
            for removal in pods.delete:
                await self._cluster.delete_pod(pool.namespace, removal.pod)
                self._notes.pod_deleted(pool, removal)
            await self._create_pods(pool, pods, memory)
            await self._write_pool_status(plan, memory)
        except ApiError as e:
            log.warning("pool %s/%s: %s", pool.namespace, pool.name, e)
            memory.pods.failed(_attempt(pool), _now())
        except Exception:  # a bug about one pool must not stop its neighbours, nor the writes of this pass
            log.exception("pool %s/%s is left alone for a while", pool.namespace, pool.name)
            memory.pods.failed(_attempt(pool), _now())
        else:
            memory.pods.succeeded(_attempt(pool))

    async def _create_pods(self, pool: StreamProcessor, pods: PodPlan, memory: _Memory) -> None:
        """Make the pods that are missing; after a refusal, the next try waits."""
        attempt = _attempt(pool)
        if not pods.create or attempt in memory.births.left_alone(_now()):
            return
        memory.rejections.pop(pool.name, None)
        template = manifests.pod_template(pool, self._settings)
        for name in pods.create:
            rejection = await self._create_pod(pool, template, name, pods.avoid)
            if rejection is not None:
                log.warning("pod %s/%s was not made: %s", pool.namespace, name, rejection.message)
                self._notes.pod_rejected(pool, name, rejection.message)
                memory.rejections[pool.name] = rejection
                memory.births.failed(attempt, _now())
                return
        memory.births.succeeded(attempt)

    async def _create_pod(
        self, pool: StreamProcessor, template: PodTemplate, name: str, avoid: tuple[str, ...]
    ) -> Rejection | None:
        """Make a pod; return why it cannot be made, if so."""
        if template.objection:
            return Rejection(pool_status.INVALID_POD_TEMPLATE, template.objection)
        try:
            is_ours = await self._cluster.create_pod(pool, manifests.pod(pool, template, name, avoid))
        except (Forbidden, Invalid) as e:
            return Rejection(pool_status.POD_REJECTED, str(e).removeprefix(f"{e.action}: "))
        if is_ours:
            self._notes.pod_created(pool, name)
        else:
            self._world.space(pool.namespace).foreign_names.add(name)
            self._notes.pod_rejected(pool, name, "a pod of that name exists that is not the pool's")
            self.wake(pool.namespace)
        return None

    async def _write_pool_status(self, plan: PoolPlan, memory: _Memory) -> None:
        pool = plan.facts.pool
        obj = self._world.object(STREAM_PROCESSORS, pool.namespace, pool.name)
        # What was refused before matters as long as a pod is missing.
        rejection = memory.rejections.get(pool.name) if plan.pods.create else None
        template_hash = manifests.pod_template(pool, self._settings).hash
        facts = replace(plan.facts, rejection=rejection, template_hash=template_hash)
        if obj is not None and (patch := pool_status.status_patch(facts, obj.get("status") or {}, _now())):
            await self._cluster.patch_pool_status(obj, patch)

    def _show(self, namespace: str, plan: Plan) -> None:
        """Set the gauges."""
        for reason in conditions.WAITING:
            self._metrics.streams_waiting.labels(namespace, reason).set(plan.waiting.get(reason, 0))
        for pool in plan.pools:
            ready = [pod for pod in pool.facts.pods if pod.fact.is_ready]
            name = pool.facts.pool.name
            self._metrics.pool_slots.labels(namespace, name).set(sum(pod.fact.slots for pod in ready))
            self._metrics.pool_streams.labels(namespace, name).set(sum(pod.streams for pod in pool.facts.pods))


def _present(obj: Json, leave: Leave | None) -> Draft:
    """Take the record of a stream as it is, apart from its worker being asked to let go."""
    return drafts.unchanged(obj) if leave is None else drafts.asked_to_leave(obj, leave, _now())


def next_batch(batch: int, written: int, left: int) -> int:
    """Return how many streams the next pass takes on: what is decided and not written in time is decided again.

    Args:
        batch: how many this pass took on at most.
        written: how many of them it wrote.
        left: how many it had no time for.
    """
    return max(_SMALLEST_BATCH, written) if left else min(BATCH, 2 * batch)


def _attempt(pool: StreamProcessor) -> str:
    """Name what was tried: with a changed spec it is something new, tried at once."""
    return f"{pool.name}@{pool.generation}"


def _now() -> datetime:
    return datetime.now(UTC)
