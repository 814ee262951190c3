"""An operator in a namespace of its own, and a pretended kubelet: what a test needs to see streams placed.

    async with an_operator_world(api, tmp_path) as world, world.operator():
        await world.pool("gpu", slots_per_pod=2)
        await world.stream("cam", ...)
        await world.until(lambda: world.status("cam").get("processor", {}).get("pod") == "gpu-0")

The kubelet makes every Pod Running and Ready at once, unless told otherwise; a real API server has no node here, so
nothing else touches the pods.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import yaml

from luna_kube import (
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    NAMESPACES,
    PODS,
    STREAM_PROCESSORS,
    STREAMS,
    AlreadyExists,
    ApiError,
    Conflict,
    KubeClient,
    NotFound,
    Reflector,
    load_credentials,
)
from luna_kube.manifests import crd_manifests
from luna_operator.facts import CONTAINER
from luna_operator.operator import Operator
from luna_operator.settings import Settings, load
from luna_streams.conditions import observe_conditions
from luna_streams.lifecycle import Event, advance
from luna_streams.v1alpha1 import StreamStatus
from support.apiservers import ApiServer, unique
from support.builders import a_pool, stream_object
from support.waiting import PATIENCE_S, eventually

Json = dict[str, Any]


class OperatorWorld:
    """A namespace with live copies of what is in it."""

    def __init__(self, client: KubeClient, namespace: str, settings: Settings) -> None:
        self.client = client
        self.namespace = namespace
        self.settings = settings
        self.streams = Reflector(client, STREAMS.within(namespace))
        self.pools = Reflector(client, STREAM_PROCESSORS.within(namespace))
        self.pods = Reflector(client, PODS.within(namespace))
        self.kubelet_makes_ready = True

    @asynccontextmanager
    async def operator(self, **changes: Any) -> AsyncIterator[Operator]:
        """Run an operator that serves this namespace; it is stopped as SIGTERM stops it."""
        settings = self.settings.model_copy(update=changes)
        operator = Operator(settings, lambda: load_credentials(settings.kubeconfig))
        task = asyncio.create_task(operator.run())
        try:
            yield operator
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # -- what a user does ------------------------------------------------------------------------------------------

    async def pool(self, name: str = "pool", **spec: Any) -> Json:
        """Create a pool."""
        made = a_pool(name, namespace=self.namespace, **spec)
        body = {
            "apiVersion": STREAM_PROCESSORS.api_version,
            "kind": "StreamProcessor",
            "metadata": {"name": name},
            "spec": made.spec.to_resource(),
        }
        return await self.client.create(STREAM_PROCESSORS.within(self.namespace), body)

    async def change_pool(self, name: str, **spec: Any) -> None:
        """Change fields of a pool's spec, in camelCase."""
        await self.client.patch(STREAM_PROCESSORS.at(self.namespace, name), {"spec": spec})

    async def stream(self, name: str, **spec: Any) -> Json:
        """Create a stream, as kubectl does."""
        body = stream_object(name, namespace=self.namespace, **spec)
        return await self.client.create(STREAMS.within(self.namespace), body)

    async def change_stream(self, name: str, **spec: Any) -> None:
        """Change fields of a stream's spec, in camelCase."""
        await self.client.patch(STREAMS.at(self.namespace, name), {"spec": spec})

    async def delete_pod(self, name: str) -> None:
        """Delete a pod as a lost node or kubectl does."""
        with suppress(NotFound):
            await self.client.delete(PODS.at(self.namespace, name), grace_period_s=0)

    # -- what the shim does ----------------------------------------------------------------------------------------

    async def advance(self, name: str, event: Event) -> None:
        """Write a stream's status as the shim does for a worker: if the operator was first, read and decide again."""
        ref = STREAMS.at(self.namespace, name)
        while True:
            obj = await self.client.get(ref)
            now = datetime.now(UTC)
            record = observe_conditions(advance(StreamStatus.from_resource(obj["status"]), event, now).record, now)
            with suppress(Conflict):
                await self.client.replace(ref.status, {**obj, "status": record.to_resource()})
                return

    # -- what the kubelet does -------------------------------------------------------------------------------------

    async def set_pod(self, name: str, **status: Any) -> None:
        """Write a pod's status as the kubelet does."""
        await self.client.patch(PODS.at(self.namespace, name).status, {"status": status})

    async def run_pod(self, name: str, *, is_ready: bool = True) -> None:
        """Say that a pod's container runs."""
        await self.set_pod(name, **running(is_ready=is_ready))

    # -- what a test sees ------------------------------------------------------------------------------------------

    def status(self, name: str) -> Json:
        """Return a stream's status; empty while there is none."""
        obj = self.streams.get(self.namespace, name) or {}
        return obj.get("status") or {}

    def pod_of(self, name: str) -> str | None:
        """Return the pod a stream belongs to."""
        pod: str | None = (self.status(name).get("processor") or {}).get("pod")
        return pod

    def reason(self, name: str) -> str:
        """Return the reason of a stream's condition Scheduled."""
        return str(condition(self.status(name), "Scheduled").get("reason", ""))

    def pool_status(self, name: str = "pool") -> Json:
        """Return a pool's status; empty while there is none."""
        obj = self.pools.get(self.namespace, name) or {}
        return obj.get("status") or {}

    def pod_names(self) -> set[str]:
        """Return the names of the pods there are."""
        return {name for _, name in self.pods.cache}

    async def events(self, reason: str) -> list[Json]:
        """Return the Events of a reason."""
        listed = await self.client.list(EVENTS.within(self.namespace))
        return [event for event in listed.items if event["reason"] == reason]

    async def until_event(self, reason: str, text: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait for an Event of a reason whose message has a text."""
        async with asyncio.timeout(timeout_s):
            while not any(text in event["message"] for event in await self.events(reason)):
                await asyncio.sleep(0.05)

    async def until(self, condition: Callable[[], object], what: str = "", timeout_s: float = PATIENCE_S) -> None:
        """Wait for something to become true."""
        await eventually(condition, what, timeout_s)

    async def until_reason(self, name: str, reason: str) -> None:
        """Wait until a stream is scheduled, or waits, for a reason."""
        await self.until(lambda: self.reason(name) == reason, f"{name} is {reason}")

    async def until_attempt(self, name: str, attempt: int) -> None:
        """Wait until a stream is pending in an attempt to restart it."""

        def is_there() -> bool:
            status = self.status(name)
            return bool(status["status"] == "pending" and status["autorestart"]["currentAttempt"] == attempt)

        await self.until(is_there, f"attempt {attempt} of {name}")

    async def kubelet(self) -> None:
        """Make new pods ready until cancelled."""
        async for event in self.pods.changes():
            status = event.object.get("status", {})
            is_new = not status.get("containerStatuses") and status.get("phase") != "Failed"
            if event.type != "DELETED" and is_new and self.kubelet_makes_ready:
                with suppress(ApiError):
                    await self.run_pod(event.key[1])


def running(*, is_ready: bool = True) -> Json:
    """Return the status of a pod whose container runs."""
    started = {"startedAt": "2026-01-01T00:00:00Z"}
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": str(is_ready)}],
        "containerStatuses": [a_container_status({"running": started}, is_ready=is_ready)],
    }


def waiting(reason: str, exit_code: int | None = None) -> Json:
    """Return the status of a pod whose container does not run."""
    status = a_container_status({"waiting": {"reason": reason}}, is_ready=False)
    if exit_code is not None:
        status["lastState"] = {"terminated": {"exitCode": exit_code, "reason": "Error"}}
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [status],
    }


def a_container_status(state: Json, *, is_ready: bool) -> Json:
    """Return the status of the processor's container."""
    return {"name": CONTAINER, "image": "i", "imageID": "", "restartCount": 0, "ready": is_ready, "state": state}


def condition(status: Json, name: str) -> Json:
    """Return a condition of a status; empty if there is none."""
    found: Json = next((c for c in status.get("conditions") or () if c["type"] == name), {})
    return found


@asynccontextmanager
async def an_operator_world(api: ApiServer) -> AsyncIterator[OperatorWorld]:
    """Make a namespace, with the CRDs installed and a pretended kubelet; the namespace is deleted at the end."""
    namespace = unique("op")
    async with KubeClient(await load_credentials(api.kubeconfig)) as client:
        await install_crds(client)
        await client.create(NAMESPACES.everywhere(), {"metadata": {"name": namespace}})
        settings = load({}, {
            "streams_origin": "http://127.0.0.1:5160", "namespace": namespace, "kubeconfig": str(api.kubeconfig),
            "lease_namespace": namespace, "lease_duration": "6", "lease_renew_deadline": "4.5", "lease_retry": "0.2",
            "http_host": "127.0.0.1", "http_port": "0",
        })  # fmt: skip
        world = OperatorWorld(client, namespace, settings)
        async with world.streams.running(), world.pools.running(), world.pods.running():
            for reflector in (world.streams, world.pools, world.pods):
                await asyncio.wait_for(reflector.synced.wait(), PATIENCE_S)
            kubelet = asyncio.create_task(world.kubelet())
            try:
                yield world
            finally:
                kubelet.cancel()
                with suppress(asyncio.CancelledError):
                    await kubelet
                with suppress(NotFound):  # a test may have done so
                    await client.delete(NAMESPACES.at(None, namespace))


async def install_crds(client: KubeClient) -> None:
    """Install the CRDs and wait until they are served."""
    for path in crd_manifests():
        with suppress(AlreadyExists):
            await client.create(CUSTOM_RESOURCE_DEFINITIONS.everywhere(), yaml.safe_load(path.read_text()))
    for resource in (STREAMS, STREAM_PROCESSORS):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await client.list(resource.everywhere())
                    break
                except NotFound:
                    await asyncio.sleep(0.05)
