"""Strategic merge of a pod template override, as `kubectl patch --type strategic` does it for a Pod.

Maps are merged key by key, null removes. Lists that Kubernetes merges by a key are merged so; all others are replaced.
`$patch: delete` removes a list item, `$patch: replace` replaces a map or list instead of merging it.
Source: the patchMergeKey tags of k8s.io/api/core/v1 PodSpec and Container.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any]

_DIRECTIVE: Final = "$patch"
_MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "claims": "name",
}


def merge(base: Json, override: Json) -> Json:
    """Return the base with the override merged into it; neither is changed."""
    if override.get(_DIRECTIVE) == "replace":
        return {key: value for key, value in override.items() if key != _DIRECTIVE}
    merged = dict(base)
    for key, value in override.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            before = merged.get(key)
            merged[key] = merge(before if isinstance(before, dict) else {}, value)
        elif isinstance(value, list) and isinstance(merged.get(key), list):
            merged[key] = _merge_list(key, merged[key], value)
        else:
            merged[key] = value
    return merged


def _merge_list(field: str, base: list[Any], override: list[Any]) -> list[Any]:
    merge_key = _MERGE_KEYS.get(field)
    if {_DIRECTIVE: "replace"} in override:
        return [item for item in override if item != {_DIRECTIVE: "replace"}]
    if merge_key is None or not all(_has_key(item, merge_key) for item in (*base, *override)):
        return override  # not a list that is merged by a key, or a wrong one: the API server will say so
    merged = {item[merge_key]: item for item in base}
    for item in override:
        name = item[merge_key]
        if item.get(_DIRECTIVE) == "delete":
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name, {}), item)
    return list(merged.values())


def _has_key(item: object, merge_key: str) -> bool:
    return isinstance(item, dict) and isinstance(item.get(merge_key), str | int)
