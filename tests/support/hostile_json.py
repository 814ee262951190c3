"""Documents that nobody means: a valid one with something in it replaced, removed or added."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

_TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["", "a", "Pod", "1", "$patch", "default", "../..", "\x00"]))
ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXTS, inner, max_size=3)),
    max_leaves=6,
)
_NOTHING = object()


@st.composite
def spoilt(draw: st.DrawFn, documents: list[Any]) -> Any:
    """Draw one of the documents, spoilt in up to three places."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(_places(document)))
        value = draw(st.one_of(ANY_JSON, st.just(_NOTHING)))
        document = _put(document, place, value)
    return document


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(node, dict):
        found += [(*path, "extra")]
        for key, child in node.items():
            found += _places(child, (*path, key))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            found += _places(child, (*path, index))
    return found


def _put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return {} if value is _NOTHING else value
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    if value is not _NOTHING:
        parent[path[-1]] = value
    elif isinstance(parent, dict):
        parent.pop(path[-1], None)
    else:
        del parent[path[-1]]
    return document
