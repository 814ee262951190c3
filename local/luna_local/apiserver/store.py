"""The objects: immutable versions, one resourceVersion for all, a bounded history and the watchers of each resource.

A `Record` is one version of one object: its JSON text, written once and shared by every list and watcher, and the few
values that selectors and the collector ask for. Nothing else of an object is kept, which makes 10,000 objects cheap.
All writes happen between two awaits of one event loop, so there are no locks: a commit is saved in the journal first,
then becomes visible to readers and watchers in one step.
"""

from __future__ import annotations

import bisect
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from luna_local.apiserver.documents import Document, dig, encode, items, section
from luna_local.apiserver.resources import ResourceKey

# Namespace (empty for cluster-wide objects) and name.
ObjectKey = tuple[str, str]

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"

# How far back a watch may resume; a client that is further behind lists again (410).
HISTORY_EVENTS = 20_000
HISTORY_BYTES = 32 * 2**20
# How many events a watcher may lag before it is told to list again.
WATCHER_BACKLOG = 10_000


_NO_LABELS: dict[str, str] = {}


class Record:
    """One version of one object, immutable."""

    __slots__ = ("api_version", "fields", "key", "labels", "owner_uids", "raw", "uid", "version")

    def __init__(self, document: Document, version: int, selectable: Sequence[str], raw: bytes | None = None) -> None:
        metadata = section(document, "metadata")
        self.key: ObjectKey = (sys.intern(metadata.get("namespace") or ""), metadata["name"])
        self.api_version: str = sys.intern(document["apiVersion"])
        self.version = version
        # A copy, because orjson returns texts in blocks of 4 kB, which would be most of the memory of a small object.
        self.raw = bytes(memoryview(encode(document) if raw is None else raw))
        self.uid: str = metadata["uid"]
        self.labels: dict[str, str] = section(metadata, "labels") or _NO_LABELS
        self.fields: tuple[str, ...] = field_values(document, selectable)
        self.owner_uids: tuple[str, ...] = tuple(owner["uid"] for owner in items(metadata, "ownerReferences"))

    def load(self) -> Document:
        """Return the object as a document of the caller's own."""
        document: Document = orjson.loads(self.raw)
        return document


def field_values(document: Document, selectable: Sequence[str]) -> tuple[str, ...]:
    """Return the values field selectors compare with, as text, one per path; absent ones are empty."""
    return tuple(_as_text(dig(document, path.split("."))) for path in selectable)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Change:
    """One commit: `before` is None for an object that is new; a deletion's `record` is its last state."""

    type: str
    record: Record
    before: Record | None


class Watcher:
    """A queue of changes that match a filter.

    Attributes:
        lost: it lagged too far behind; its client must list again.
        ended: nothing will be queued any more; what is queued still counts.
    """

    def __init__(self, namespace: str, matches: Callable[[Record], bool] | None) -> None:
        self._namespace = namespace
        self._matches = matches
        self._queue: deque[tuple[str, Record]] = deque()
        self._wake: Callable[[], None] = lambda: None
        self.lost = False
        self.ended = False

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever something is queued."""
        self._wake = wake

    def offer(self, change: Change) -> None:
        """Queue a change if the filter lets it through."""
        if self.lost or (self._namespace and change.record.key[0] != self._namespace):
            return
        seen = self._as_seen(change)
        if seen is None:
            return
        if len(self._queue) >= WATCHER_BACKLOG:
            self.lost = True
            self._queue.clear()
            self._wake()
            return
        self._queue.append(seen)
        self._wake()

    def _as_seen(self, change: Change) -> tuple[str, Record] | None:
        """Return the event as this watcher must see it: leaving the selection is a deletion, entering an addition."""
        if self._matches is None:
            return change.type, change.record
        matched = change.before is not None and self._matches(change.before)
        matches = change.type != DELETED and self._matches(change.record)
        if matches:
            return (MODIFIED if matched else ADDED), change.record
        if not matched:
            return None
        if change.type == DELETED or change.before is None:
            return DELETED, change.record
        return DELETED, _as_of(change.before, change.record.version)

    def take(self, most: int) -> list[tuple[str, Record]]:
        """Return the next queued events, oldest first."""
        return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued: every change so far has been handed out."""
        return not self._queue

    def end(self) -> None:
        """Let the watch end once its queue is empty."""
        self.ended = True
        self._wake()


def _as_of(record: Record, version: int) -> Record:
    """Return a former state under the version at which it ended."""
    document = record.load()
    document["metadata"]["resourceVersion"] = str(version)
    return Record(document, version, ())


class Table:
    """All objects of one resource, sorted by namespace and name, and what happened to them lately."""

    def __init__(self, forgotten: int) -> None:
        self.records: dict[ObjectKey, Record] = {}
        self.selectable: tuple[str, ...] = ()
        self.watchers: set[Watcher] = set()
        # Changes up to and including this version are not in the history.
        self.forgotten = forgotten
        self._keys: list[ObjectKey] = []
        self._history: deque[Change] = deque()
        self._history_bytes = 0

    def apply(self, change: Change) -> None:
        """Make a change visible."""
        key = change.record.key
        if change.type == DELETED:
            del self.records[key]
            del self._keys[bisect.bisect_left(self._keys, key)]
        else:
            if key not in self.records:
                bisect.insort(self._keys, key)
            self.records[key] = change.record
        self._remember(change)
        for watcher in self.watchers:
            watcher.offer(change)

    def _remember(self, change: Change) -> None:
        self._history.append(change)
        self._history_bytes += len(change.record.raw)
        while len(self._history) > HISTORY_EVENTS or self._history_bytes > HISTORY_BYTES:
            oldest = self._history.popleft()
            self._history_bytes -= len(oldest.record.raw)
            self.forgotten = oldest.record.version

    def restore(self, record: Record) -> None:
        """Put an object in place that was read from the journal."""
        if record.key not in self.records:
            bisect.insort(self._keys, record.key)
        self.records[record.key] = record

    def since(self, version: int) -> list[Change]:
        """Return the remembered changes after `version`, oldest first."""
        newer = []
        for change in reversed(self._history):
            if change.record.version <= version:
                break
            newer.append(change)
        newer.reverse()
        return newer

    def select(self, namespace: str, matches: Callable[[Record], bool] | None) -> list[Record]:
        """Return the objects of a namespace (all, if empty) that match, in order."""
        start, stop = 0, len(self._keys)
        if namespace:
            start = bisect.bisect_left(self._keys, (namespace, ""))
            stop = bisect.bisect_left(self._keys, (namespace + "\0", ""))
        chosen = [self.records[key] for key in self._keys[start:stop]]
        return chosen if matches is None else [record for record in chosen if matches(record)]

    def index(self, selectable: tuple[str, ...]) -> None:
        """Change what field selectors may name. Running watches end: their filters speak of the old fields."""
        if selectable == self.selectable:
            return
        self.selectable = selectable
        for key, record in self.records.items():
            self.records[key] = Record(record.load(), record.version, selectable, record.raw)
        self.end_watches()

    def end_watches(self) -> None:
        """End all watches."""
        for watcher in self.watchers:
            watcher.end()


class Log(Protocol):
    """Where commits are saved before they count."""

    def append(self, resource: ResourceKey, change: Change) -> None:
        """Save a commit.

        Raises:
            ApiError: 503 when it cannot be saved; the commit must not happen.
        """


class _NoLog:
    def append(self, resource: ResourceKey, change: Change) -> None:
        """Forget everything at exit."""


class Store:
    """All tables.

    Args:
        log: where commits are saved; nowhere, unless given.
        version: the resourceVersion to go on from.
    """

    def __init__(self, log: Log | None = None, version: int = 1) -> None:
        self.version = version
        self._first_version = version
        self._log: Log = log or _NoLog()
        self._tables: dict[ResourceKey, Table] = {}
        self._by_uid: dict[str, tuple[ResourceKey, ObjectKey]] = {}
        self._dependents: dict[str, set[tuple[ResourceKey, ObjectKey]]] = {}
        self._observers: list[Callable[[ResourceKey, Change], None]] = []

    def observe(self, observer: Callable[[ResourceKey, Change], None]) -> None:
        """Call `observer` after every commit."""
        self._observers.append(observer)

    def table(self, resource: ResourceKey) -> Table:
        """Return the table of a resource, an empty one if it has none yet."""
        if resource not in self._tables:
            self._tables[resource] = Table(self._first_version)
        return self._tables[resource]

    def tables(self) -> Iterator[tuple[ResourceKey, Table]]:
        """Return every table there is."""
        yield from list(self._tables.items())

    def drop(self, resource: ResourceKey) -> None:
        """Forget an empty table: its resource is no longer served."""
        if table := self._tables.pop(resource, None):
            table.end_watches()

    def everything(self) -> list[tuple[ResourceKey, Record]]:
        """Return the current version of every object."""
        return [(resource, record) for resource, table in self._tables.items() for record in table.records.values()]

    def forget_history(self) -> None:
        """Begin anew at the current version: after a restart no watch can be resumed from before it."""
        self._first_version = self.version
        for table in self._tables.values():
            table.forgotten = self.version

    def get(self, resource: ResourceKey, key: ObjectKey) -> Record | None:
        """Return the current version of an object."""
        return self.table(resource).records.get(key)

    def put(self, resource: ResourceKey, document: Document) -> Record:
        """Commit a new or changed object; its `resourceVersion` is set.

        Raises:
            ApiError: 400 when it is no storable JSON, 503 when it cannot be saved. Nothing has changed then.
        """
        table = self.table(resource)
        document["metadata"]["resourceVersion"] = str(self.version + 1)
        record = Record(document, self.version + 1, table.selectable)
        before = table.records.get(record.key)
        self._commit(resource, Change(MODIFIED if before else ADDED, record, before))
        return record

    def remove(self, resource: ResourceKey, key: ObjectKey) -> Record:
        """Commit the removal of an object; return its last state, under the version of the removal.

        Raises:
            ApiError: 503 when it cannot be saved.
        """
        table = self.table(resource)
        before = table.records[key]
        document = before.load()
        document["metadata"]["resourceVersion"] = str(self.version + 1)
        record = Record(document, self.version + 1, table.selectable)
        self._commit(resource, Change(DELETED, record, before))
        return record

    def _commit(self, resource: ResourceKey, change: Change) -> None:
        self._log.append(resource, change)
        self.version = change.record.version
        self.table(resource).apply(change)
        self._index(resource, change)
        for observer in self._observers:
            observer(resource, change)

    def restore(self, resource: ResourceKey, document: Document, raw: bytes) -> None:
        """Put an object in place that was read from the journal; no event, no commit."""
        table = self.table(resource)
        record = Record(document, int(document["metadata"]["resourceVersion"]), table.selectable, raw)
        table.restore(record)
        self._index(resource, Change(ADDED, record, None))

    def _index(self, resource: ResourceKey, change: Change) -> None:
        place = (resource, change.record.key)
        for uid in change.before.owner_uids if change.before else ():
            dependents = self._dependents.get(uid, set())
            dependents.discard(place)
            if not dependents:
                self._dependents.pop(uid, None)
        if change.type == DELETED:
            self._by_uid.pop(change.record.uid, None)
            return
        self._by_uid[change.record.uid] = place
        for uid in change.record.owner_uids:
            self._dependents.setdefault(uid, set()).add(place)

    def place_of(self, uid: str) -> tuple[ResourceKey, ObjectKey] | None:
        """Return where the object with this uid is."""
        return self._by_uid.get(uid)

    def dependents_of(self, uid: str) -> Collection[tuple[ResourceKey, ObjectKey]]:
        """Return where the objects are that name this uid as an owner."""
        return tuple(self._dependents.get(uid, ()))
