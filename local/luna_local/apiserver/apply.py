"""Server-side apply: who owns which field, conflicts, and merging what a manager applies.

As kube-apiserver does it, with one economy: an object nobody ever applied carries no managedFields. At its first apply
everything in it is attributed to a manager called ``before-first-apply``, as kube-apiserver does for objects older than
the feature, and from then on every write is tracked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from luna_local.apiserver.documents import Document, copy, dig, items, section, timestamp
from luna_local.apiserver.errors import ApiError, bad_request
from luna_local.apiserver.fieldsets import (
    FieldSet,
    Path,
    from_fields_v1,
    is_granular,
    item_element,
    members,
    remove_at,
    same_at,
    to_fields_v1,
    with_ancestors,
)
from luna_local.apiserver.resources import Resource
from luna_local.apiserver.schema import Schema

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_BEFORE_FIRST_APPLY = "before-first-apply"
# Fields nobody owns: they name the object or are set by the server.
_UNOWNED = (
    ("f:apiVersion",),
    ("f:kind",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink",
            "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "generateName",
        )
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Manager:
    """Who writes: the field manager of a request and the part of the object it writes to."""

    name: str
    subresource: str = ""


@dataclass(frozen=True)
class _Entry:
    """One entry of managedFields."""

    manager: Manager
    operation: str
    api_version: str
    time: str
    fields: FieldSet

    def document(self) -> Document:
        entry = {
            "manager": self.manager.name,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(self.fields),
        }
        return {**entry, "subresource": self.manager.subresource} if self.manager.subresource else entry


def apply(resource: Resource, live: Document | None, config: Document, manager: Manager, *, force: bool) -> Document:
    """Return the object that results when `manager` applies `config`.

    Args:
        resource: of both.
        live: the object as it is; None when it does not exist yet.
        config: what the manager wants to be so; fields it applied before and left out now are given up.
        manager: who applies.
        force: take over fields that others own with other values.

    Raises:
        ApiError: 409 for such fields without `force`, 400 for a config that cannot be merged.
    """
    if items(config, "metadata", "managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    schema = resource.schema
    config = _appliable(resource, config, manager.subresource)
    wanted = _owned(config, schema)
    base: Document = copy(live) if live is not None else {"apiVersion": resource.api_version, "kind": resource.kind}
    entries = _entries_of(base)
    if live is not None and not entries:
        entries = _entries_before_first_apply(resource, base, schema)
    mine = next((each for each in entries if (each.manager, each.operation) == (manager, "Apply")), None)
    others = [each for each in entries if each is not mine]
    result: Document = _merge(base, config, schema)
    conflicts = _conflicts(base, result, wanted, others, schema)
    if conflicts and not force and not _is_kubectl_takeover(base, conflicts, schema):
        raise _conflict_error(conflicts)

    taken = frozenset(path for _, path in conflicts)
    others = [replace(each, fields=each.fields - taken) for each in others]
    given_up = _given_up(mine.fields if mine else frozenset(), wanted, others)
    for path in sorted(given_up):
        remove_at(result, schema, path)
    is_change = mine is None or mine.fields != wanted or _is_other(result, base, resource)
    entry = _Entry(
        manager, "Apply", resource.api_version, timestamp() if is_change or mine is None else mine.time, wanted
    )
    _write_entries(result, _in_place_of(mine, entry, entries, others))
    return result


def _is_other(result: Document, base: Document, resource: Resource) -> bool:
    """Tell whether an object differs from the one that is there by more than defaults, which are filled in later."""
    if result == base:
        return False
    filled = copy(result)
    resource.schema.conform(filled, "", [])
    return bool(filled != base)


def track(resource: Resource, old: Document | None, new: Document, manager: Manager) -> None:
    """Note in `new` that `manager` changed it by other means than apply; a no-op until the first apply."""
    metadata = section(new, "metadata")
    submitted = metadata.get("managedFields")
    if submitted == [{}]:
        metadata.pop("managedFields", None)
        return
    entries = _entries_of(new) if submitted else _entries_of(old or {})
    if old is None or not entries:
        metadata.pop("managedFields", None)
        return
    schema = resource.schema
    before, after = _owned(old, schema), _owned(new, schema)
    changed = frozenset(path for path in after if path not in before or not same_at(old, new, schema, path))
    gone = before - after
    if not changed and not gone:
        _write_entries(new, entries)
        return
    mine = next((each for each in entries if (each.manager, each.operation) == (manager, "Update")), None)
    others = [replace(each, fields=each.fields - changed - gone) for each in entries if each is not mine]
    fields = ((mine.fields if mine else frozenset()) - gone) | changed
    entry = _Entry(manager, "Update", resource.api_version, timestamp(), fields)
    _write_entries(new, _in_place_of(mine, entry, entries, others))


def _appliable(resource: Resource, config: Document, subresource: str) -> Document:
    """Return the part of a config that a request may set: all but status, or status alone."""
    if subresource == "status":
        kept = ("apiVersion", "kind", "metadata", "status")
        return {name: value for name, value in config.items() if name in kept}
    if resource.has_status:
        return {name: value for name, value in config.items() if name != "status"}
    return config


def _owned(document: Document, schema: Schema) -> FieldSet:
    return frozenset(path for path in members(document, schema) if path and not _is_unowned(path))


def _is_unowned(path: Path) -> bool:
    return path == ("f:metadata",) or any(path[: len(each)] == each for each in _UNOWNED)


def _entries_of(document: Document) -> list[_Entry]:
    try:
        return [_parse_entry(each) for each in items(document, "metadata", "managedFields")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise bad_request(f"metadata.managedFields is invalid: {error}") from error


def _parse_entry(entry: Document) -> _Entry:
    manager = Manager(str(entry.get("manager") or "unknown"), str(entry.get("subresource") or ""))
    operation = entry.get("operation")
    if operation not in ("Apply", "Update"):
        raise ValueError("operation must be Apply or Update")
    fields = from_fields_v1(entry.get("fieldsV1") or {})
    return _Entry(manager, operation, str(entry.get("apiVersion") or ""), str(entry.get("time") or timestamp()), fields)


def _write_entries(document: Document, entries: Iterable[_Entry]) -> None:
    written = [entry.document() for entry in entries if entry.fields]
    if written:
        document["metadata"]["managedFields"] = written
    else:
        document["metadata"].pop("managedFields", None)


def _in_place_of(old: _Entry | None, new: _Entry, entries: list[_Entry], others: list[_Entry]) -> list[_Entry]:
    """Return `others` with the new entry where the old one was, so that nothing moves without a change."""
    at = next((index for index, each in enumerate(entries) if each is old), len(others))
    return [*others[:at], new, *others[at:]]


def _entries_before_first_apply(resource: Resource, live: Document, schema: Schema) -> list[_Entry]:
    fields = _owned(live, schema)
    return [_Entry(Manager(_BEFORE_FIRST_APPLY), "Update", resource.api_version, timestamp(), fields)]


def _conflicts(
    live: Document, merged: Document, wanted: FieldSet, others: Sequence[_Entry], schema: Schema
) -> list[tuple[_Entry, Path]]:
    """Return which fields of which other managers the merge would change."""
    return [
        (other, path)
        for other in others
        for path in sorted(wanted & other.fields)
        if not same_at(live, merged, schema, path)
    ]


def _is_kubectl_takeover(live: Document, conflicts: Sequence[tuple[_Entry, Path]], schema: Schema) -> bool:
    """Say whether all conflicts concern fields that a client-side ``kubectl apply`` had set: kubectl may move on."""
    annotation = dig(live, ("metadata", "annotations", LAST_APPLIED))
    if not isinstance(annotation, str) or any(each.manager.name != _BEFORE_FIRST_APPLY for each, _ in conflicts):
        return False
    try:
        applied = orjson.loads(annotation)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(applied, dict):
        return False
    applied_fields = _owned(applied, schema)
    return all(path in applied_fields for _, path in conflicts)


def _conflict_error(conflicts: Sequence[tuple[_Entry, Path]]) -> ApiError:
    causes = []
    for other, path in conflicts:
        using = f' with subresource "{other.manager.subresource}"' if other.manager.subresource else ""
        message = f'conflict with "{other.manager.name}"{using} using {other.api_version}'
        causes.append({"reason": "FieldManagerConflict", "message": message, "field": _dotted(path)})
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    listed = ", ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    return ApiError(409, "Conflict", f"Apply failed with {count}: {listed}", {"causes": causes})


def _dotted(path: Path) -> str:
    parts = []
    for element in path:
        if element[0] == "f":
            parts.append(f".{element[2:]}")
        elif element[0] == "k":
            keys = orjson.loads(element[2:])
            parts.append("[" + ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in keys.items()) + "]")
        else:
            parts.append(f"[={element[2:]}]")
    return "".join(parts)


def _merge(live: Any, config: Any, schema: Schema | None) -> Any:
    """Return `live` overlaid with `config`, part by part where parts are granular."""
    if not is_granular(config, schema) or type(live) is not type(config):
        return copy(config)
    if isinstance(config, dict):
        merged = dict(live)
        for name, value in config.items():
            below = schema.child(name) if schema else None
            merged[name] = _merge(live[name], value, below) if name in live else copy(value)
        return merged
    assert schema is not None  # noqa: S101 lists without a schema are atomic
    present = {item_element(item, schema): item for item in live}
    wanted = {item_element(item, schema): item for item in config}
    kept = [item for element, item in present.items() if element not in wanted]
    return [
        *(_merge(present[element], item, schema.items) if element in present else copy(item)
          for element, item in wanted.items()),
        *kept,
    ]  # fmt: skip


def _given_up(applied_before: FieldSet, wanted: FieldSet, others: Sequence[_Entry]) -> FieldSet:
    """Return the paths the manager applied before, applies no longer, and nobody else owns anything under."""
    owned_by_others: FieldSet = frozenset().union(*(each.fields for each in others))
    gone = with_ancestors(applied_before) - with_ancestors(wanted) - with_ancestors(owned_by_others)
    return frozenset(path for path in gone if not _is_unowned(path))  # metadata stays, whoever owned all in it
