"""Watches: every change of a selection, in order, from a resourceVersion on.

A watch never skips: it starts with the remembered changes after the version the client names (or says 410 when they are
no longer remembered), then takes its queue. A BOOKMARK is written only when the queue is empty, so its version never
runs ahead of an event the client has not been sent. A client that takes too little too late is told 410.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

import orjson

from luna_local.apiserver.errors import ApiError, FieldProblem, expired, invalid
from luna_local.apiserver.lists import Lists, number
from luna_local.apiserver.resources import Resource
from luna_local.apiserver.selectors import Test, matcher
from luna_local.apiserver.store import ADDED, Store, Table, Watcher
from luna_local.apiserver.views import View, event_line

# Without `timeoutSeconds`, a watch ends after 30 to 60 minutes, so that clients do not all come back at once.
_SHORTEST_S, _SPREAD_S = 1800, 1800
# Events written at a time.
_BATCH = 200


@dataclass(frozen=True)
class WatchQuery:
    """What a watch request asks for."""

    matches: Test | None
    version: int
    with_initial: bool
    with_bookmarks: bool
    ends_initial: bool
    timeout_s: float

    @classmethod
    def parse(cls, resource: Resource, query: Mapping[str, str]) -> WatchQuery:
        """Read the parameters.

        Raises:
            ApiError: 400 or 422 for parameters that make no sense.
        """
        matches = matcher(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        version = number(query, "resourceVersion")
        streams_list = query.get("sendInitialEvents") in ("true", "1")
        if streams_list and query.get("resourceVersionMatch") != "NotOlderThan":
            text = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise invalid(resource, "", [FieldProblem("resourceVersionMatch", text, "FieldValueForbidden")])
        with_bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        return cls(
            matches=matches,
            version=version,
            with_initial=streams_list or not version,
            with_bookmarks=with_bookmarks,
            ends_initial=streams_list and with_bookmarks,
            timeout_s=float(number(query, "timeoutSeconds") or _SHORTEST_S + secrets.randbelow(_SPREAD_S)),
        )


class Watches:
    """Runs watches on a store.

    Args:
        store: what is watched.
        lists: selects the initial state.
        bookmark_interval_s: how often a quiet watch is sent a BOOKMARK; clients (kopf: 70 s) give up on silence.
    """

    def __init__(self, store: Store, lists: Lists, bookmark_interval_s: float) -> None:
        self._store = store
        self._lists = lists
        self._bookmark_interval_s = bookmark_interval_s

    async def run(
        self, view: View, namespace: str, query: Mapping[str, str], asked: WatchQuery
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch, several at a time."""
        table = self._store.table(view.resource.key)
        watcher = Watcher(namespace, asked.matches)
        wake = asyncio.Event()
        watcher.on_change(wake.set)
        refusal = None if asked.with_initial else self._replay(table, watcher, asked.version)
        if refusal is not None:
            yield _error(refusal)
            return
        initial = self._lists.select(view.resource, namespace, query) if asked.with_initial else []
        version = self._store.version
        table.watchers.add(watcher)
        try:
            for start in range(0, len(initial), _BATCH):
                records = initial[start : start + _BATCH]
                lines = [view.event(ADDED, record, is_first=record is initial[0]) for record in records]
                yield b"".join(lines)
            if asked.ends_initial:
                yield view.bookmark(version, ends_initial=True)
            async for chunk in self._follow(view, watcher, wake, asked):
                yield chunk
        finally:
            table.watchers.discard(watcher)

    def _replay(self, table: Table, watcher: Watcher, version: int) -> ApiError | None:
        """Queue the changes after a version; return why that is impossible, if it is."""
        if version < table.forgotten:
            return expired(f"too old resource version: {version} ({table.forgotten})")
        if version > self._store.version:
            return expired(f"resource version {version} is of another life of this server ({self._store.version})")
        for change in table.since(version):
            watcher.offer(change)
        return None

    async def _follow(
        self, view: View, watcher: Watcher, wake: asyncio.Event, asked: WatchQuery
    ) -> AsyncGenerator[bytes, None]:
        clock = asyncio.get_running_loop().time
        end = clock() + asked.timeout_s
        bookmark_at = clock() + self._bookmark_interval_s
        is_first = True
        while True:
            wake.clear()
            if watcher.lost:
                yield _error(expired("the watch fell too far behind"))
                return
            if batch := watcher.take(_BATCH):
                yield b"".join(
                    view.event(kind, record, is_first=is_first and not index)
                    for index, (kind, record) in enumerate(batch)
                )
                is_first = False
                continue
            is_over = watcher.ended or clock() >= end
            if asked.with_bookmarks and (is_over or clock() >= bookmark_at):
                bookmark_at = clock() + self._bookmark_interval_s
                yield view.bookmark(self._store.version)
            if is_over:
                return
            if watcher.is_idle:
                until = min(end, bookmark_at) if asked.with_bookmarks else end
                await _wait(wake, until - clock())


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        # Not wait_for: before Python 3.12 it may swallow a cancellation that comes with the event.
        async with asyncio.timeout(max(0.0, timeout_s)):
            await event.wait()
    except TimeoutError:
        return


def _error(error: ApiError) -> bytes:
    return event_line("ERROR", orjson.dumps(error.status()))
