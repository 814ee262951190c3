"""Writing objects: creation, update, patch, server-side apply, by the rules of the Kubernetes API (see `deletion` too).

Every method works between two awaits: it checks everything on a copy, then commits to the store in one step, so a
refused request leaves no trace. HTTP is not known here; `routes` translates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from luna_local.apiserver import apply as server_side
from luna_local.apiserver import crds, kinds
from luna_local.apiserver.deletion import may_go
from luna_local.apiserver.documents import Document, copy, dig, encode, same
from luna_local.apiserver.errors import (
    FieldProblem,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    method_not_allowed,
    not_found,
)
from luna_local.apiserver.metadata import (
    choose_name,
    drop_empty,
    keep_server_fields,
    metadata_problems,
    require_metadata,
    stamp_new,
)
from luna_local.apiserver.resources import DEFINITIONS, NAMESPACES, PODS, SERVICE_ACCOUNTS, Registry, Resource
from luna_local.apiserver.schema import ABSENT
from luna_local.apiserver.store import ObjectKey, Record, Store

_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
# Problems that mean the document is not of this kind at all; for built-in kinds a decoder would stumble over them.
_DECODING = "FieldValueTypeInvalid"


@dataclass(frozen=True)
class WriteOptions:
    """How a write shall be done.

    Attributes:
        manager: field manager.
        dry_run: check and answer, change nothing.
        field_validation: what to do about unknown fields: ``Ignore``, ``Warn`` or ``Strict``.
        subresource: the part that is written: ``status``, or empty for all the rest.
        force: with server-side apply, take over fields that others own with other values.
    """

    manager: str = "unknown"
    dry_run: bool = False
    field_validation: str = "Ignore"
    subresource: str = ""
    force: bool = False


@dataclass(frozen=True)
class Written:
    """What came of a write."""

    record: Record
    created: bool = False
    warnings: list[str] = field(default_factory=list)


class Objects:
    """The write side of the API."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    # --- reading --------------------------------------------------------------------------------------------------

    def get(self, resource: Resource, key: ObjectKey) -> Record:
        """Return an object.

        Raises:
            ApiError: 404.
        """
        record = self._store.get(resource.key, key)
        if record is None:
            raise not_found(resource, key[1])
        return record

    # --- creating -------------------------------------------------------------------------------------------------

    def create(self, resource: Resource, namespace: str, document: Document, options: WriteOptions) -> Written:
        """Create an object in a namespace (empty for cluster-wide resources).

        Raises:
            ApiError: 400, 403, 404 (no such namespace), 409 or 422.
        """
        unknown: list[str] = []
        metadata = self._begin(resource, document, unknown)
        if resource.is_ending:
            raise method_not_allowed("create not allowed while custom resource definition is terminating")
        _set_namespace(resource, metadata, namespace)
        records = self._store.table(resource.key).records
        choose_name(resource, metadata, lambda name: (namespace, name) in records)
        key = (namespace, metadata["name"])
        self._require_namespace(resource, key)
        stamp_new(resource, metadata)
        if resource.has_status:
            document.pop("status", None)
        warnings = self._conform(resource, document, unknown, options)
        kinds.rules_for(resource).on_create(document)
        drop_empty(metadata)
        self._check(resource, document, None)
        if key in records:
            raise already_exists(resource, key[1])
        self._admit(resource, document)
        if resource.key == DEFINITIONS:
            crds.accept(document, self._registry)
        server_side.track(resource, None, document, server_side.Manager(options.manager))
        return Written(self._commit(resource, document, options), created=True, warnings=warnings)

    def _begin(self, resource: Resource, document: Any, unknown: list[str]) -> Document:
        """Check that a body is an object of this resource; return its metadata."""
        if not isinstance(document, dict):
            raise bad_request("the body of the request is not an object")
        # What cannot be written as JSON (nested too deeply) would fail in odd places further on.
        encode(document)
        for name, wanted in (("kind", resource.kind), ("apiVersion", resource.api_version)):
            if document.get(name, wanted) != wanted:
                given = f"{document.get('apiVersion')}, Kind={document.get('kind')}"
                raise bad_request(
                    f"the object provided is unrecognized: {given} does not match the expected "
                    f"{resource.api_version}, Kind={resource.kind}"
                )
        storage = self._registry.any_version(resource.key) or resource
        document["apiVersion"], document["kind"] = storage.api_version, resource.kind
        return require_metadata(document, unknown)

    def _require_namespace(self, resource: Resource, key: ObjectKey) -> None:
        namespace, name = key
        if not resource.is_namespaced:
            return
        record = self._store.get(NAMESPACES, ("", namespace))
        namespaces = self._registry.any_version(NAMESPACES) or resource
        if record is None:
            raise not_found(namespaces, namespace)
        if dig(record.load(), ("status", "phase")) == "Terminating":
            raise forbidden(
                resource, name, f"unable to create new content in namespace {namespace} because it is being terminated"
            )

    def _admit(self, resource: Resource, document: Document) -> None:
        """Checks that look at other objects."""
        if resource.key == PODS:
            namespace, account = document["metadata"]["namespace"], document["spec"]["serviceAccountName"]
            if self._store.get(SERVICE_ACCOUNTS, (namespace, account)) is None:
                why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
                raise forbidden(resource, document["metadata"]["name"], why)

    # --- updating -------------------------------------------------------------------------------------------------

    def replace(self, resource: Resource, key: ObjectKey, document: Any, options: WriteOptions) -> Written:
        """Update an object to a document (PUT).

        Raises:
            ApiError: 400, 404, 409 (stale `resourceVersion`) or 422.
        """
        record = self.get(resource, key)
        if not resource.is_builtin and not dig(document, ("metadata", "resourceVersion")):
            text = "Invalid value: 0: must be specified for an update"
            raise invalid(resource, key[1], [FieldProblem("metadata.resourceVersion", text)])
        return self._update(resource, record, document, options)

    def patch(
        self, resource: Resource, key: ObjectKey, change: Callable[[Document], Any], options: WriteOptions
    ) -> Written:
        """Update an object to what `change` makes of it.

        Raises:
            ApiError: as `replace`; whatever `change` raises.
        """
        record = self.get(resource, key)
        current = record.load()
        current["apiVersion"] = resource.api_version
        return self._update(resource, record, change(current), options)

    def apply(self, resource: Resource, key: ObjectKey, config: Any, options: WriteOptions) -> Written:
        """Apply a config server-side, creating the object if need be.

        Raises:
            ApiError: as `replace`, and 409 when other managers own fields that would change.
        """
        self._begin(resource, config, [])
        config["apiVersion"] = resource.api_version
        _set_namespace(resource, config["metadata"], key[0])
        if config["metadata"].setdefault("name", key[1]) != key[1]:
            raise bad_request("the name of the object does not match the name on the URL")
        manager = server_side.Manager(options.manager, options.subresource)
        record = self._store.get(resource.key, key)
        if record is None:
            if options.subresource:
                raise not_found(resource, key[1])
            if dig(config, ("metadata", "uid")):
                raise conflict(resource, key[1], "Precondition failed: the object does not exist, but has a uid")
            document = server_side.apply(resource, None, config, manager, force=options.force)
            return self._create_applied(resource, key[0], document, options)
        live = record.load()
        live["apiVersion"] = resource.api_version
        document = server_side.apply(resource, live, config, manager, force=options.force)
        document["metadata"]["resourceVersion"] = dig(config, ("metadata", "resourceVersion"))
        return self._update(resource, record, document, options, is_apply=True)

    def _create_applied(self, resource: Resource, namespace: str, document: Document, options: WriteOptions) -> Written:
        managed = document["metadata"].pop("managedFields", None)
        written = self.create(resource, namespace, document, replace(options, dry_run=True))
        document = written.record.load()
        document["metadata"]["managedFields"] = managed
        return Written(self._commit(resource, document, options), created=True, warnings=written.warnings)

    def _update(
        self, resource: Resource, record: Record, document: Any, options: WriteOptions, *, is_apply: bool = False
    ) -> Written:
        unknown: list[str] = []
        self._begin(resource, document, unknown)
        old = record.load()
        _require_same_object(resource, document["metadata"], old["metadata"])
        document = _writable_part(resource, document, old, options.subresource)
        metadata = document["metadata"]
        keep_server_fields(metadata, old["metadata"])
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
        warnings = self._conform(resource, document, unknown, options)
        kinds.rules_for(resource).on_update(document, old)
        if not is_apply:
            server_side.track(resource, old, document, server_side.Manager(options.manager, options.subresource))
        drop_empty(metadata)
        if same(document, old):
            return Written(record, warnings=warnings)
        self._check(resource, document, old)
        if not options.subresource and _is_new_generation(resource, document, old):
            metadata["generation"] = old["metadata"].get("generation", 0) + 1
        if resource.key == DEFINITIONS and not options.subresource:
            crds.accept(document, self._registry)
        return Written(self._commit_update(resource, document, options), warnings=warnings)

    def _commit_update(self, resource: Resource, document: Document, options: WriteOptions) -> Record:
        if options.dry_run or not may_go(resource, document):
            return self._commit(resource, document, options)
        # One commit, as in kube-apiserver: the write that takes off what held the object removes it. With two, a
        # server killed between them would leave an object that ends for ever.
        metadata = document["metadata"]
        removed = self._store.remove(resource.key, (metadata.get("namespace") or "", metadata["name"]))
        metadata["resourceVersion"] = str(removed.version)
        return Record(document, removed.version, ())

    # --- checking and committing ----------------------------------------------------------------------------------

    def _conform(self, resource: Resource, document: Document, unknown: list[str], options: WriteOptions) -> list[str]:
        """Prune and default a document; return warnings about what was dropped."""
        resource.schema.conform(document, "", unknown)
        if resource.is_builtin:
            self._require_types(resource, document)
        named = [f'unknown field "{path}"' for path in dict.fromkeys(unknown)]
        if named and options.field_validation == "Strict":
            raise bad_request(f"{resource.kind} in version {resource.version!r} cannot be handled as a "
                              f"{resource.kind}: strict decoding error: {', '.join(named)}")  # fmt: skip
        return named if options.field_validation == "Warn" else []

    @staticmethod
    def _require_types(resource: Resource, document: Document) -> None:
        problems: list[FieldProblem] = []
        resource.schema.validate(document, "", problems)
        wrong = [str(each) for each in problems if each.reason == _DECODING]
        if wrong:
            raise bad_request(f"{resource.kind} cannot be decoded: {'; '.join(wrong[:5])}")

    def _check(self, resource: Resource, document: Document, old: Document | None) -> None:
        """Raise 422 for everything that is wrong with an object about to be written."""
        problems = metadata_problems(resource, document, old)
        found: list[FieldProblem] = []
        resource.schema.validate(document, "", found, ABSENT if old is None else old)
        # The published schemas of built-in kinds call fields required that kube-apiserver itself fills in elsewhere.
        problems += [
            each
            for each in found
            if not (resource.is_builtin and each.reason == "FieldValueRequired" and not each.path.startswith("spec."))
        ]
        if not found and resource.rules is not None:
            resource.rules.check(document, old, "", problems)
        known = {(each.path, each.reason) for each in problems}
        problems += [
            each for each in kinds.rules_for(resource).problems(document, old) if (each.path, each.reason) not in known
        ]
        if problems:
            raise invalid(resource, document["metadata"]["name"], problems)

    def _commit(self, resource: Resource, document: Document, options: WriteOptions) -> Record:
        if options.dry_run:
            return Record(document, self._store.version, ())
        return self._store.put(resource.key, document)


def _set_namespace(resource: Resource, metadata: Document, namespace: str) -> None:
    if not resource.is_namespaced:
        metadata.pop("namespace", None)
    elif (metadata.get("namespace") or namespace) != namespace:
        raise bad_request(
            f"the namespace of the provided object does not match the namespace sent on the request "
            f"({metadata['namespace']!r}, {namespace!r})"
        )
    else:
        metadata["namespace"] = namespace


def _require_same_object(resource: Resource, metadata: Document, old: Document) -> None:
    name = old["name"]
    if metadata.get("name", name) != name:
        raise bad_request(
            f"the name of the object ({metadata.get('name')}) does not match the name on the URL ({name})"
        )
    if resource.is_namespaced and (metadata.get("namespace") or old["namespace"]) != old["namespace"]:
        raise bad_request("the namespace of the object does not match the namespace on the URL")
    if metadata.get("uid") and metadata["uid"] != old["uid"]:
        why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {old['uid']}"
        raise conflict(resource, name, why)
    if metadata.get("resourceVersion") and metadata["resourceVersion"] != old["resourceVersion"]:
        raise conflict(resource, name, _MODIFIED)


def _writable_part(resource: Resource, document: Document, old: Document, subresource: str) -> Document:
    """Return the object as it shall be: a status write touches the status alone, any other write all but it."""
    if subresource == "status":
        result: Document = copy(old)
        if (managed := document["metadata"].get("managedFields")) is not None:
            result["metadata"]["managedFields"] = managed
        source, target = document, result
    elif resource.has_status:
        result, source, target = document, old, document
    else:
        return document
    if "status" in source:
        target["status"] = source["status"]
    else:
        target.pop("status", None)
    return result


def _is_new_generation(resource: Resource, document: Document, old: Document) -> bool:
    if not resource.has_generation:
        return False
    ignored = {"metadata", "apiVersion", "status"} if resource.has_status else {"metadata", "apiVersion"}
    names = (document.keys() | old.keys()) - ignored
    return any(document.get(name) != old.get(name) for name in names)
