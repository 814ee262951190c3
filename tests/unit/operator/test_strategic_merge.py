"""Strategic merge of a pod's spec; `tests/contract/test_pod_overrides.py` compares it with API servers."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_operator.strategic_merge import InvalidOverride, merge


@pytest.mark.parametrize(
    ("base", "override", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": None, "c": 3}, {"a": 1, "c": 3}),
        ({"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": {"x": 1}}, {"a": {"$patch": "replace", "y": 2}}, {"a": {"y": 2}}),
        ({"a": {"x": 1}}, {"a": {"$patch": "delete"}}, {"a": {}}),
        ({}, {"a": {"$patch": "delete"}, "b": {"x": None, "y": 1}}, {"b": {"y": 1}}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
        (
            {"env": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]},
            {"env": [{"name": "b", "value": "3"}, {"name": "c", "value": "4"}]},
            {"env": [{"name": "a", "value": "1"}, {"name": "b", "value": "3"}, {"name": "c", "value": "4"}]},
        ),
        ({"env": [{"name": "a"}]}, {"env": [{"name": "b"}]}, {"env": [{"name": "b"}, {"name": "a"}]}),
        ({"env": [{"name": "a"}, {"name": "b"}]}, {"env": [{"name": "a", "$patch": "delete"}]},
         {"env": [{"name": "b"}]}),
        ({"env": [{"name": "a"}]}, {"env": [{"name": "b"}, {"$patch": "replace"}]}, {"env": [{"name": "b"}]}),
        ({}, {"env": [{"name": "b", "$patch": "delete"}]}, {"env": []}),
        (
            {"volumes": [{"name": "a", "emptyDir": {}}]},
            {"volumes": [{"name": "a", "$retainKeys": ["name", "hostPath"], "hostPath": {}}]},
            {"volumes": [{"name": "a", "hostPath": {}}]},
        ),
        (
            {"env": [{"name": "a"}, {"name": "b"}]},
            {"$setElementOrder/env": [{"name": "b"}, {"name": "a"}]},
            {"env": [{"name": "b"}, {"name": "a"}]},
        ),
        ({"env": "text"}, {"env": [{"name": "a"}]}, {"env": [{"name": "a"}]}),
    ],
)  # fmt: skip
def test_merging(base: dict[str, Any], override: dict[str, Any], merged: dict[str, Any]) -> None:
    before = copy.deepcopy((base, override))
    assert merge(base, override) == merged
    assert (base, override) == before, "neither is changed"


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ({"env": [{"nome": "b"}]}, "every item of env needs a name"),
        ({"env": ["b"]}, "every item of env needs a name"),
        ({"env": [{"$patch": "delete"}]}, "every item of env needs a name"),
        ({"env": [{"name": "a", "$patch": "merge"}]}, "$patch is delete or replace, not 'merge'"),
        ({"securityContext": {"$patch": 3}}, "$patch is delete or replace, not 3"),
        ({"env": [{"name": "a", "$retainKeys": "name"}]}, "$retainKeys is a list"),
        ({"env": [{"name": "a", "$retainKeys": ["name"], "value": "1"}]}, "$retainKeys does not list value"),
        ({"$deleteFromPrimitiveList/args": []}, "not a directive that makes sense here"),
    ],
)
def test_what_makes_no_sense_is_refused(override: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidOverride, match=re.escape(why)):
        merge({"env": [{"name": "a"}], "securityContext": {}}, override)


_NAMES = st.sampled_from("abcdef")
_VARIABLES = st.lists(st.builds(lambda name, value: {"name": name, "value": value}, _NAMES, st.text(max_size=2)),
                      unique_by=lambda item: str(item["name"]))  # fmt: skip


@given(_VARIABLES, _VARIABLES)
def test_a_merged_list_has_every_item_once_and_the_override_wins(
    base: list[dict[str, str]], override: list[dict[str, str]]
) -> None:
    merged = merge({"env": base}, {"env": override})["env"]
    wanted = {item["name"]: item["value"] for item in [*base, *override]}
    assert {item["name"]: item["value"] for item in merged} == wanted
    assert len(merged) == len(wanted)
    assert merge({"env": merged}, {"env": override})["env"] == merged, "merging again changes nothing"
    for given_list in (override, [item for item in base if item["name"] not in {o["name"] for o in override}]):
        names = [item["name"] for item in given_list]
        assert [item["name"] for item in merged if item["name"] in names] == names, "the order of each is kept"
