"""Patches: rules that hold for all documents, and the directives of strategic merge."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given

from luna_local.apiserver.builtin_schemas import schema_of
from luna_local.apiserver.errors import ApiError
from luna_local.apiserver.patches import json_patch, merge_patch, strategic_patch
from support.hostile_json import ANY_JSON

POD_SPEC = schema_of("io.k8s.api.core.v1.PodSpec")
METADATA = schema_of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return value


@given(target=ANY_JSON, patch=ANY_JSON)
def test_a_merge_patch_applied_twice_changes_nothing_more(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(copy.deepcopy(once), patch) == once


@given(patch=ANY_JSON)
def test_a_merge_patch_of_nothing_gives_itself_without_nulls(patch: Any) -> None:
    assert merge_patch({}, patch) == (_without_nulls(patch) if isinstance(patch, dict) else patch)


@given(target=ANY_JSON, patch=ANY_JSON)
def test_without_a_schema_a_strategic_patch_is_a_merge_patch(target: Any, patch: Any) -> None:
    assume("$" not in repr(patch))
    assert strategic_patch(copy.deepcopy(target), patch, None) == merge_patch(copy.deepcopy(target), patch)


def merged(spec: Any, patch: Any) -> Any:
    return strategic_patch(copy.deepcopy(spec), patch, POD_SPEC)


TWO: dict[str, Any] = {"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "1"}]}


@pytest.mark.parametrize(
    ("patch", "names"),
    [
        ([{"name": "b", "image": "2"}], ["a", "b"]),
        ([{"name": "c", "image": "2"}], ["a", "b", "c"]),
        ([{"name": "a", "$patch": "delete"}], ["b"]),
        ([{"name": "x", "$patch": "delete"}], ["a", "b"]),
        ([{"$patch": "replace"}, {"name": "c", "image": "2"}], ["c"]),
    ],
)
def test_lists_merge_by_the_key_of_their_schema(patch: Any, names: list[str]) -> None:
    assert [each["name"] for each in merged(TWO, {"containers": patch})["containers"]] == names


def test_lists_without_a_key_are_replaced() -> None:
    changed = merged(TWO, {"containers": [{"name": "a", "args": ["y"]}]})
    assert changed["containers"][0] == {"name": "a", "image": "1", "args": ["y"]}


def test_the_order_of_a_list_can_be_asked_for() -> None:
    patch = {"containers": [{"name": "c"}], "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}]}
    assert [each["name"] for each in merged(TWO, patch)["containers"]] == ["c", "b", "a"]


def test_values_are_added_to_and_taken_from_a_list_of_texts() -> None:
    old = {"finalizers": ["a/b", "c/d"]}
    added = strategic_patch(copy.deepcopy(old), {"finalizers": ["e/f", "a/b"]}, METADATA)
    assert added["finalizers"] == ["a/b", "c/d", "e/f"]
    removed = strategic_patch(old, {"$deleteFromPrimitiveList/finalizers": ["a/b"]}, METADATA)
    assert removed["finalizers"] == ["c/d"]


def test_mappings_can_be_replaced_deleted_and_thinned() -> None:
    old = {"securityContext": {"runAsUser": 1, "fsGroup": 2}, "nodeSelector": {"a": "b"}}
    assert merged(old, {"securityContext": {"$patch": "replace", "runAsUser": 3}})["securityContext"] == {
        "runAsUser": 3
    }
    assert "nodeSelector" not in merged(old, {"nodeSelector": {"$patch": "delete"}})
    assert merged(old, {"$retainKeys": ["nodeSelector"]}) == {"nodeSelector": {"a": "b"}}


@pytest.mark.parametrize(
    "patch", [{"containers": [{"image": "x"}]}, {"containers": ["x"]}, {"$patch": "burn"}, {"$retainKeys": 1}]
)
def test_a_strategic_patch_that_makes_no_sense_is_refused(patch: Any) -> None:
    with pytest.raises(ApiError) as refused:
        merged(TWO, patch)
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ({}, 400),
        ([1], 400),
        ([{"op": "burn", "path": "/a"}], 400),
        ([{"path": "/a"}], 400),
        ([{"op": "test", "path": "/a", "value": 2}], 422),
        ([{"op": "remove", "path": "/none"}], 422),
        ([{"op": "add", "path": "/a/b/c", "value": 1}], 422),
        ([{"op": "replace", "path": "nowhere", "value": 1}], 422),
        ([{"op": "add", "path": "/x", "value": 1}] * 10_001, 400),
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(operations: Any, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        json_patch({"a": 1}, operations)
    assert refused.value.code == code


def test_a_json_patch_does_what_it_says_in_order() -> None:
    operations = [
        {"op": "test", "path": "/a", "value": 1},
        {"op": "add", "path": "/list/-", "value": 3},
        {"op": "move", "from": "/a", "path": "/b"},
        {"op": "copy", "from": "/b", "path": "/c~1d"},
        {"op": "remove", "path": "/list/0"},
    ]
    assert json_patch({"a": 1, "list": [1, 2]}, operations) == {"list": [2, 3], "b": 1, "c/d": 1}
