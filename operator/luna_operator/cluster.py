"""Every write of the operator: one method each, its answer put into the world at once, its failure a typed error."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from luna_kube import (
    PODS,
    STREAM_PROCESSORS,
    STREAMS,
    AlreadyExists,
    ApiError,
    Conflict,
    KubeClient,
    NotFound,
    ObjectRef,
    Resource,
)
from luna_operator.facts import PodFact
from luna_operator.metrics import Metrics
from luna_operator.world import World
from luna_streams import naming
from luna_streams.v1alpha1 import StreamProcessor

Json = dict[str, Any]


class Cluster:
    """The API server as the operator uses it.

    Args:
        client: an open client.
        world: learns of every answer.
        metrics: counts every write.
    """

    def __init__(self, client: KubeClient, world: World, metrics: Metrics) -> None:
        self._client = client
        self._world = world
        self._metrics = metrics

    async def patch_stream_status(self, obj: Json, patch: Json) -> bool:
        """Write a stream's status, if nobody wrote meanwhile."""
        return await self._patch_status(STREAMS, obj, patch)

    async def patch_pool_status(self, obj: Json, patch: Json) -> bool:
        """Write a pool's status, if nobody wrote meanwhile."""
        return await self._patch_status(STREAM_PROCESSORS, obj, patch)

    async def _patch_status(self, resource: Resource, obj: Json, patch: Json) -> bool:
        """Patch under the version that was read.

        Returns:
            False if the object changed or went meanwhile: the world then knows its new state, decide again.

        Raises:
            ApiError: any other failure.
        """
        metadata = obj["metadata"]
        ref = resource.at(metadata["namespace"], metadata["name"])
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": patch}
        try:
            written = await self._client.patch(ref.status, body)
        except (Conflict, NotFound) as e:
            self._count(resource, type(e).__name__)
            await self._read_again(ref)
            return False
        except ApiError as e:
            self._count(resource, type(e).__name__)
            raise
        self._count(resource, "ok")
        self._world.take_written(resource, written)
        return True

    async def create_pod(self, pool: StreamProcessor, manifest: Json) -> bool:
        """Make a pod.

        Returns:
            False if a pod of that name exists that is not the pool's: take another name.

        Raises:
            ApiError: if the API server refuses it or cannot be reached.
        """
        try:
            # Strictly, since a misspelt field of the podTemplate would be dropped without a word.
            created = await self._client.create(PODS.within(pool.namespace), manifest, is_strict=True)
        except AlreadyExists:
            self._count(PODS, "AlreadyExists")
            ref = PODS.at(pool.namespace, manifest["metadata"]["name"])
            existing = await self._client.get(ref)
            owners = existing["metadata"].get("ownerReferences") or ()
            is_ours = any(owner["uid"] == pool.uid for owner in owners)
            if is_ours:
                self._world.take_written(PODS, existing)
            return is_ours
        except ApiError as e:
            self._count(PODS, type(e).__name__)
            raise
        self._count(PODS, "ok")
        self._world.take_written(PODS, created)
        return True

    async def drain_pod(self, namespace: str, pod: PodFact, reason: str) -> None:
        """Mark a pod so that it takes no more streams; the mark survives a restart of the operator."""
        body = {"metadata": {"uid": pod.uid, "annotations": {naming.ANNOTATION_DRAIN: reason}}}
        try:
            self._world.take_written(PODS, await self._client.patch(PODS.at(namespace, pod.name), body))
        except (Conflict, NotFound) as e:
            self._count(PODS, type(e).__name__)
        else:
            self._count(PODS, "ok")

    async def delete_pod(self, namespace: str, pod: PodFact) -> None:
        """Delete a pod, this incarnation only; one that ended needs no time to stop."""
        grace_s = 0 if pod.is_failed else None
        try:
            answer = await self._client.delete(PODS.at(namespace, pod.name), uid=pod.uid, grace_period_s=grace_s)
        except (Conflict, NotFound) as e:
            self._count(PODS, type(e).__name__)
            return
        self._count(PODS, "ok")
        if answer.get("kind") == PODS.kind:
            self._world.take_written(PODS, answer)

    async def _read_again(self, ref: ObjectRef) -> None:
        with suppress(NotFound):  # the watch is about to say so
            self._world.take_written(ref.resource, await self._client.get(ref))

    def _count(self, resource: Resource, result: str) -> None:
        self._metrics.writes.labels(resource.kind, result).inc()
