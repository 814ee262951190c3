"""Deleting objects: finalizers, grace periods, what happens to dependents.

An object that something holds is only marked (`deletionTimestamp`); it goes when the last finalizer is taken off and,
if it is a running Pod, its node has confirmed that it stopped (a deletion with grace period 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from luna_local.apiserver import crds
from luna_local.apiserver.documents import Document, copy, dig, items, section, timestamp
from luna_local.apiserver.errors import conflict, forbidden, not_found
from luna_local.apiserver.kinds import SYSTEM_NAMESPACES
from luna_local.apiserver.metadata import drop_empty
from luna_local.apiserver.resources import DEFINITIONS, NAMESPACES, PODS, Resource
from luna_local.apiserver.store import ObjectKey, Record, Store

ORPHAN_FINALIZER, FOREGROUND_FINALIZER = "orphan", "foregroundDeletion"


@dataclass(frozen=True)
class DeleteOptions:
    """How a deletion shall be done."""

    grace_period_s: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


class Deletions:
    """The part of the API that makes objects go."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def delete(self, resource: Resource, key: ObjectKey, options: DeleteOptions) -> tuple[Record, bool]:
        """Delete an object, or mark it for deletion while finalizers or a grace period hold it.

        Returns:
            Its last state and whether it is gone.

        Raises:
            ApiError: 403, 404 or 409 (a precondition).
        """
        record = self._store.get(resource.key, key)
        if record is None:
            raise not_found(resource, key[1])
        document = record.load()
        metadata = document["metadata"]
        _require_preconditions(resource, metadata, options)
        if resource.key == NAMESPACES and key[1] in SYSTEM_NAMESPACES:
            raise forbidden(resource, key[1], "this namespace may not be deleted")
        grace_s = _grace_period_s(resource, document, options)
        self._mark(resource, document, grace_s, options.propagation)
        if may_go(resource, document):
            if options.dry_run:
                return record, True
            return self._store.remove(resource.key, key), True
        if options.dry_run or document == record.load():
            return record, False
        return self._store.put(resource.key, document), False

    def _mark(self, resource: Resource, document: Document, grace_s: int, propagation: str | None) -> None:
        metadata = document["metadata"]
        before = copy(metadata)
        finalizers = list(items(metadata, "finalizers"))
        if propagation:
            finalizers = [each for each in finalizers if each not in (ORPHAN_FINALIZER, FOREGROUND_FINALIZER)]
        added = {"Orphan": ORPHAN_FINALIZER, "Foreground": FOREGROUND_FINALIZER}.get(propagation or "")
        if added and (added == ORPHAN_FINALIZER or self._store.dependents_of(metadata["uid"])):
            finalizers.append(added)
        metadata["finalizers"] = finalizers
        is_sooner = grace_s < (metadata.get("deletionGracePeriodSeconds") or 0)
        if not metadata.get("deletionTimestamp") or is_sooner:
            metadata["deletionTimestamp"] = timestamp(datetime.now(UTC) + timedelta(seconds=grace_s))
            metadata["deletionGracePeriodSeconds"] = grace_s
        drop_empty(metadata)
        if resource.key == NAMESPACES:
            section(document, "status")["phase"] = "Terminating"
        if resource.key == DEFINITIONS:
            message = "CustomResource deletion is in progress"
            crds.set_condition(
                section(document, "status"), "Terminating", "True", "InstanceDeletionInProgress", message
            )
        if "generation" in metadata and metadata != before:
            metadata["generation"] += 1

    def remove_if_done(self, resource: Resource, key: ObjectKey, *finalizers: str) -> bool:
        """Take finalizers off an object that is being deleted, and remove it if nothing else holds it."""
        record = self._store.get(resource.key, key)
        if record is None:
            return True
        document = record.load()
        metadata = document["metadata"]
        remaining = [each for each in items(metadata, "finalizers") if each not in finalizers]
        if not remaining and not (resource.key == PODS and metadata.get("deletionGracePeriodSeconds")):
            self._store.remove(resource.key, key)
            return True
        if remaining != items(metadata, "finalizers"):
            metadata["finalizers"] = remaining
            drop_empty(metadata)
            self._store.put(resource.key, document)
        return False


def may_go(resource: Resource, document: Document) -> bool:
    """Say whether an object marked for deletion is held by nothing any more."""
    metadata = document["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers") or resource.key == NAMESPACES:
        return False
    return not (resource.key == PODS and metadata.get("deletionGracePeriodSeconds"))


def _require_preconditions(resource: Resource, metadata: Document, options: DeleteOptions) -> None:
    for wanted, actual, word in (
        (options.uid, metadata["uid"], "UID"),
        (options.resource_version, metadata["resourceVersion"], "ResourceVersion"),
    ):
        if wanted and wanted != actual:
            why = f"Precondition failed: {word} in precondition: {wanted}, {word} in object meta: {actual}"
            raise conflict(resource, metadata["name"], why)


def _grace_period_s(resource: Resource, document: Document, options: DeleteOptions) -> int:
    """Return how long a Pod may take to stop; everything else goes at once."""
    if resource.key != PODS or not dig(document, ("spec", "nodeName")):
        return 0
    if dig(document, ("status", "phase")) in ("Succeeded", "Failed"):
        return 0
    if options.grace_period_s is not None:
        return options.grace_period_s
    default: int = document["spec"].get("terminationGracePeriodSeconds", 30)
    return default
