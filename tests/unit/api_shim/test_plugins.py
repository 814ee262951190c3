"""Plugins: they are found, run, fail and end without harm to the service; in memory, with real distributions."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from luna_api_shim.errors import StartupError
from luna_api_shim.http.traffic import Served, Traffic
from luna_api_shim.plugin_host import PluginHost, PluginMetrics, find_plugins
from luna_api_shim.plugins import Change, ChangeFeed, Plugin, PluginContext, RequestFeed, view_of
from luna_api_shim.settings import Settings
from luna_api_shim.storage.catalogue import Entry
from support.builders import NOW, STREAM_ID, a_stream
from support.memory_store import MemoryStore
from support.waiting import eventually

OTHER_ID = STREAM_ID.replace("0193", "0194")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed distributions, with one that offers plugins."""
    info = tmp_path / "some_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[luna_streams.shim_plugins]\n"
        "good = some_plugins:good\nabsent = some_plugins:absent\nplain = some_plugins:plain\n"
        "broken = broken_plugin:run\n"
    )
    (tmp_path / "some_plugins.py").write_text("async def good(context):\n    pass\n\ndef plain(context):\n    pass\n")
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('no such device')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("some_plugins", None)


def test_installed_plugins_are_found_by_name(installed: Path) -> None:
    assert list(find_plugins(["good"])) == ["good"]
    assert find_plugins([]) == {}
    assert list(find_plugins(["influx_monitoring"])) == ["influx_monitoring"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (
            "nowhere",
            r"LUNA_SHIM_ACTIVE_PLUGINS: there is no plugin 'nowhere'; installed: absent, broken, good, influx_",
        ),
        ("absent", r"plugin 'absent' cannot be loaded: AttributeError"),
        ("broken", r"plugin 'broken' cannot be loaded: RuntimeError: no such device"),
        ("plain", r"plugin 'plain' cannot be loaded: some_plugins:plain is not an async function"),
    ],
)
def test_a_plugin_that_cannot_be_had_keeps_the_service_from_starting(
    installed: Path, name: str, complaint: str
) -> None:
    with pytest.raises(StartupError, match=complaint):
        find_plugins([name])


@asynccontextmanager
async def hosting(
    plugins: Mapping[str, Plugin], store: MemoryStore, traffic: Traffic | None = None
) -> AsyncIterator[PluginHost]:
    host = PluginHost(plugins, Settings(), store, lambda: True, first_pause_s=0.01)
    host.watch(traffic or Traffic())
    running = asyncio.create_task(host.run())
    try:
        yield host
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def for_ever(_context: PluginContext) -> None:
    await asyncio.Event().wait()


async def test_a_plugin_runs_until_the_service_ends(store: MemoryStore) -> None:
    ended: list[str] = []

    async def careful(_context: PluginContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("careful")

    async with hosting({"careful": careful}, store) as host:
        await eventually(lambda: host.states[0].is_running)
    assert ended == ["careful"]
    assert not host.states[0].is_running


async def test_a_plugin_that_returns_has_ended_and_did_not_fail(store: MemoryStore) -> None:
    async def brief(_context: PluginContext) -> None:
        return

    async with hosting({"brief": brief, "long": for_ever}, store) as host:
        await eventually(lambda: [state.is_running for state in host.states] == [False, True])
    assert (host.states[0].failure, host.states[0].failures) == (None, 0)


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


async def exits() -> None:
    sys.exit(3)


async def raises() -> None:
    raise ValueError("no route to the recorder")


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (raises, "ValueError: no route to the recorder"),
        (exits, "SystemExit: 3"),
        (cancels_itself, "it was cancelled from within"),
    ],
)
async def test_a_plugin_that_fails_is_started_again_and_harms_nobody(
    store: MemoryStore, caplog: pytest.LogCaptureFixture, way: Callable[[], Awaitable[None]], reason: str
) -> None:
    runs: list[PluginContext] = []

    async def shaky(context: PluginContext) -> None:
        runs.append(context)
        Counter("luna_plugin_shaky_runs", "Runs", registry=context.registry)  # twice in one registry would be an error
        if len(runs) < 3:
            await way()
        await for_ever(context)

    async with hosting({"shaky": shaky, "steady": for_ever}, store) as host:
        await eventually(lambda: len(runs) == 3)
        await eventually(lambda: all(state.is_running for state in host.states))
        assert host.states[0].failures == 2
        assert f"plugin shaky: failed, is started again in 0.01 s: {reason}" in caplog.text
        assert "in 0.02 s" in caplog.text


async def test_while_a_failed_plugin_waits_it_is_not_running_and_says_why(store: MemoryStore) -> None:
    async def hopeless(_context: PluginContext) -> None:
        await raises()

    host = PluginHost({"hopeless": hopeless}, Settings(), store, lambda: True, first_pause_s=60)
    running = asyncio.create_task(host.run())
    await eventually(lambda: host.states[0].failures == 1)
    assert (host.states[0].is_running, host.states[0].failure) == (False, "ValueError: no route to the recorder")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# --- what plugins see -------------------------------------------------------------------------------------------------


async def test_a_plugin_sees_streams_their_changes_and_requests(store: MemoryStore) -> None:
    store.add(a_stream())
    seen: list[Change] = []
    served: list[Served] = []

    async def watching(context: PluginContext) -> None:
        assert [stream.stream_id for stream in context.streams()] == [STREAM_ID]
        requests = context.requests()
        async for change in context.changes():
            seen.append(change)
            served.extend(requests.drain())

    traffic = Traffic()
    async with hosting({"watching": watching}, store, traffic):
        await eventually(lambda: len(seen) == 1)
        traffic.report(a_request(200))
        entry = store.add(a_stream(OTHER_ID, display_name="door"))
        await eventually(lambda: len(seen) == 2)
        await store.delete_stream(entry)
        await eventually(lambda: len(seen) == 3)
    first, new, gone = seen
    assert (first.stream_id, first.before) == (STREAM_ID, None)
    assert new.before is None
    assert new.now is not None
    assert (new.now.spec.display_name, new.now.status.status) == ("door", "pending")
    assert (gone.stream_id, gone.before, gone.now) == (OTHER_ID, new.now, None)
    assert served == [a_request(200)]


def a_request(status: int, error_code: int | None = None) -> Served:
    return Served("GET:/2/streams", status, error_code, "1536751345,8b8b5937-2e9c-4e8b-a7a7-5caf86621b5a", 0.0123, NOW)


def test_a_reader_that_is_slow_gets_one_change_for_each_stream(store: MemoryStore) -> None:
    context = PluginContext("slow", Settings(), store.catalogue, lambda: True)
    feed: ChangeFeed = context.changes()
    first, second, third = (
        view_of(Entry(a_stream(STREAM_ID, display_name=name))) for name in ("first", "second", "third")
    )
    context.tell_change(Change(OTHER_ID, None, first))
    context.tell_change(Change(STREAM_ID, first, second))
    context.tell_change(Change(STREAM_ID, second, third))
    assert feed.drain() == [Change(OTHER_ID, None, first), Change(STREAM_ID, first, third)]


def test_a_reader_that_is_slow_hears_nothing_of_a_stream_that_came_and_went(store: MemoryStore) -> None:
    context = PluginContext("slow", Settings(), store.catalogue, lambda: True)
    feed: ChangeFeed = context.changes()
    first, second = (view_of(Entry(a_stream(STREAM_ID, display_name=name))) for name in ("first", "second"))
    context.tell_change(Change(OTHER_ID, None, first))
    context.tell_change(Change(OTHER_ID, first, None))
    context.tell_change(Change(STREAM_ID, first, None))
    context.tell_change(Change(STREAM_ID, None, second))
    assert feed.drain() == [Change(STREAM_ID, first, second)]


async def test_requests_nobody_reads_are_dropped_and_counted(store: MemoryStore) -> None:
    context = PluginContext("slow", Settings(), store.catalogue, lambda: True)
    feed: RequestFeed = context.requests()
    for status in range(10_003):
        context.tell_request(a_request(status))
    assert feed.lost == 3
    assert [served.status for served in feed.drain()] == list(range(3, 10_003))


# --- metrics ----------------------------------------------------------------------------------------------------------


class Breaking(Collector):
    def collect(self) -> Iterator[Metric]:
        raise ZeroDivisionError


async def test_metrics_of_plugins_are_shown_under_their_name_only(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def good(context: PluginContext) -> None:
        Gauge("luna_plugin_good_1_doors", "Doors", registry=context.registry).set(2)
        Gauge("request_count", "Not his", registry=context.registry)
        await for_ever(context)

    async def bad(context: PluginContext) -> None:
        context.registry.register(Breaking())
        await for_ever(context)

    async with hosting({"good-1": good, "bad": bad}, store) as host:
        await eventually(lambda: len(host.contexts) == 2)
        await asyncio.sleep(0)
        registry = CollectorRegistry()
        registry.register(PluginMetrics(host))
        text = generate_latest(registry).decode()
    assert "luna_plugin_good_1_doors 2.0" in text
    assert 'luna_streams_shim_plugin_running{plugin="bad"} 1.0' in text
    assert "request_count" not in text
    assert "plugin good-1: its metric request_count is not shown" in caplog.text
    assert "plugin bad: its metrics cannot be read: ZeroDivisionError" in caplog.text
