"""Schemas: what is dropped, filled in and refused; and what is not looked at again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_local.apiserver.builtin_schemas import schema_names, schema_of
from luna_local.apiserver.constraints import compile_pattern
from luna_local.apiserver.errors import FieldProblem
from luna_local.apiserver.schema import ABSENT, compile_schema
from support.hostile_json import ANY_JSON


def problems_of(schema: dict[str, Any], value: Any, old: Any = ABSENT) -> list[FieldProblem]:
    found: list[FieldProblem] = []
    compile_schema(schema).validate(value, "v", found, old)
    return found


def conformed(schema: dict[str, Any], value: Any) -> tuple[Any, list[str]]:
    unknown: list[str] = []
    compile_schema(schema).conform(value, "", unknown)
    return value, unknown


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string"}, ["", "x"], [1, True, [], {}]),
        ({"type": "integer"}, [0, -1, 2.0], ["1", 1.5, True]),
        ({"type": "number"}, [0, 1.5], ["1", False]),
        ({"type": "boolean"}, [True, False], [0, "true"]),
        ({"type": "array", "items": {"type": "string"}}, [[], ["a"]], ["a", [1], [None]]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, [{}, {"a": 1}], [[], {"a": "b"}]),
        ({"type": "string", "nullable": True}, [None, "x"], [1]),
        ({"x-kubernetes-int-or-string": True}, [1, "a"], [True, 1.5, []]),
        ({"type": "string", "enum": ["a", "b"]}, ["a"], ["c", ""]),
        ({"type": "integer", "minimum": 1, "maximum": 3}, [1, 3], [0, 4]),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": True}, [1.1], [1]),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": True}, [0.9], [1]),
        ({"type": "integer", "multipleOf": 5}, [0, 10], [3]),
        ({"type": "integer", "format": "int32"}, [2**31 - 1], [2**31]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "äöü"], ["a", "abcd"]),
        ({"type": "string", "pattern": "^a+$"}, ["aa"], ["b", "a\n", "xaa"]),
        ({"type": "array", "minItems": 1, "maxItems": 2}, [[1]], [[], [1, 2, 3]]),
        ({"type": "object", "minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}]),
        ({"type": "object", "required": ["a"]}, [{"a": None}], [{}]),
        ({"type": "array", "x-kubernetes-list-type": "set"}, [[1, 2]], [[1, 1]]),
        ({"type": "string", "anyOf": [{"minLength": 3}, {"enum": ["a"]}]}, ["abc", "a"], ["b"]),
        ({"type": "string", "oneOf": [{"minLength": 3}, {"enum": ["abc"]}]}, ["xyz"], ["abc", "b"]),
        ({"type": "string", "allOf": [{"minLength": 2}, {"maxLength": 3}]}, ["ab"], ["a", "abcd"]),
        ({"type": "string", "not": {"enum": ["a"]}}, ["b"], ["a"]),
        ({"type": "string", "format": "date-time"}, ["2026-01-01T00:00:00Z"], ["2026-01-01", "soon"]),
        ({"type": "string", "format": "uuid"}, ["8950722f-3fd4-4223-b48f-03f95f0e8dfb"], ["x"]),
        ({"type": "string", "format": "ipv4"}, ["127.0.0.1"], ["127.0.0.256", "::1"]),
        ({"type": "string", "format": "byte"}, ["YWJj", ""], ["?"]),
        ({"type": "string", "format": "duration"}, ["1h30m", "5s"], ["soon"]),
        ({"type": "string", "format": "nobody-knows"}, ["x"], []),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else None,
)  # fmt: skip
def test_a_constraint_lets_good_values_through_and_names_bad_ones(schema: Any, good: list[Any], bad: list[Any]) -> None:
    assert {repr(value): problems_of(schema, value) for value in good} == {repr(value): [] for value in good}
    for value in bad:
        assert problems_of(schema, value), value
        assert problems_of(schema, value)[0].path.startswith("v")


def test_a_keyed_list_may_name_each_key_once() -> None:
    item = {"type": "object", "properties": {"k": {"type": "string", "default": "d"}, "v": {"type": "integer"}}}
    schema = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    assert problems_of(schema, [{"k": "a", "v": 1}, {"k": "b", "v": 1}]) == []
    assert problems_of(schema, [{"k": "a", "v": 1}, {"k": "a", "v": 2}])[0].reason == "FieldValueDuplicate"
    assert problems_of(schema, [{"k": "d"}, {}])[0].reason == "FieldValueDuplicate"


def test_unknown_fields_go_wherever_nobody_keeps_them() -> None:
    inner = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": an_object()}}
    schema = an_object(kept=inner, listed={"type": "array", "items": an_object(a={"type": "string"})})
    value = {"x": 1, "kept": {"y": 1, "a": {"z": 1}}, "listed": [{"a": "", "b": 1}]}
    assert conformed(schema, value) == (
        {"kept": {"y": 1, "a": {}}, "listed": [{"a": ""}]},
        ["x", "kept.a.z", "listed[0].b"],
    )


def test_an_embedded_object_keeps_what_makes_it_one() -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": an_object()}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}, "other": 1}
    value, unknown = conformed(an_object(pod=embedded), {"pod": pod})
    assert value["pod"].keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert unknown == ["pod.other"]


def test_defaults_fill_in_what_is_absent_or_null_also_inside_defaults() -> None:
    limits = {**an_object(cpu={"type": "integer", "default": 2}), "default": {}}
    schema = an_object(a={"type": "integer", "default": 1}, limits=limits, b={"type": "string", "default": "x"})
    assert conformed(schema, {"b": None})[0] == {"a": 1, "b": "x", "limits": {"cpu": 2}}
    assert conformed(schema, {"a": 5, "limits": {"cpu": 3}})[0] == {"a": 5, "b": "x", "limits": {"cpu": 3}}


def test_a_default_is_a_copy_each_time() -> None:
    schema = compile_schema(
        an_object(a={"type": "object", "default": {}, "x-kubernetes-preserve-unknown-fields": True})
    )
    first: dict[str, Any] = {}
    schema.conform(first, "", [])
    first["a"]["spoilt"] = True
    second: dict[str, Any] = {}
    schema.conform(second, "", [])
    assert second == {"a": {}}


def test_null_means_nothing_unless_it_may() -> None:
    schema = an_object(a={"type": "string"}, b={"type": "string", "nullable": True})
    assert conformed(schema, {"a": None, "b": None})[0] == {"b": None}


def test_what_did_not_change_is_not_looked_at_again() -> None:
    schema = an_object(a={"type": "string", "maxLength": 1}, b={"type": "string", "maxLength": 1})
    old = {"a": "too long", "b": "x"}
    assert problems_of(schema, {"a": "too long", "b": "y"}, old) == []
    assert [each.path for each in problems_of(schema, {"a": "too long", "b": "long too"}, old)] == ["v.b"]
    assert [each.path for each in problems_of(schema, {"a": "longer still"}, old)] == ["v.a"]


def test_true_is_not_one() -> None:
    assert problems_of(an_object(a={"type": "integer"}), {"a": True}, {"a": 1})


@given(value=ANY_JSON)
def test_conforming_twice_changes_nothing_more(value: Any) -> None:
    schema = compile_schema({**an_object(a=an_object(b={"type": "integer", "default": 1})), "nullable": True})
    schema.conform(value, "x", [])
    before = repr(value)
    unknown: list[str] = []
    schema.conform(value, "x", unknown)
    assert (repr(value), unknown) == (before, [])


@given(value=ANY_JSON, name=st.sampled_from(sorted(schema_names().values())))
def test_built_in_schemas_take_anything_without_stumbling(value: Any, name: str) -> None:
    schema = schema_of(name)
    document = {"spec": value, "metadata": value, "status": value}
    schema.conform(document, "", [])
    schema.validate(document, "", [])


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [("^a$", "a\n", False), ("[$]", "$", True), (r"a\$", "a$", True), (r"a\z", "a", True), ("a|b$", "xb", True)],
)
def test_patterns_mean_what_they_mean_in_go(pattern: str, text: str, found: bool) -> None:
    assert (compile_pattern(pattern).search(text) is not None) is found
