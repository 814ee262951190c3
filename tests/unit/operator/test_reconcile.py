"""The loop of passes: what it does when it is told to end."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from luna_kube import STREAM_PROCESSORS, STREAMS, ApiError, KubeClient
from luna_operator.cluster import Cluster
from luna_operator.events import EventRecorder
from luna_operator.metrics import Metrics
from luna_operator.notes import Notes
from luna_operator.reconcile import BATCH, Reconciler, next_batch
from luna_operator.world import World
from luna_streams.lifecycle import HandlerLost, advance
from luna_streams.v1alpha1 import ProcessorBinding, StreamProcessor, StreamStatus
from support.builders import NOW, a_pool, a_record, a_spec
from support.chaos_api import ChaosApi
from support.operator_builders import SETTINGS, a_pod_fact, a_served_stream
from support.waiting import eventually

Json = dict[str, Any]


def test_a_slow_api_server_gets_smaller_passes_and_a_quick_one_whole_ones_again() -> None:
    slow = next_batch(BATCH, written=90, left=160)
    assert slow == 90
    assert next_batch(slow, written=0, left=90) == 16, "a pass never takes on nothing"
    batches = [slow]
    while batches[-1] < BATCH:
        batches.append(next_batch(batches[-1], written=batches[-1], left=0))
    assert batches == [90, 180, BATCH]
    assert next_batch(BATCH, written=3, left=0) == BATCH


class Stumbling(Cluster):
    """Carries out everything but what concerns the stream or the pool "bad": there it has a bug."""

    def __init__(self, client: KubeClient, world: World, metrics: Metrics) -> None:
        super().__init__(client, world, metrics)
        self.written: list[str] = []

    async def patch_stream_status(self, obj: Json, patch: Json) -> bool:
        if obj["metadata"]["name"] == "bad":
            raise RuntimeError("a bug")
        self.written.append(obj["metadata"]["name"])
        return False

    async def create_pod(self, pool: StreamProcessor, manifest: Json) -> bool:
        if pool.name == "bad":
            raise RuntimeError("a bug")
        self.written.append(manifest["metadata"]["name"])
        return True


async def test_a_bug_about_one_stream_or_pool_holds_up_no_other() -> None:
    async with ChaosApi().running() as api, api.client() as client:
        metrics = Metrics()
        world = World(lambda _: None, lambda: datetime.now(UTC))
        cluster = Stumbling(client, world, metrics)
        notes = Notes(EventRecorder(client, "test", metrics.dropped_events.inc))
        reconciler = Reconciler(world, cluster, notes, metrics, SETTINGS)
        for name in ("bad", "good"):
            world.take(STREAM_PROCESSORS, "ADDED", a_pool_object(name))
            world.take(STREAMS, "ADDED", a_served_stream(name))
        await reconciler.reconcile("default")
        assert sorted(cluster.written) == ["good", "good-0"]


async def test_a_restart_that_cannot_be_written_does_not_keep_the_operator_busy() -> None:
    policy = {"restart": 1, "attempt_count": 5, "delay": 30}
    record = a_record(a_spec(autorestart=policy), status="failure", now=NOW)
    async with ChaosApi().running() as api, api.client() as client:
        metrics = Metrics()
        world = World(lambda namespace: reconciler.wake(namespace), lambda: datetime.now(UTC))
        notes = Notes(EventRecorder(client, "test", metrics.dropped_events.inc))
        reconciler = Reconciler(world, Stumbling(client, world, metrics), notes, metrics, SETTINGS)
        failed = {**a_served_stream("bad", autorestart=policy), "status": record.to_resource()}
        world.take(STREAMS, "ADDED", failed)
        assert world.space("default").due_restarts(datetime.now(UTC), 1)

        def passes() -> float:
            return metrics.registry.get_sample_value("luna_operator_pass_seconds_count") or 0.0

        running = asyncio.create_task(reconciler.run())
        await asyncio.sleep(1.2)
        await eventually(lambda: passes() > 1, "it tries again")
        running.cancel()
        await asyncio.wait({running})
        assert passes() < 8


class Refusing(Cluster):
    """Is refused the first write of every stream."""

    def __init__(self, client: KubeClient, world: World, metrics: Metrics) -> None:
        super().__init__(client, world, metrics)
        self.tried: Counter[str] = Counter()

    async def patch_stream_status(self, obj: Json, patch: Json) -> bool:
        name = obj["metadata"]["name"]
        self.tried[name] += 1
        await asyncio.sleep(0.01)  # no answer comes at once
        if self.tried[name] == 1:
            raise ApiError("patch", "the API server is away")
        return False


async def test_a_write_that_failed_is_tried_again_though_nothing_else_happens() -> None:
    async with ChaosApi().running() as api, api.client() as client:
        metrics = Metrics()
        world = World(lambda namespace: reconciler.wake(namespace), lambda: datetime.now(UTC))
        cluster = Refusing(client, world, metrics)
        notes = Notes(EventRecorder(client, "test", metrics.dropped_events.inc))
        reconciler = Reconciler(world, cluster, notes, metrics, SETTINGS)
        world.take(STREAMS, "ADDED", a_served_stream("cam"))
        running = asyncio.create_task(reconciler.run())
        await eventually(lambda: cluster.tried["cam"] > 1, "the second try", timeout_s=30)
        running.cancel()
        await asyncio.wait({running})


class Slow(Cluster):
    """Takes longer for the stream "new" than the worker of another has left; writes nothing."""

    def __init__(self, client: KubeClient, world: World, metrics: Metrics) -> None:
        super().__init__(client, world, metrics)
        self.tried: Counter[str] = Counter()

    async def patch_stream_status(self, obj: Json, patch: Json) -> bool:
        name = obj["metadata"]["name"]
        self.tried[name] += 1
        if name == "new":
            await asyncio.sleep(0.6)
        return False


async def test_a_worker_whose_time_ends_during_a_pass_is_looked_at_though_nothing_else_happens() -> None:
    async with ChaosApi().running() as api, api.client() as client:
        metrics = Metrics()
        world = World(lambda namespace: reconciler.wake(namespace), lambda: datetime.now(UTC))
        cluster = Slow(client, world, metrics)
        notes = Notes(EventRecorder(client, "test", metrics.dropped_events.inc))
        reconciler = Reconciler(world, cluster, notes, metrics, SETTINGS)
        pod = a_pod_fact()
        world.space("default").set_pod(pod.name, pod)
        leave_by = datetime.now(UTC) + timedelta(seconds=0.3)
        binding = ProcessorBinding(pool=pod.pool, pod=pod.name, pod_uid=pod.uid, leave_by=leave_by)
        record = a_record(a_spec(), status="in_progress", processor=binding, observed_generation=1)
        world.take(STREAMS, "ADDED", {**a_served_stream("held"), "status": record.to_resource()})
        world.take(STREAMS, "ADDED", a_served_stream("new"))
        running = asyncio.create_task(reconciler.run())
        await eventually(lambda: cluster.tried["held"] > 0, "the loss of the worker", timeout_s=30)
        running.cancel()
        await asyncio.wait({running})


class Distracted(Cluster):
    """While it writes the status of one stream, the shim loses the stream "held"."""

    async def patch_stream_status(self, obj: Json, patch: Json) -> bool:
        await asyncio.sleep(0.01)
        held = self._world.object(STREAMS, "default", "held")
        assert held is not None
        lost = advance(StreamStatus.from_resource(held["status"]), HandlerLost("no feedback"), datetime.now(UTC)).record
        metadata = {**held["metadata"], "resourceVersion": "2"}
        self._world.take(STREAMS, "MODIFIED", {**held, "metadata": metadata, "status": lost.to_resource()})
        return False


async def test_a_pod_that_falls_silent_during_a_pass_is_still_suspect_after_it() -> None:
    async with ChaosApi().running() as api, api.client() as client:
        metrics = Metrics()
        world = World(lambda _: None, lambda: datetime.now(UTC))
        notes = Notes(EventRecorder(client, "test", metrics.dropped_events.inc))
        reconciler = Reconciler(world, Distracted(client, world, metrics), notes, metrics, SETTINGS)
        pod = a_pod_fact()
        world.space("default").set_pod(pod.name, pod)
        binding = ProcessorBinding(pool=pod.pool, pod=pod.name, pod_uid=pod.uid)
        record = a_record(a_spec(), status="in_progress", processor=binding)
        world.take(STREAMS, "ADDED", {**a_served_stream("held"), "status": record.to_resource()})
        world.take(STREAMS, "ADDED", a_served_stream("new"))
        await reconciler.reconcile("default")
        assert world.space("default").suspects.keys() == {pod.uid}


async def test_nothing_is_shown_of_a_pool_that_is_gone_nor_by_a_replica_that_leads_no_more() -> None:
    async with ChaosApi().running() as api, api.client() as client:
        metrics = Metrics()
        world = World(lambda _: None, lambda: datetime.now(UTC))
        notes = Notes(EventRecorder(client, "test", metrics.dropped_events.inc))
        reconciler = Reconciler(world, Stumbling(client, world, metrics), notes, metrics, SETTINGS)

        def slots(pool: str) -> float | None:
            return metrics.registry.get_sample_value("luna_operator_pool_slots", {"namespace": "default", "pool": pool})

        for name in ("one", "two"):
            world.take(STREAM_PROCESSORS, "ADDED", a_pool_object(name))
        await reconciler.reconcile("default")
        assert (slots("one"), slots("two")) == (0, 0)
        world.take(STREAM_PROCESSORS, "DELETED", a_pool_object("one"))
        await reconciler.reconcile("default")
        assert (slots("one"), slots("two")) == (None, 0)
        metrics.stand_by()
        assert slots("two") is None


def a_pool_object(name: str) -> Json:
    metadata = {
        "name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1,
        "creationTimestamp": NOW.isoformat(),
    }  # fmt: skip
    return {"metadata": metadata, "spec": a_pool(min_replicas=1).spec.to_resource()}


async def test_a_change_in_the_moment_of_the_end_does_not_keep_it_from_ending() -> None:
    """The loop waits with a time limit, since a pod that could not be made is to be tried again."""
    async with ChaosApi().running() as gone:
        deaf = gone.client()
    async with deaf as client:
        metrics = Metrics()
        world = World(lambda namespace: reconciler.wake(namespace), lambda: datetime.now(UTC))
        notes = Notes(EventRecorder(client, "test", metrics.dropped_events.inc))
        reconciler = Reconciler(world, Cluster(client, world, metrics), notes, metrics, SETTINGS)
        running = asyncio.create_task(reconciler.run())
        world.take(STREAM_PROCESSORS, "ADDED", a_pool_object("pool"))
        registry = metrics.registry
        await eventually(lambda: registry.get_sample_value("luna_operator_pass_seconds_count") == 1)
        await asyncio.sleep(0)
        reconciler.wake("default")
        running.cancel()
        done, _ = await asyncio.wait({running}, timeout=60)
        assert done, "the cancellation was swallowed"
        assert running.cancelled()
