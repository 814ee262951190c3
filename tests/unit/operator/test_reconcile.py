"""The loop of passes: what it does when it is told to end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from luna_kube import STREAM_PROCESSORS
from luna_operator.cluster import Cluster
from luna_operator.events import EventRecorder
from luna_operator.metrics import Metrics
from luna_operator.notes import Notes
from luna_operator.reconcile import Reconciler
from luna_operator.world import World
from support.builders import NOW, a_pool
from support.chaos_api import ChaosApi
from support.operator_builders import SETTINGS
from support.waiting import eventually


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
        metadata = {"name": "pool", "namespace": "default", "uid": "u", "resourceVersion": "1", "generation": 1}
        pool = a_pool().spec.to_resource()
        world.take(
            STREAM_PROCESSORS,
            "ADDED",
            {"metadata": {**metadata, "creationTimestamp": NOW.isoformat()}, "spec": pool},
        )
        registry = metrics.registry
        await eventually(lambda: registry.get_sample_value("luna_operator_pass_seconds_count") == 1)
        await asyncio.sleep(0)
        reconciler.wake("default")
        running.cancel()
        done, _ = await asyncio.wait({running}, timeout=5)
        assert done, "the cancellation was swallowed"
        assert running.cancelled()
