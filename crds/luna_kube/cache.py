"""The local copy of a collection: what lists, watch events and own writes tell, merged without going back in time.

Three sources tell about the same object in any order: a list (snapshot), the watch (a while behind), and the answers
of own writes (ahead of the watch). `Cache` takes what is newer and drops the rest:

- An older version never overwrites a newer one, and what was deleted does not come back with a late event. For that,
  resource versions are compared as integers. Kubernetes allows that since 1.35 (KEP-5504) between versions of one
  resource type, which is all that is done here; older API servers on etcd behave so as well. Versions that are no
  integers (an aggregated API server's) are only compared for equality: then the watch has the say, and own writes
  wait for it.
- If a consistent list is older than what was seen before, the server's history went back (etcd restored from a
  backup): the list replaces everything.

Objects are shared, not copied: callers must not change what they read.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace ("" for cluster-wide kinds) and name."""

# Longer than any watch can lag behind: a stalled one is given up after a minute or two.
_TOMBSTONE_LIFETIME_S = 600.0
_FOREVER = -1


class EventType(enum.StrEnum):
    """What happened to the object in the cache."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class CacheEvent:
    """One change of the cache.

    Attributes:
        key: namespace and name.
        object: the object as it is now; for DELETED its last known state.
        old: what the cache held before, None for ADDED.
    """

    type: EventType
    key: Key
    object: Json
    old: Json | None = None


def key_of(obj: Json) -> Key:
    """Return the key of an object."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def version_number(resource_version: str) -> int | None:
    """Return a resource version as an integer, None where it is not one (and hence not comparable)."""
    return int(resource_version) if resource_version.isdecimal() else None


class Cache(Mapping[Key, Json]):
    """Objects by namespace and name. Changing methods return the events they caused, in order."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._objects: dict[Key, Json] = {}
        self._tombstones: dict[str, tuple[int | None, float]] = {}  # uid -> version of the deletion, when
        self.highest_version = 0
        """The highest resource version seen, 0 before the first."""

    def __getitem__(self, key: Key) -> Json:
        return self._objects[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def knows(self, obj: Json) -> bool:
        """Tell whether this version of an object, or a newer one, is here, so that `put` would change nothing."""
        old = self._objects.get(key_of(obj))
        return old is not None and not _is_newer(obj, old, is_own_write=False)

    def put(self, obj: Json, *, is_own_write: bool = False) -> list[CacheEvent]:
        """Take an object of the watch, or the answer of an own write, unless something newer is known.

        A name that was deleted and created again while nobody looked gives DELETED and ADDED.
        """
        key = key_of(obj)
        old = self._objects.get(key)
        if self._is_buried(obj, is_own_write) or (old is not None and not _is_newer(obj, old, is_own_write)):
            return []
        self._see(obj["metadata"]["resourceVersion"])
        if old is None:
            self._objects[key] = obj
            return [CacheEvent(EventType.ADDED, key, obj)]
        if old["metadata"]["uid"] != obj["metadata"]["uid"]:
            gone = self._drop(key, old, obj["metadata"]["resourceVersion"])
            self._objects[key] = obj
            return [gone, CacheEvent(EventType.ADDED, key, obj)]
        self._objects[key] = obj
        return [CacheEvent(EventType.MODIFIED, key, obj, old)]

    def remove(self, obj: Json) -> list[CacheEvent]:
        """Take a deletion from the watch; the object is its last state at the version of the deletion."""
        key, metadata = key_of(obj), obj["metadata"]
        version = metadata["resourceVersion"]
        self._see(version)
        old = self._objects.get(key)
        if old is None or old["metadata"]["uid"] != metadata["uid"]:
            self._bury(metadata["uid"], version_number(version))
            return []
        if _comparison(old["metadata"]["resourceVersion"], version) > 0:
            return []  # it left the selector and an own write brought it back since
        return [self._drop(key, old, version, obj)]

    def remove_own(self, key: Key, uid: str) -> list[CacheEvent]:
        """Take it from the answer of an own delete that this incarnation is gone for good."""
        old = self._objects.get(key)
        events = [] if old is None or old["metadata"]["uid"] != uid else [self._drop(key, old, "")]
        self._bury(uid, _FOREVER)
        return events

    def replace(self, items: Iterable[Json], version: str, seen_before: int) -> list[CacheEvent]:
        """Take a snapshot of the whole collection.

        Args:
            items: every object of a consistent list.
            version: the list's resource version.
            seen_before: `highest_version` when the list was asked for.
        """
        snapshot = {key_of(obj): obj for obj in items}
        number = version_number(version)
        if number is not None and number < seen_before:
            return self._start_over(snapshot, number)
        events: list[CacheEvent] = []
        for key, old in list(self._objects.items()):
            # Absent from the snapshot: deleted while nobody looked, or created by an own write since it was taken.
            if key not in snapshot and _comparison(old["metadata"]["resourceVersion"], version) <= 0:
                events.append(self._drop(key, old, version))
        for obj in snapshot.values():
            events += self.put(obj)
        self._see(version)
        return events

    def _start_over(self, snapshot: dict[Key, Json], number: int) -> list[CacheEvent]:
        """Adopt a snapshot of a server whose history went back: nothing known so far may be compared with it."""
        self._tombstones.clear()
        self.highest_version = number
        events: list[CacheEvent] = []
        for key, old in list(self._objects.items()):
            new = snapshot.get(key)
            if new is not None and _identity(new) == _identity(old):
                continue
            events.append(self._drop(key, old, ""))
        self._tombstones.clear()
        for obj in snapshot.values():
            events += self.put(obj)
        return events

    def _see(self, version: str) -> None:
        self.highest_version = max(self.highest_version, version_number(version) or 0)

    def _drop(self, key: Key, old: Json, version: str, last: Json | None = None) -> CacheEvent:
        del self._objects[key]
        self._bury(old["metadata"]["uid"], version_number(version))
        return CacheEvent(EventType.DELETED, key, last or old, old)

    def _bury(self, uid: str, version: int | None) -> None:
        now = self._clock()
        self._tombstones.pop(uid, None)  # to the end: the oldest stay in front
        self._tombstones[uid] = version, now
        while self._tombstones:
            oldest = next(iter(self._tombstones))
            if now - self._tombstones[oldest][1] < _TOMBSTONE_LIFETIME_S:
                break
            del self._tombstones[oldest]

    def _is_buried(self, obj: Json, is_own_write: bool) -> bool:
        """Tell whether the object is from before its deletion (an object may leave and enter a selector again)."""
        tombstone = self._tombstones.get(obj["metadata"]["uid"])
        if tombstone is None:
            return False
        deleted_at, version = tombstone[0], version_number(obj["metadata"]["resourceVersion"])
        if deleted_at == _FOREVER:
            return True
        if deleted_at is None or version is None:
            return is_own_write
        return version <= deleted_at


def _identity(obj: Json) -> tuple[str, str]:
    return obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]


def _is_newer(new: Json, old: Json, is_own_write: bool) -> bool:
    new_version, old_version = new["metadata"]["resourceVersion"], old["metadata"]["resourceVersion"]
    a, b = version_number(new_version), version_number(old_version)
    if a is None or b is None:
        return new_version != old_version and not is_own_write
    return a > b


def _comparison(version: str, other: str) -> int:
    """Return <0, 0 or >0 as the first version is older, equal or newer; 0 where they cannot be compared."""
    a, b = version_number(version), version_number(other)
    return 0 if a is None or b is None else (a > b) - (a < b)
