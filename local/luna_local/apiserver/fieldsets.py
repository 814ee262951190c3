"""Sets of field paths, in the form of ``metadata.managedFields`` (structured-merge-diff's FieldsV1).

A path is a tuple of elements: ``f:NAME`` for a field or map entry, ``k:{"key":"value"}`` for an item of a map list,
``v:VALUE`` for an item of a set list. Atomic lists and maps are leaves. A schema says which is which; without one,
mappings are granular and lists atomic.
"""

from __future__ import annotations

from typing import Any

import orjson

from luna_local.apiserver.documents import Document, same
from luna_local.apiserver.schema import Schema

Path = tuple[str, ...]
FieldSet = frozenset[Path]

_ABSENT = object()


def is_granular(value: Any, schema: Schema | None) -> bool:
    """Say whether parts of a value can be owned separately."""
    if isinstance(value, dict):
        return schema is None or schema.map_type != "atomic"
    return isinstance(value, list) and schema is not None and schema.list_type in ("map", "set")


def members(value: Any, schema: Schema | None) -> FieldSet:
    """Return the paths a value consists of: its leaves, and the items of its map lists."""
    found: set[Path] = set()
    _collect(value, schema, (), found)
    return frozenset(found)


def _collect(value: Any, schema: Schema | None, path: Path, found: set[Path]) -> None:
    children = _children(value, schema) if is_granular(value, schema) else None
    if not children:
        found.add(path)
        return
    for element, child, below in children:
        place = (*path, element)
        if element[0] != "f" or (schema is not None and schema.additional is not None):
            found.add(place)
        if element[0] != "v":
            _collect(child, below, place, found)


def _children(value: Any, schema: Schema | None) -> list[tuple[str, Any, Schema | None]]:
    if isinstance(value, dict):
        return [(f"f:{name}", child, schema.child(name) if schema else None) for name, child in value.items()]
    assert schema is not None  # noqa: S101 lists without a schema are atomic
    return [(item_element(item, schema), item, schema.items) for item in value]


def item_element(item: Any, schema: Schema) -> str:
    """Return the path element of an item of a map or set list."""
    prefix = "k" if schema.list_type == "map" else "v"
    return f"{prefix}:{orjson.dumps(schema.item_key(item), option=orjson.OPT_SORT_KEYS).decode()}"


def value_at(value: Any, schema: Schema | None, path: Path) -> Any:
    """Return what lies at a path; a value of its own (`is_absent`) if nothing does."""
    for element in path:
        if element[0] == "f":
            if not isinstance(value, dict) or element[2:] not in value:
                return _ABSENT
            value = value[element[2:]]
            schema = schema.child(element[2:]) if schema else None
            continue
        if schema is None or not isinstance(value, list):
            return _ABSENT
        items = (item for item in value if item_element(item, schema) == element)
        value, schema = next(items, _ABSENT), schema.items
    return value


def is_absent(value: Any) -> bool:
    """Say whether `value_at` found nothing."""
    return value is _ABSENT


def same_at(one: Any, other: Any, schema: Schema | None, path: Path) -> bool:
    """Say whether two values agree at a path; of something with parts of its own, only whether both have it."""
    first, second = value_at(one, schema, path), value_at(other, schema, path)
    if is_absent(first) or is_absent(second):
        return first is second
    below = _schema_at(schema, path)
    if is_granular(first, below) and is_granular(second, below) and type(first) is type(second):
        return True
    return same(first, second)


def remove_at(value: Any, schema: Schema | None, path: Path) -> None:
    """Remove what lies at a path from a document, if there is anything."""
    parent = value_at(value, schema, path[:-1])
    element = path[-1]
    if element[0] == "f":
        if isinstance(parent, dict):
            parent.pop(element[2:], None)
        return
    below = _schema_at(schema, path[:-1])
    if isinstance(parent, list) and below is not None:
        parent[:] = [item for item in parent if item_element(item, below) != element]


def _schema_at(schema: Schema | None, path: Path) -> Schema | None:
    for element in path:
        if schema is None:
            return None
        schema = schema.child(element[2:]) if element[0] == "f" else schema.items if element[0] == "k" else None
    return schema


def with_ancestors(paths: FieldSet) -> FieldSet:
    """Return a set together with every path above its paths."""
    return frozenset(path[:depth] for path in paths for depth in range(1, len(path) + 1))


def to_fields_v1(paths: FieldSet) -> Document:
    """Return the FieldsV1 form of a set."""
    root: Document = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _without_lone_dots(root)


def _without_lone_dots(node: Document) -> Document:
    if node.keys() == {"."}:
        return {}
    return {name: ({} if name == "." else _without_lone_dots(child)) for name, child in node.items()}


def from_fields_v1(fields: Any) -> FieldSet:
    """Return the set written in FieldsV1 form.

    Raises:
        ValueError: when it is none.
    """
    found: set[Path] = set()
    _parse(fields, (), found)
    return frozenset(found)


def _parse(fields: Any, path: Path, found: set[Path]) -> None:
    if not isinstance(fields, dict):
        raise ValueError("FieldsV1 consists of mappings")
    if path and (not fields or "." in fields):
        found.add(path)
    for element, below in fields.items():
        if element == ".":
            continue
        if element[:2] not in ("f:", "k:", "v:", "i:"):
            raise ValueError(f"{element!r} is no FieldsV1 path element")
        _parse(below, (*path, element), found)
