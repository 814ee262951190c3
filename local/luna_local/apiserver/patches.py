"""The three patches of Kubernetes: JSON merge (RFC 7386), JSON patch (RFC 6902), strategic merge.

All take a document of the caller's own, change it freely and return the result. Server-side apply is in `apply`.
"""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from luna_local.apiserver.errors import bad_request, unprocessable
from luna_local.apiserver.schema import Schema

# More operations than anybody means; kube-apiserver's own bound.
MOST_OPERATIONS = 10_000
_SET_ORDER, _DELETE_FROM, _RETAIN = "$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch: null removes, mappings merge, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge_patch(target.get(key), value)
    return target


def json_patch(target: Any, operations: Any) -> Any:
    """Apply a JSON patch.

    Raises:
        ApiError: 400 when it is no JSON patch, 422 when it does not apply (a failed ``test`` among others).
    """
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise bad_request("a JSON patch is a list of operations")
    if len(operations) > MOST_OPERATIONS:
        raise bad_request(f"a JSON patch may have {MOST_OPERATIONS} operations at most")
    try:
        return jsonpatch.apply_patch(target, operations, in_place=True)
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(f"invalid JSON patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise unprocessable(str(error)) from error
    except (TypeError, KeyError, IndexError, ValueError, AttributeError) as error:
        raise unprocessable(f"the patch does not fit the object: {error}") from error


def strategic_patch(target: Any, patch: Any, schema: Schema | None) -> Any:
    """Apply a strategic merge patch: as a merge patch, but lists merge by the merge key of their schema.

    Raises:
        ApiError: 400 when a directive makes no sense.
    """
    if not isinstance(patch, dict):
        return patch
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    fields = {key: value for key, value in patch.items() if not key.startswith("$")}
    if directive == "replace":
        return fields
    if directive not in (None, "merge"):
        raise bad_request(f"unknown patch directive {directive!r}")
    target = target if isinstance(target, dict) else {}
    _retain(target, patch)
    _delete_primitives(target, patch)
    for key, value in fields.items():
        child = schema.child(key) if schema is not None else None
        if value is None:
            target.pop(key, None)
        elif isinstance(value, list):
            target[key] = _merge_list(target.get(key), value, child)
        elif isinstance(value, dict) and value.get("$patch") == "delete":
            target.pop(key, None)
        else:
            target[key] = strategic_patch(target.get(key), value, child)
    _order(target, patch, schema)
    return target


def _retain(target: dict[str, Any], patch: dict[str, Any]) -> None:
    kept = patch.get(_RETAIN)
    if kept is None:
        return
    if not isinstance(kept, list):
        raise bad_request("$retainKeys must be a list")
    for key in [key for key in target if key not in kept]:
        del target[key]


def _delete_primitives(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, gone in patch.items():
        if key.startswith(_DELETE_FROM):
            name = key.removeprefix(_DELETE_FROM)
            present = target.get(name)
            if isinstance(present, list) and isinstance(gone, list):
                target[name] = [value for value in present if value not in gone]


def _merge_list(present: Any, patch: list[Any], schema: Schema | None) -> list[Any]:
    present = present if isinstance(present, list) else []
    if schema is None or "merge" not in schema.merge_strategy:
        return patch
    if schema.merge_key is None:
        return [*present, *(value for value in patch if value not in present)]
    key = schema.merge_key
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    merged = list(present)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        at = next((i for i, old in enumerate(merged) if isinstance(old, dict) and old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del merged[at]
        elif at is None:
            merged.append(strategic_patch({}, item, schema.items))
        else:
            merged[at] = strategic_patch(merged[at], item, schema.items)
    return merged


def _order(target: dict[str, Any], patch: dict[str, Any], schema: Schema | None) -> None:
    """Put list items in the order a client asked for; items it did not name follow."""
    for directive, wanted in patch.items():
        name = directive.removeprefix(_SET_ORDER)
        present = target.get(name)
        if name == directive or not isinstance(present, list) or not isinstance(wanted, list):
            continue
        child = schema.child(name) if schema is not None else None
        key = child.merge_key if child is not None else None

        def identity(item: Any, key: str | None = key) -> Any:
            return item.get(key) if key and isinstance(item, dict) else item

        order = [identity(item) for item in wanted]
        named = [item for item in present if identity(item) in order]
        others = [item for item in present if identity(item) not in order]
        target[name] = sorted(named, key=lambda item: order.index(identity(item))) + others
