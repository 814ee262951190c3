"""Watches and the store below them: nothing is skipped, bookmarks never run ahead, the slow are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from luna_local.apiserver import store as store_module
from luna_local.apiserver.lists import Lists
from luna_local.apiserver.resources import Resource
from luna_local.apiserver.schema import compile_schema
from luna_local.apiserver.store import Record, Store, Watcher
from luna_local.apiserver.views import METADATA, OBJECT, TABLE, View
from luna_local.apiserver.watches import Watches, WatchQuery

THINGS = Resource("luna.test", "v1", "things", "Thing", compile_schema({"type": "object"}))


def a_thing(name: str, *, label: str = "", size: int = 0) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {"a": label} if label else {}}
    return {"apiVersion": "luna.test/v1", "kind": "Thing", "metadata": metadata, "filling": "x" * size}


def watch(store: Store, *, bookmark_s: float = 30.0, form: str = OBJECT, **query: str) -> AsyncGenerator[bytes, None]:
    watches = Watches(store, Lists(store), bookmark_s)
    return watches.run(View(THINGS, form), "", query, WatchQuery.parse(THINGS, query))


async def read(lines: AsyncGenerator[bytes, None], count: int, within_s: float = 60.0) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(within_s):
        async for chunk in lines:
            events += [orjson.loads(line) for line in chunk.splitlines()]
            if len(events) >= count:
                break
    return events


def names(events: list[dict[str, Any]]) -> list[str]:
    return [f"{event['type']} {event['object']['metadata'].get('name', '')}".strip() for event in events]


async def test_a_version_that_history_no_longer_covers_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "HISTORY_EVENTS", 3)
    store = Store()
    versions = [store.put(THINGS.key, a_thing(f"t{index}")).version for index in range(6)]
    gone = await read(watch(store, resourceVersion=str(versions[1])), 1)
    assert (gone[0]["type"], gone[0]["object"]["code"], gone[0]["object"]["reason"]) == ("ERROR", 410, "Expired")
    covered = await read(watch(store, resourceVersion=str(versions[2])), 3)
    assert names(covered) == ["ADDED t3", "ADDED t4", "ADDED t5"]


async def test_history_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "HISTORY_BYTES", 5000)
    store = Store()
    first = store.put(THINGS.key, a_thing("big", size=3000)).version
    store.put(THINGS.key, a_thing("big", size=3001))
    assert store.table(THINGS.key).forgotten == first


async def test_a_version_of_another_life_of_the_server_is_gone() -> None:
    store = Store()
    events = await read(watch(store, resourceVersion="1000000"), 1)
    assert events[0]["object"]["code"] == 410


async def test_a_bookmark_never_runs_ahead_of_an_event_that_is_still_queued() -> None:
    store = Store()
    # A bookmark is due all the time, and more is queued than one chunk takes.
    lines = watch(store, bookmark_s=0.0, allowWatchBookmarks="true", resourceVersion=str(store.version))
    sent = 1
    for burst in range(20):
        for index in range(burst * 30):
            store.put(THINGS.key, a_thing(f"t{index}", size=burst))
        while sent < store.version:
            for line in (await anext(lines)).splitlines():
                event = orjson.loads(line)
                version = int(event["object"]["metadata"]["resourceVersion"])
                assert version == (sent if event["type"] == "BOOKMARK" else sent + 1)
                sent = version
    await lines.aclose()


async def test_a_quiet_watch_is_sent_bookmarks() -> None:
    store = Store()
    other = ("luna.test", "others")
    lines = watch(store, bookmark_s=0.02, allowWatchBookmarks="true", resourceVersion=str(store.version))
    first = (await read(lines, 1))[0]
    assert first["type"] == "BOOKMARK"
    await lines.aclose()
    lines = watch(store, bookmark_s=0.02, allowWatchBookmarks="true", resourceVersion=str(store.version))
    store.put(other, a_thing("elsewhere"))
    bookmark = (await read(lines, 1))[0]
    assert bookmark["object"]["metadata"]["resourceVersion"] == str(store.version)
    await lines.aclose()


@pytest.mark.parametrize("form", [OBJECT, TABLE, METADATA])
async def test_a_watch_is_of_one_form_from_its_first_event_to_its_bookmark(form: str) -> None:
    store = Store()
    store.put(THINGS.key, a_thing("one"))
    store.put(THINGS.key, a_thing("two"))
    query: dict[str, Any] = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    lines = watch(store, form=form, **query)
    events = await read(lines, 3)
    await lines.aclose()
    kinds = {OBJECT: "Thing"}
    assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
    assert {event["object"]["kind"] for event in events} == {kinds.get(form, form)}
    if form == TABLE:
        # Columns are told once; a bookmark carries its version in its only row.
        assert [len(event["object"]["columnDefinitions"]) for event in events] == [2, 0, 0]
        metadata = events[2]["object"]["rows"][0]["object"]["metadata"]
        assert metadata["resourceVersion"] == str(store.version)
        assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watcher_that_lags_too_far_is_told_to_start_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "WATCHER_BACKLOG", 10)
    store = Store()
    lines = watch(store, resourceVersion=str(store.version))
    pending = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    for index in range(12):
        store.put(THINGS.key, a_thing(f"t{index}"))
    first = orjson.loads((await pending).splitlines()[0])
    assert (first["type"], first["object"]["code"]) == ("ERROR", 410)
    with contextlib.suppress(StopAsyncIteration):
        await anext(lines)
    assert store.table(THINGS.key).watchers == set()


async def test_a_closed_watch_is_forgotten() -> None:
    store = Store()
    store.put(THINGS.key, a_thing("one"))
    lines = watch(store)
    await anext(lines)
    assert len(store.table(THINGS.key).watchers) == 1
    await lines.aclose()
    assert store.table(THINGS.key).watchers == set()


async def test_what_changes_while_the_beginning_is_still_being_sent_comes_after_it() -> None:
    store = Store()
    for index in range(500):
        store.put(THINGS.key, a_thing(f"t{index:03}"))
    lines = watch(store)
    first = (await anext(lines)).splitlines()
    store.put(THINGS.key, a_thing("late"))
    store.remove(THINGS.key, ("default", "t499"))
    rest = await read(lines, 502 - len(first))
    seen = names([orjson.loads(line) for line in first] + rest)
    assert seen == [*(f"ADDED t{index:03}" for index in range(500)), "ADDED late", "DELETED t499"]
    await lines.aclose()


class ReplicaMachine(RuleBasedStateMachine):
    """A client that only follows a watch knows at every moment exactly what a list would show."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.matches = lambda record: record.labels.get("a") == "x"
        self.watcher = Watcher("", self.matches)
        self.store.table(THINGS.key).watchers.add(self.watcher)
        self.replica: dict[Any, Record] = {}

    @rule(name=st.sampled_from("abc"), label=st.sampled_from(["", "x", "y"]), size=st.integers(0, 3))
    def put(self, name: str, label: str, size: int) -> None:
        self.store.put(THINGS.key, a_thing(name, label=label, size=size))

    @rule(name=st.sampled_from("abc"))
    def remove(self, name: str) -> None:
        if self.store.get(THINGS.key, ("default", name)):
            self.store.remove(THINGS.key, ("default", name))

    @invariant()
    def follows(self) -> None:
        for kind, record in self.watcher.take(100):
            known = record.key in self.replica
            assert known is (kind != "ADDED")
            if kind == "DELETED":
                del self.replica[record.key]
            else:
                self.replica[record.key] = record
        listed = self.store.table(THINGS.key).select("", self.matches)
        assert [record.raw for record in listed] == [self.replica[key].raw for key in sorted(self.replica)]


TestReplica = ReplicaMachine.TestCase
TestReplica.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
