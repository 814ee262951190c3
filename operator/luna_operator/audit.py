"""Complete lists now and then, because kopf's watches can miss things: what they missed is made up for.

kopf lists again after a 410 without telling which objects went meanwhile, and a watch can go deaf without anybody
noticing (kopf issues 1276 and others). A list that shows what the watch should have told seconds ago proves it deaf.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

from luna_kube import ApiError, EventType, KubeClient, NotFound, Resource
from luna_kube.resources import CollectionRef
from luna_operator.handlers import POD_LABELS, WATCHED
from luna_operator.metrics import Metrics
from luna_operator.world import World

log = logging.getLogger(__name__)

_GRACE_S: Final = 3.0
_SPACING_S: Final = 30.0
_RETRY_S: Final = 2.0


class Audit:
    """Lists what the operator watches, and compares.

    Args:
        client: an open client.
        world: what is known.
        metrics: counts what was missed.
        namespace: that is served; empty for all.
        on_deaf: called when a watch missed additions or changes.
    """

    def __init__(
        self, client: KubeClient, world: World, metrics: Metrics, namespace: str, on_deaf: Callable[[], None]
    ) -> None:
        self._client = client
        self._world = world
        self._metrics = metrics
        self._namespace = namespace
        self._on_deaf = on_deaf
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Ask for an audit soon."""
        self._asked.set()

    async def seed(self) -> None:
        """Fill the empty world; wait for the API server and for the CRDs as long as it takes."""
        for resource in WATCHED:
            complained = False
            while not await self._try_seed(resource, quietly=complained):
                complained = True
                await asyncio.sleep(_RETRY_S * random.uniform(0.5, 1))  # noqa: S311  jitter

    async def run(self, interval_s: float) -> None:
        """Audit now and then, and when asked, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(interval_s * random.uniform(0.8, 1.2)):  # noqa: S311  jitter
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            for resource in WATCHED:
                await self._compare(resource, _GRACE_S)
            await asyncio.sleep(min(_SPACING_S, interval_s))

    async def _try_seed(self, resource: Resource, *, quietly: bool) -> bool:
        try:
            await self._take(resource, 0)
        except NotFound:
            if not quietly:
                log.warning("the API server does not know %s: install the CRDs (crds/*.yaml)", resource.plural)
            return False
        except ApiError as e:
            if not quietly:
                log.warning("%s cannot be listed, trying on: %s", resource.plural, e)
            return False
        return True

    async def _compare(self, resource: Resource, grace_s: float) -> None:
        try:
            news = await self._take(resource, grace_s)
        except ApiError as e:
            log.info("%s could not be audited: %s", resource.plural, e)
            return
        if missed := news.total():
            self._metrics.missed_events.labels(resource.kind).inc(missed)
            log.warning("the watch of %s missed %d changes; they are made up for", resource.plural, missed)
        if news[EventType.ADDED] or news[EventType.MODIFIED]:
            self._on_deaf()

    async def _take(self, resource: Resource, grace_s: float) -> Counter[EventType]:
        seen_before = self._world.highest_version(resource)
        labels = POD_LABELS if resource is WATCHED[-1] else ""
        listed = await self._client.list(CollectionRef(resource, self._namespace or None), labels=labels)
        # What is on its way in the watch arrives meanwhile; what is then still news was missed.
        await asyncio.sleep(grace_s)
        return self._world.take_list(resource, listed.items, listed.resource_version, seen_before)
