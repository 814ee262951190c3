"""The whole operator: stand for the Lease; as leader, build the world and keep it right; otherwise wait."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from luna_kube import Credentials, KubeClient, LeadershipLost, LeaseSettings, leadership
from luna_operator.audit import Audit
from luna_operator.cluster import Cluster
from luna_operator.events import EventRecorder
from luna_operator.handlers import USER_AGENT, Listener, run_kopf
from luna_operator.health import health_server
from luna_operator.metrics import Metrics
from luna_operator.notes import Notes
from luna_operator.reconcile import Reconciler
from luna_operator.settings import Settings
from luna_operator.world import World

log = logging.getLogger(__name__)

_KOPF_PAUSE_S = 1.0


class Operator:
    """One replica.

    Args:
        settings: of the process.
        load: returns credentials for the API server; called once here and once for each run of kopf.

    Attributes:
        state: "standby", "starting" or "leading".
    """

    def __init__(self, settings: Settings, load: Callable[[], Awaitable[Credentials]]) -> None:
        self.settings = settings
        self.state = "standby"
        self.metrics = Metrics()
        self._load = load
        self._identity = _identity(settings)

    async def run(self) -> None:
        """Serve until cancelled."""
        settings = self.settings
        lease = LeaseSettings(
            namespace=settings.lease_namespace,
            name=settings.lease_name,
            identity=self._identity,
            duration_s=settings.lease_duration,
            renew_deadline_s=settings.lease_renew_deadline,
            retry_s=settings.lease_retry,
        )
        async with (
            KubeClient(await self._load(), user_agent=USER_AGENT) as client,
            health_server(settings.http_host, settings.http_port, self.metrics, lambda: self.state) as port,
        ):
            log.info("health and metrics on port %d", port)
            while True:
                try:
                    async with leadership(client, lease) as term:
                        self.metrics.is_leader.set(1)
                        await self._lead(term.fenced(client))
                except LeadershipLost as e:
                    log.warning("%s; standing by", e)
                finally:
                    self.state = "standby"
                    self.metrics.stand_by()

    async def _lead(self, client: KubeClient) -> None:
        """Do the work until cancelled.

        Args:
            client: sends writes only as long as this replica leads.
        """
        self.state = "starting"
        stop_kopf = asyncio.Event()
        world = World(lambda namespace: reconciler.wake(namespace), lambda: datetime.now(UTC))
        recorder = EventRecorder(client, self._identity, self.metrics.dropped_events.inc)
        cluster = Cluster(client, world, self.metrics)
        reconciler = Reconciler(world, cluster, Notes(recorder), self.metrics, self.settings)
        audit = Audit(client, world, self.metrics, self.settings.namespace, stop_kopf.set)
        await audit.seed()
        self.state = "leading"
        log.info("leading: %d namespaces", len(world.spaces))

        listener = Listener(world.take, lambda _: audit.ask(), world.knows)
        async with asyncio.TaskGroup() as group:
            group.create_task(reconciler.run(), name="reconciler")
            group.create_task(recorder.run(), name="events")
            group.create_task(audit.run(self.settings.audit_interval), name="audit")
            # A task as well: kopf may take seconds to end, in which the others must not go on.
            group.create_task(self._keep_kopf(listener, stop_kopf), name="kopf")

    async def _keep_kopf(self, listener: Listener, stop: asyncio.Event) -> None:
        while True:
            await self._run_kopf(listener, stop)

    async def _run_kopf(self, listener: Listener, stop: asyncio.Event) -> None:
        stop.clear()
        try:
            await run_kopf(listener, self._load, self.settings.namespace, stop)
        except Exception:  # kopf ends on watch errors that a second try mends; without it the operator is deaf
            log.exception("kopf ended; it is started again")
        else:
            log.warning("kopf is started again%s", ": a watch had gone deaf" if stop.is_set() else "")
        await asyncio.sleep(_KOPF_PAUSE_S)


def _identity(settings: Settings) -> str:
    """Return who we are: the pod, so that its restarted container goes on at once; else this process alone."""
    if settings.pod_name and settings.pod_uid:
        return f"{settings.pod_name}_{settings.pod_uid}"
    return f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"
