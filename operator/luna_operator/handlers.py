"""The kopf shell: kopf watches Streams, StreamProcessors and our Pods; every event goes into the world.

Only `on.event` handlers: no annotation, no finalizer, nothing written by kopf. With finalizers `kubectl delete` would
hang while the operator is down; with kopf's own handlers a burst makes them run twice on stale bodies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import kopf

from luna_kube import PODS, STREAM_PROCESSORS, STREAMS, Credentials, Resource, open_session
from luna_operator.manifests import MANAGER
from luna_operator.stateless import NoDiffBase, NoProgress
from luna_operator.world import World
from luna_streams import naming

USER_AGENT = "luna-operator"
POD_LABELS = f"{naming.LABEL_MANAGED_BY}={MANAGER}"
WATCHED = (STREAMS, STREAM_PROCESSORS, PODS)
"""In the order of listing: pods last, so that a pod a stream belongs to is only absent if it is gone."""


class KopfShell:
    """One run of kopf's machinery after the other, with what they have in common.

    Args:
        world: receives every event.
        credentials: of the API server.
        on_relist: called when kopf listed a resource again: it does not tell which objects went meanwhile.
        on_startup: called when kopf's machinery is up, after it took over the signal handlers.
    """

    def __init__(
        self, world: World, credentials: Credentials, on_relist: Callable[[], None], on_startup: Callable[[], None]
    ) -> None:
        self._world = world
        self._credentials = credentials
        self._on_relist = on_relist
        self._on_startup = on_startup

    def registry(self) -> kopf.OperatorRegistry:
        """Return the handlers of one run."""
        registry = kopf.OperatorRegistry()
        refused: list[float] = []

        @kopf.on.login(registry=registry, retries=1)
        async def login(**_: Any) -> kopf.AiohttpSession:
            if refused:  # kopf asks again because the last session was refused
                await self._credentials.reload(refused.pop())
            refused.append(self._credentials.generation)
            session = open_session(self._credentials, USER_AGENT)
            return kopf.AiohttpSession(server=self._credentials.server, aiohttp_session=session)

        @kopf.on.startup(registry=registry)
        async def startup(**_: Any) -> None:
            self._on_startup()

        for resource in WATCHED:
            self._watch(registry, resource)
        return registry

    def _watch(self, registry: kopf.OperatorRegistry, resource: Resource) -> None:
        @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, id=resource.plural)
        async def changed(event: kopf.RawEvent, **_: Any) -> None:
            self._world.take(resource, event["type"], cast(dict[str, Any], event["object"]))
            if event["type"] is None:
                self._on_relist()


def tuned_settings() -> kopf.OperatorSettings:
    """Return kopf's settings for thousands of objects; the figures are from docs/operator.md."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # Events are ours: counted, and fewer
    settings.scanning.disabled = True  # needs no permission on CRDs and namespaces; they are there before we start
    settings.persistence.consistency_timeout = 120
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.watching.label_selectors[PODS.plural] = POD_LABELS
    settings.watching.chunk_size = 500
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 300
    settings.watching.inactivity_timeout = 90
    settings.networking.request_timeout = 60
    # A worker per object waits this long for more before it ends: with ten thousand objects, seconds cost memory.
    settings.queueing.idle_timeout = 0.1
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = None  # it would kill the process, which only goes into standby
    return settings


async def run_kopf(shell: KopfShell, namespace: str, stop: asyncio.Event) -> None:
    """Run kopf until `stop` is set, until the process gets a signal before we take signals back, or until it gives up.

    Args:
        shell: what it feeds.
        namespace: to watch; empty for all.
        stop: ends the run.

    Raises:
        Exception: what kopf gave up on; run it again.
    """
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLogger().level))
    await kopf.operator(
        registry=shell.registry(),
        settings=tuned_settings(),
        standalone=True,
        clusterwide=not namespace,
        namespaces=[namespace] if namespace else [],
        stop_flag=stop,
        # kopf would ask for the name of the user, which a container's user does not have.
        identity=cast(Any, USER_AGENT),
    )
