"""Strategic merge of a pod template override: what `kubectl patch --type strategic` makes of the same two documents.

Maps are merged key by key, null removes. Lists that Kubernetes merges by a key are merged so; all others are replaced.
Directives: `$patch: delete` removes a list item or empties a map, `$patch: replace` replaces a map or list instead of
merging it, `$retainKeys` removes all other keys, `$setElementOrder/LIST` orders a list.
Source: k8s.io/apimachinery strategicpatch, and the patchMergeKey tags of k8s.io/api/core/v1 PodSpec; tests compare both
with a real API server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]

MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ports": "containerPort",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""The lists below a PodSpec that are merged, by field name, and what their items are told apart by."""

_DIRECTIVE, _RETAIN_KEYS, _SET_ORDER = "$patch", "$retainKeys", "$setElementOrder/"


class InvalidOverride(ValueError):
    """The override is not a strategic merge patch; the message says where and why."""


def merge(base: Json, override: Json) -> Json:
    """Return the base with the override merged into it; neither is changed.

    Raises:
        InvalidOverride: if a directive or a list item makes no sense.
    """
    directive = override.get(_DIRECTIVE)
    if directive is not None:
        _check(directive)
        is_replaced = directive == "replace"
        return {key: value for key, value in override.items() if key != _DIRECTIVE} if is_replaced else {}
    merged = _retained(base, override)
    reordered = [key.removeprefix(_SET_ORDER) for key in override if key.startswith(_SET_ORDER)]
    fields: Json = {key: [] for key in reordered if isinstance(merged.get(key), list)}
    fields |= {key: value for key, value in override.items() if not key.startswith("$")}
    for key, value in fields.items():
        before = merged.get(key)
        if value is None or (key not in merged and _is_gone(value)):
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(before, dict):
            merged[key] = merge(before, value)
        elif isinstance(value, list) and isinstance(before, list) and key in MERGE_KEYS:
            merged[key] = _merge_list(key, before, value, override.get(_SET_ORDER + key))
        else:
            merged[key] = _plain(value)
    return merged


def _check(directive: object) -> None:
    if directive not in ("delete", "replace"):
        raise InvalidOverride(f"$patch is delete or replace, not {directive!r}")


def _retained(base: Json, override: Json) -> Json:
    """Return what the override keeps of the base."""
    for key in override:
        known = key in (_DIRECTIVE, _RETAIN_KEYS) or key.removeprefix(_SET_ORDER) in MERGE_KEYS
        if key.startswith("$") and not known:
            raise InvalidOverride(f"{key} is not a directive that makes sense here")
    kept = override.get(_RETAIN_KEYS)
    if kept is None:
        return dict(base)
    if not isinstance(kept, list):
        raise InvalidOverride("$retainKeys is a list of keys")
    given = [key for key, value in override.items() if value is not None and not key.startswith("$")]
    if unlisted := [key for key in given if key not in kept]:
        raise InvalidOverride(f"$retainKeys does not list {unlisted[0]}, which the override sets")
    return {key: value for key, value in base.items() if key in kept}


def _merge_list(field: str, base: list[Any], override: list[Any], wanted: object) -> list[Any]:
    """Merge a list by its merge key; `wanted` is its $setElementOrder, None without one."""
    merge_key = MERGE_KEYS[field]
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" for item in override):
        return [_plain(item) for item in override if not (isinstance(item, dict) and _DIRECTIVE in item)]
    merged = {_identity(field, item): item for item in base}
    order = []
    for item in override:
        name = _identity(field, item)
        if _DIRECTIVE in item:
            _check(item[_DIRECTIVE])
            merged.pop(name, None)
        else:
            order.append(name)
    present = list(merged)
    for item in override:
        if _DIRECTIVE not in item:
            name = item[merge_key]
            merged[name] = merge(merged[name], item) if name in merged else _plain(item)
    if wanted is not None:
        order = [_identity(field, item) for item in wanted] if isinstance(wanted, list) else order
    return [merged[name] for name in _interleaved([n for n in order if n in merged], present)]


def _identity(field: str, item: object) -> Any:
    merge_key = MERGE_KEYS[field]
    value = item.get(merge_key) if isinstance(item, dict) else None
    if not isinstance(value, str | int):
        raise InvalidOverride(f"every item of {field} needs a {merge_key}")
    return value


def _interleaved(named: Sequence[Any], present: Sequence[Any]) -> list[Any]:
    """Return all names: those that the override names in its order, the others where they stood before them."""
    names = list(dict.fromkeys(named))
    others = [name for name in present if name not in names]
    result: list[Any] = []
    while names and others:
        is_before = names[0] in present and present.index(others[0]) < present.index(names[0])
        result.append(others.pop(0) if is_before else names.pop(0))
    return [*result, *names, *others]


def _plain(value: Any) -> Any:
    """Return a value that is merged with nothing: without nulls and directives, and without what is to be deleted.

    Here kubectl drops also a map with `$patch: replace`; nobody who writes that means it.
    """
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if not (key.startswith("$") or _is_gone(item))}
    if isinstance(value, list):
        return [_plain(item) for item in value if not _is_gone(item)]
    return value


def _is_gone(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and value.get(_DIRECTIVE) == "delete")
