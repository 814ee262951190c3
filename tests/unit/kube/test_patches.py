"""A merge patch says exactly what changed."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from luna_kube import merge_patch
from support.chaos_api import apply_merge_patch

leaves = st.one_of(st.integers(), st.text(max_size=3), st.booleans(), st.lists(st.integers(), max_size=2))
keys = st.sampled_from("abcd")
objects = st.dictionaries(
    keys, st.recursive(leaves, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8), max_size=4
)


@settings(deadline=None)
@given(old=objects, new=objects)
def test_applied_to_the_old_it_gives_the_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert apply_merge_patch(old, merge_patch(old, new)) == new


@settings(deadline=None)
@given(same=objects)
def test_equal_objects_need_no_patch(same: dict[str, Any]) -> None:
    assert merge_patch(same, same) == {}


def test_only_what_differs_is_in_it() -> None:
    old = {"status": "pending", "processor": {"pod": "a", "pool": "p"}, "history": [1], "gone": 1}
    new = {"status": "pending", "processor": {"pool": "p"}, "history": [1, 2], "error": None}
    assert merge_patch(old, new) == {"processor": {"pod": None}, "history": [1, 2], "gone": None}
