"""Runs plugins next to the service: finds them, starts them again when they fail, ends them with it.

What a plugin raises, SystemExit and a cancellation of its own making included, ends that run of the plugin and nothing
else. What it cannot be kept from is blocking the event loop, which it shares with the service.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from luna_api_shim.concurrency import for_each
from luna_api_shim.errors import StartupError
from luna_api_shim.http.traffic import Served, Traffic
from luna_api_shim.plugins import ENTRY_POINTS, Change, Plugin, PluginContext, view_of
from luna_api_shim.settings import Settings
from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.store import Store

log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_SETTLED_S: Final = 60.0
"""A plugin that ran this long before it failed is started again as quickly as after its first failure."""
_FAREWELL_S: Final = 5.0
"""How long the end of the service waits for plugins that clean up."""


@dataclass(slots=True)
class PluginState:
    """How a plugin fares.

    Attributes:
        is_running: whether it runs now; one that failed does not until it is started again.
        failure: why it does not run, None if it ended by itself or was not started yet.
        failures: how often it failed.
    """

    name: str
    is_running: bool = False
    failure: str | None = None
    failures: int = 0


def find_plugins(names: Iterable[str]) -> dict[str, Plugin]:
    """Return plugins by name.

    Raises:
        StartupError: there is no such plugin, or it cannot be loaded.
    """
    wanted = dict.fromkeys(names)
    # Looking through all packages takes longer than the rest of a start: only where plugins are wanted.
    offered = {point.name: point for point in entry_points(group=ENTRY_POINTS)} if wanted else {}
    return {name: _load(name, offered) for name in wanted}


def _load(name: str, offered: Mapping[str, EntryPoint]) -> Plugin:
    if name not in offered:
        known = ", ".join(sorted(offered)) or "none"
        raise StartupError(f"LUNA_SHIM_ACTIVE_PLUGINS: there is no plugin {name!r}; installed: {known}")
    try:
        plugin: object = offered[name].load()
    except Exception as e:  # code of others, which may do anything
        raise StartupError(f"plugin {name!r} cannot be loaded: {type(e).__name__}: {e}") from e
    if not inspect.iscoroutinefunction(plugin):
        raise StartupError(f"plugin {name!r} cannot be loaded: {offered[name].value} is not an async function")
    return plugin


class PluginHost:
    """Runs the plugins of one replica.

    Args:
        plugins: by name.
        settings: of the replica.
        store: whose streams plugins see.
        is_leader: tells whether this replica leads.
        first_pause_s: between the first failure of a plugin and its next start; doubled from failure to failure.
    """

    def __init__(
        self,
        plugins: Mapping[str, Plugin],
        settings: Settings,
        store: Store,
        is_leader: Callable[[], bool],
        *,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._plugins = dict(plugins)
        self._settings = settings
        self._store = store
        self._is_leader = is_leader
        self._first_pause_s = first_pause_s
        self._states = {name: PluginState(name) for name in self._plugins}
        self._contexts: dict[str, PluginContext] = {}
        if self._plugins:
            store.subscribe(self._changed)

    @property
    def states(self) -> tuple[PluginState, ...]:
        """How the plugins fare, in the order of the settings."""
        return tuple(self._states.values())

    @property
    def contexts(self) -> tuple[PluginContext, ...]:
        """The contexts of the plugins that run."""
        return tuple(self._contexts.values())

    def watch(self, traffic: Traffic) -> None:
        """Tell plugins of the requests that are answered."""
        if self._plugins:
            traffic.subscribe(self._served)

    async def run(self) -> None:
        """Run the plugins until cancelled."""
        await for_each(self._plugins, self._keep_running, limit=max(1, len(self._plugins)))

    async def _keep_running(self, name: str) -> None:
        loop, state = asyncio.get_running_loop(), self._states[name]
        pause_s = self._first_pause_s
        while True:
            began = loop.time()
            state.is_running, state.failure = True, None
            log.info("plugin %s: started", name)
            failure = await self._run_once(name)
            state.is_running, state.failure = False, failure
            if failure is None:
                log.info("plugin %s: ended", name)
                return
            state.failures += 1
            if loop.time() - began >= _SETTLED_S:
                pause_s = self._first_pause_s
            log.warning("plugin %s: failed, is started again in %g s: %s", name, pause_s, failure)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _run_once(self, name: str) -> str | None:
        """Run a plugin once; return why it failed, None if it has done its work."""
        context = PluginContext(name, self._settings, self._store.catalogue, self._is_leader)
        self._contexts[name] = context
        # A task of its own: a cancellation that a plugin brings on itself is not one of this task.
        task = asyncio.create_task(_contained(self._plugins[name], context), name=f"plugin {name}")
        try:
            await asyncio.wait({task})
        finally:
            self._states[name].is_running = False
            del self._contexts[name]
            if not task.done():
                await _end(task)
        return "it was cancelled from within" if task.cancelled() else task.result()

    def _changed(self, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        if entry is None or not self._contexts:
            return
        change = Change(entry.stream_id, view_of(old) if old else None, view_of(new) if new else None)
        for context in self._contexts.values():
            context.tell_change(change)

    def _served(self, served: Served) -> None:
        for context in self._contexts.values():
            context.tell_request(served)


async def _contained(plugin: Plugin, context: PluginContext) -> str | None:
    """Run a plugin; return what it raised as text."""
    try:
        await plugin(context)
    except (Exception, SystemExit) as e:  # code of others, which must not end the service
        log.debug("plugin %s", context.name, exc_info=e)
        return f"{type(e).__name__}: {e}"
    return None


async def _end(task: asyncio.Task[str | None]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=_FAREWELL_S)
    if not task.done():
        log.warning("%s does not end; it is left behind", task.get_name())


class PluginMetrics(Collector):
    """Shows how plugins fare, and what they measure themselves; one that breaks costs only its own metrics."""

    def __init__(self, host: PluginHost) -> None:
        self._host = host
        self._warned: set[str] = set()

    def collect(self) -> Iterator[Metric]:
        """Yield everything."""
        running = GaugeMetricFamily("luna_streams_shim_plugin_running", "1 if the plugin runs", labels=["plugin"])
        failures = CounterMetricFamily("luna_streams_shim_plugin_failures", "Failures of plugins", labels=["plugin"])
        for state in self._host.states:
            running.add_metric([state.name], float(state.is_running))
            failures.add_metric([state.name], state.failures)
        yield running
        yield failures
        for context in self._host.contexts:
            yield from self._own(context)

    def _own(self, context: PluginContext) -> list[Metric]:
        try:
            families = list(context.registry.collect())
        except Exception as e:  # code of others
            self._warn(context.name, f"its metrics cannot be read: {type(e).__name__}: {e}")
            return []
        prefix = metric_prefix(context.name)
        for family in families:
            if not family.name.startswith(prefix):
                self._warn(context.name, f"its metric {family.name} is not shown: its name must begin with {prefix}")
        return [family for family in families if family.name.startswith(prefix)]

    def _warn(self, name: str, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            log.warning("plugin %s: %s", name, message)


def metric_prefix(name: str) -> str:
    """Return what the names of a plugin's metrics begin with."""
    return f"luna_plugin_{re.sub('[^a-z0-9]', '_', name.lower())}_"
