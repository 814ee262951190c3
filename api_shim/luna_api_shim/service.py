"""One replica of the shim: wires the parts and runs them around the HTTP server until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn

from luna_api_shim.app import create_app
from luna_api_shim.context import Context
from luna_api_shim.editing.editor import Editor
from luna_api_shim.editing.group_editor import GroupEditor
from luna_api_shim.editing.quota import Quota
from luna_api_shim.errors import StartupError
from luna_api_shim.health import Component, Health
from luna_api_shim.http.protocol import DocumentedHttp
from luna_api_shim.http.traffic import Traffic
from luna_api_shim.logs.logbook import open_logbook
from luna_api_shim.luna_services import components_of
from luna_api_shim.metrics import Metrics
from luna_api_shim.plugin_host import PluginHost, PluginMetrics, find_plugins
from luna_api_shim.previews.pictures import Previews
from luna_api_shim.replicas.desk import LeaderDesk
from luna_api_shim.replicas.election import Election, identity_of
from luna_api_shim.replicas.farewell import Farewell
from luna_api_shim.replicas.interregnum import Interregnum, Times
from luna_api_shim.replicas.peers import Peers
from luna_api_shim.settings import Settings
from luna_api_shim.storage.kubernetes_calls import MeasuredClient
from luna_api_shim.storage.kubernetes_store import KubernetesStore
from luna_api_shim.storage.records import Records
from luna_api_shim.upkeep.steward import Steward
from luna_api_shim.upkeep.sweeper import Sweeper
from luna_api_shim.workers.feedback import Feedback
from luna_api_shim.workers.handlers import HandlerWatch
from luna_api_shim.workers.identity import Workers
from luna_api_shim.workers.queue import Queue
from luna_kube import Credentials, LeaseSettings
from luna_kube.transport import Call

log = logging.getLogger(__name__)

_GRACEFUL_STOP_S = 5
_KEEP_ALIVE_S = 75
"""Workers report every 5 s: a connection that was closed after 5 s of silence would be closed just as one does."""
_BACKLOG = 2048
_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  compared with, not bound to


class Server(uvicorn.Server):
    """uvicorn, without its own idea of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `__main__`, which has more to end than the server."""
        yield


class Service:
    """One replica.

    Args:
        settings: of this replica.
        client: open client of the API server.
        listener: socket that is bound and listens.
    """

    def __init__(self, settings: Settings, client: MeasuredClient, listener: socket.socket) -> None:
        self._settings = settings
        self._client = client
        self._listener = listener
        self._is_stopping = asyncio.Event()
        self.store = KubernetesStore(client, namespace=settings.namespace, everywhere=settings.all_namespaces)
        self.election = Election(client, lease_settings(settings, self.origin))
        self._records = records = Records(self.store)
        parallel = settings.parallel_writes
        self.watch = HandlerWatch(self.store, records, period_s=settings.obsoleting_period, parallel_writes=parallel)
        self.peers = Peers(self.origin, self.election, lease_s=settings.lease_duration)
        times = Times(settings.obsoleting_period, settings.worker_patience, settings.longest_outage)
        self.desk = LeaderDesk(
            self.election,
            self.peers,
            Interregnum(self.election.outlook, self.peers, times),
            patience_s=settings.leader_patience,
            longest_wait_s=settings.longest_wait,
        )
        self.feedback = Feedback(self.store, records, self.watch, parallel_writes=parallel)
        quota = Quota(self.store, deployment=settings.stream_quota, account=settings.account_stream_quota)
        self.queue = Queue(self.store, records, self.watch, parallel_writes=parallel)
        self.watch.is_leader = self.queue.is_leader = lambda: self.election.is_leader
        self.previews = Previews(settings.preview_networks)
        metrics = Metrics()
        metrics.watch(self.store, lambda: self.election.is_leader)
        client.observer = metrics.called
        self.logbook = open_logbook(settings, self.store)
        metrics.watch_log(lambda: self.logbook.waiting, lambda: self.logbook.lost)
        self.plugins = PluginHost(
            find_plugins(settings.active_plugins), settings, self.store, lambda: self.election.is_leader
        )
        metrics.add(PluginMetrics(self.plugins))
        traffic = Traffic()
        traffic.subscribe(metrics.count)
        self.plugins.watch(traffic)
        self.app = create_app(
            Context(
                settings=settings,
                store=self.store,
                editor=Editor(self.store, records, quota=quota, parallel_writes=parallel),
                group_editor=GroupEditor(self.store, parallel_writes=parallel),
                desk=self.desk,
                peers=self.peers,
                workers=Workers(client),
                queue=self.queue,
                quota=quota,
                feedback=self.feedback,
                previews=self.previews,
                metrics=metrics,
                traffic=traffic,
                plugins=self.plugins,
                logbook=self.logbook,
                health=Health(
                    [
                        Component("kubernetes", self._check_kubernetes),
                        Component("db", self.logbook.check),
                        Component("db_migration", self.logbook.check_migration),
                    ],
                    luna_services=components_of(settings.luna_services),
                ),
                unready=self._unready,
            )
        )
        self._farewell = Farewell(self.app)
        self._server = Server(
            uvicorn.Config(
                self._farewell,
                http=DocumentedHttp,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # a worker must not choose the address it is heard from
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACEFUL_STOP_S,
            )
        )

    @property
    def origin(self) -> str:
        """Where the other replicas reach this one."""
        return origin_of(self._settings, self._listener.getsockname()[1])

    async def run(self) -> None:
        """Serve until `stop`; then give the Lease back, serve on for a while, answer what waits, and end."""
        async with self._in_background():
            log.info("the REST API is at %s", self.origin)
            leaving = asyncio.create_task(self._leave(), name="leaving")
            try:
                await self._server.serve(sockets=[self._listener])
            finally:
                leaving.cancel()
                await asyncio.wait({leaving})

    def stop(self) -> None:
        """Ask to end, a second time: at once; may be called from a signal handler of the event loop."""
        if self._is_stopping.is_set():
            self._close()
        self._is_stopping.set()

    async def _leave(self) -> None:
        """When asked to, let another replica lead, and serve until nobody is sent here any more."""
        await self._is_stopping.wait()
        self._farewell.has_begun = self.peers.is_leaving = True
        self.queue.close()
        await self.logbook.finish()
        self.election.retire()
        if delay_s := self._settings.shutdown_delay:
            log.info("told to end: serving for another %g s", delay_s)
            await asyncio.sleep(delay_s)
        self._close()

    def _close(self) -> None:
        self.desk.stop()
        self.previews.stop()
        self._server.should_exit = True

    @asynccontextmanager
    async def _in_background(self) -> AsyncIterator[None]:
        async with self.store.running():
            standing = asyncio.create_task(self.election.run(self._lead), name="election")
            preparing = asyncio.create_task(self.logbook.prepare(), name="log")
            tasks = (
                standing,
                preparing,
                asyncio.create_task(self.plugins.run(), name="plugins"),
                asyncio.create_task(self.peers.run(), name="peers"),
                asyncio.create_task(self.desk.run(), name="desk"),
            )
            for task in tasks:
                task.add_done_callback(self._ended)
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self.desk.close()
                await self.logbook.close()
                await self.previews.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """End the process when a part of it crashed: whoever started it starts a whole one."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("%s crashed", task.get_name(), exc_info=error)
            self._is_stopping.set()
            self._close()

    async def _lead(self) -> None:
        await self.store.synced()
        self.watch.begin()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.watch.run())
                group.create_task(self.feedback.run())
                group.create_task(Steward(self.store, self._records).run())
                group.create_task(self.logbook.lead())
                group.create_task(Sweeper(self._client, self.store.vault, self.store.catalogue).run())
        finally:
            self.queue.wake_all()

    async def _check_kubernetes(self) -> None:
        if (trouble := self.store.trouble) is not None:
            raise trouble
        await self._client.request(Call("GET", "/version"))
        await self.store.synced()

    def _unready(self) -> str | None:
        """Return why no request should be sent here; None if they should.

        A replica that does not hear the API server still answers reads, and lets workers go on. So it stays ready,
        unless another one is better: if none were, the whole service would be gone together with the API server.
        """
        if self._is_stopping.is_set():
            return "this replica is about to end"
        if not self.store.is_synced:
            return "the API server was not heard yet"
        if not self.election.hears and self.peers.does_any_hear:
            return "this replica does not hear the API server, and another one does"
        return None


@asynccontextmanager
async def connected(settings: Settings, credentials: Credentials) -> AsyncIterator[MeasuredClient]:
    """Yield a client of the API server."""
    timeout_s, user_agent = settings.kubernetes_timeout, "luna-streams-shim"
    async with MeasuredClient(credentials, timeout_s=timeout_s, user_agent=user_agent) as client:
        yield client


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens where the settings say.

    Raises:
        StartupError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named TCP, else asyncio does not know that it is, leaves Nagle's algorithm on, and answers take 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as e:
        listener.close()
        # Not the error's own text, which repeats the address in Python's notation.
        reason = str(e.strerror) if isinstance(e, socket.gaierror) else os.strerror(e.errno or 0)
        if e.errno == errno.EADDRINUSE:
            reason += "; another program uses the port, choose one with LUNA_SHIM_PORT"
        raise StartupError(f"cannot listen on {settings.host}:{settings.port}: {reason}") from e
    return listener


def origin_of(settings: Settings, port: int) -> str:
    """Return the origin under which other replicas reach this one."""
    host = settings.advertised_host or settings.host
    if host in _WILDCARDS:
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def lease_settings(settings: Settings, origin: str) -> LeaseSettings:
    """Return the election's settings: a leader that is silent for `lease_duration` is replaced."""
    duration_s = settings.lease_duration
    return LeaseSettings(
        settings.lease_namespace or settings.namespace,
        settings.lease_name,
        identity_of(settings.replica, origin),
        duration_s=duration_s,
        renew_deadline_s=duration_s * 0.7,
        retry_s=duration_s * 0.2,
    )
