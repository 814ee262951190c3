"""What changed, as a JSON merge patch: the smallest write, and none at all when nothing changed."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def merge_patch(old: Json, new: Json) -> Json:
    """Return the RFC 7386 patch that makes `new` of `old`; empty when they are equal.

    Fields that are gone become null; lists are replaced whole. A null in `new` counts as an absent field, since a
    merge patch cannot set one.
    """
    patch: Json = {key: None for key, value in old.items() if value is not None and new.get(key) is None}
    for key, value in new.items():
        before = old.get(key)
        if value is None or value == before:
            continue
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := merge_patch(before, value):
                patch[key] = inner
        else:
            patch[key] = value
    return patch
