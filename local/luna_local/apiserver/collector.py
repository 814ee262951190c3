"""What a cluster's controller manager does and clients rely on: owner references, namespaces, definitions, old Events.

Level-triggered: every commit puts the places it may concern into a queue; working on a place looks at the state as it
is then. A start puts everything into the queue, so work that a restart interrupted goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from luna_local.apiserver.crds import CLEANUP_FINALIZER
from luna_local.apiserver.deletion import FOREGROUND_FINALIZER, ORPHAN_FINALIZER, DeleteOptions, Deletions, may_go
from luna_local.apiserver.documents import Document, dig, items, parse_time, section
from luna_local.apiserver.errors import ApiError
from luna_local.apiserver.objects import Objects, WriteOptions
from luna_local.apiserver.resources import (
    DEFINITIONS,
    EVENTS,
    NAMESPACES,
    SERVICE_ACCOUNTS,
    Registry,
    Resource,
    ResourceKey,
)
from luna_local.apiserver.store import ADDED, DELETED, Change, ObjectKey, Record, Store

_LOG = logging.getLogger(__name__)

EVENT_LIFETIME = timedelta(hours=1)
_EXPIRY_INTERVAL_S = 60.0
# Places worked on before other requests get their turn.
_BATCH = 50

Place = tuple[ResourceKey, ObjectKey]


class Collector:
    """Deletes what nobody owns, empties what is being deleted, gives namespaces their default ServiceAccount."""

    def __init__(self, store: Store, registry: Registry, objects: Objects, deletions: Deletions) -> None:
        self._store = store
        self._registry = registry
        self._objects = objects
        self._deletions = deletions
        self._queue: dict[Place, None] = {}
        self._wake = asyncio.Event()
        store.observe(self._on_change)

    def _on_change(self, resource: ResourceKey, change: Change) -> None:
        record = change.record
        if resource == NAMESPACES and change.type == ADDED:
            # At once: a Pod that follows on its heels needs it.
            self._give_default_account(record.key[1])
        if change.type == DELETED:
            self._enqueue(*self._store.dependents_of(record.uid))
            self._enqueue(*self._holders(resource, record))
        may_concern = record.owner_uids or resource in (NAMESPACES, DEFINITIONS)
        if may_concern or b'"deletionTimestamp"' in record.raw:
            self._enqueue((resource, record.key))

    def _holders(self, resource: ResourceKey, record: Record) -> Iterator[Place]:
        """Return what may be waiting for an object to go: its owners, its namespace, its definition."""
        for uid in record.owner_uids:
            if place := self._store.place_of(uid):
                yield place
        if record.key[0]:
            yield NAMESPACES, ("", record.key[0])
        yield DEFINITIONS, ("", f"{resource[1]}.{resource[0]}")

    def _enqueue(self, *places: Place) -> None:
        for place in places:
            self._queue[place] = None
        if places:
            self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        for resource, table in self._store.tables():
            self._enqueue(*((resource, key) for key in table.records))
        expiry = asyncio.create_task(self._expire_events())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    self._work(_BATCH)
                    await asyncio.sleep(0)
        finally:
            expiry.cancel()

    def _work(self, most: int) -> None:
        for place in list(self._queue)[:most]:
            del self._queue[place]
            try:
                self._settle(*place)
            except ApiError as error:
                # Journal full, or the object changed its mind: the next change or start brings it back.
                _LOG.warning("collecting %s %s: %s", place[0][1], "/".join(place[1]), error.message)

    def _settle(self, resource_key: ResourceKey, key: ObjectKey) -> None:
        resource = self._registry.any_version(resource_key)
        record = self._store.get(resource_key, key)
        if resource is None or record is None:
            return
        document = record.load()
        is_ending = bool(document["metadata"].get("deletionTimestamp"))
        if may_go(resource, document):
            # Written by a release that took off the last finalizer in one commit and removed the object in the next.
            self._store.remove(resource_key, key)
            return
        if is_ending and items(document, "metadata", "finalizers"):
            self._settle_dependents(resource, record, document)
        if resource_key == NAMESPACES:
            self._settle_namespace(resource, record, is_ending=is_ending)
        elif resource_key == DEFINITIONS and is_ending:
            self._settle_definition(resource, record, document)
        elif record.owner_uids and not is_ending:
            self._settle_owned(resource, record, document)

    # --- owners ---------------------------------------------------------------------------------------------------

    def _settle_owned(self, resource: Resource, record: Record, document: Document) -> None:
        """Delete an object none of whose owners is there; forget owners that are gone while others remain."""
        owners = items(document, "metadata", "ownerReferences")
        present = [owner for owner in owners if self._is_present(owner, record.key[0])]
        if not present:
            # The object must still be the one whose owners were looked at.
            self._deletions.delete(resource, record.key, DeleteOptions(propagation="Background", uid=record.uid))
        elif len(present) < len(owners):
            self._replace_owners(resource, record, present)

    def _is_present(self, owner: Document, namespace: str) -> bool:
        place = self._store.place_of(owner["uid"])
        if place is None:
            return False
        record = self._store.get(*place)
        # An owner in another namespace counts as absent; a cluster-wide one is fine.
        return record is not None and place[1][0] in ("", namespace)

    def _replace_owners(self, resource: Resource, record: Record, owners: list[Document]) -> None:
        def change(document: Document) -> Document:
            document["metadata"]["ownerReferences"] = owners
            return document

        self._objects.patch(resource, record.key, change, WriteOptions("garbage-collector"))

    def _settle_dependents(self, resource: Resource, record: Record, document: Document) -> None:
        finalizers = items(document, "metadata", "finalizers")
        if ORPHAN_FINALIZER in finalizers:
            for place in self._store.dependents_of(record.uid):
                self._orphan(place, record.uid)
            self._deletions.remove_if_done(resource, record.key, ORPHAN_FINALIZER)
        elif FOREGROUND_FINALIZER in finalizers:
            # Every dependent must be asked: asking deletes it.
            blocking = [self._is_blocking(place, record.uid) for place in self._store.dependents_of(record.uid)]
            if not any(blocking):
                self._deletions.remove_if_done(resource, record.key, FOREGROUND_FINALIZER)

    def _orphan(self, place: Place, uid: str) -> None:
        resource, record = self._registry.any_version(place[0]), self._store.get(*place)
        if resource is not None and record is not None:
            owners = items(record.load(), "metadata", "ownerReferences")
            self._replace_owners(resource, record, [each for each in owners if each["uid"] != uid])

    def _is_blocking(self, place: Place, uid: str) -> bool:
        """Delete a dependent of an object in foreground deletion; say whether its owner must wait for it."""
        resource, record = self._registry.any_version(place[0]), self._store.get(*place)
        if resource is None or record is None:
            return False
        document = record.load()
        owners = items(document, "metadata", "ownerReferences")
        others = [each for each in owners if each["uid"] != uid and self._is_present(each, record.key[0])]
        if others:
            self._replace_owners(resource, record, others)
            return False
        if not document["metadata"].get("deletionTimestamp"):
            self._deletions.delete(resource, record.key, DeleteOptions(propagation="Foreground", uid=record.uid))
        blocks = any(each["uid"] == uid and each.get("blockOwnerDeletion") for each in owners)
        return blocks and self._store.get(*place) is not None

    # --- namespaces and definitions -------------------------------------------------------------------------------

    def _settle_namespace(self, resource: Resource, record: Record, *, is_ending: bool) -> None:
        name = record.key[1]
        if not is_ending:
            self._give_default_account(name)
            return
        is_empty = True
        for resource_key, table in self._store.tables():
            inner = self._registry.any_version(resource_key)
            if inner is not None and inner.is_namespaced:
                for inside in table.select(name, None):
                    is_empty &= self._delete_once(inner, inside)
        if is_empty:
            self._deletions.remove_if_done(resource, record.key)

    def _give_default_account(self, namespace: str) -> None:
        accounts = self._registry.any_version(SERVICE_ACCOUNTS)
        if accounts is not None and self._store.get(SERVICE_ACCOUNTS, (namespace, "default")) is None:
            account = {"metadata": {"name": "default"}}
            self._objects.create(accounts, namespace, account, WriteOptions("service-account-controller"))

    def _settle_definition(self, resource: Resource, record: Record, document: Document) -> None:
        spec = section(document, "spec")
        key = (spec["group"], section(spec, "names")["plural"])
        instances = self._registry.any_version(key)
        is_empty = True
        for instance in self._store.table(key).select("", None):
            is_empty &= instances is not None and self._delete_once(instances, instance)
        if is_empty:
            self._deletions.remove_if_done(resource, record.key, CLEANUP_FINALIZER)

    def _delete_once(self, resource: Resource, record: Record) -> bool:
        """Delete an object unless that has begun already; say whether it is gone."""
        if b'"deletionTimestamp"' in record.raw and record.load()["metadata"].get("deletionTimestamp"):
            return False
        return self._deletions.delete(resource, record.key, DeleteOptions(propagation="Background"))[1]

    # --- events ---------------------------------------------------------------------------------------------------

    async def _expire_events(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRY_INTERVAL_S)
            self.expire_events(datetime.now(UTC))

    def expire_events(self, now: datetime) -> None:
        """Remove Events that nobody has touched for an hour."""
        for record in self._store.table(EVENTS).select("", None):
            document = record.load()
            touched = [
                parse_time(dig(document, path))
                for path in (("lastTimestamp",), ("series", "lastObservedTime"), ("eventTime",))
            ]
            created = parse_time(document["metadata"]["creationTimestamp"])
            latest = max((at for at in (*touched, created) if at is not None), default=now)
            if now - latest > EVENT_LIFETIME:
                try:
                    self._store.remove(EVENTS, record.key)
                except ApiError as error:
                    _LOG.warning("expiring events: %s", error.message)
                    return
