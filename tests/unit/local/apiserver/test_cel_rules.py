"""CEL rules of definitions: what they see, when they run, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from luna_local.apiserver.cel_rules import compile_rules
from luna_local.apiserver.errors import FieldProblem
from luna_local.apiserver.schema import compile_schema

STRING = {"type": "string"}
INTEGER = {"type": "integer"}


def check(schema: dict[str, Any], value: Any, old: Any = None) -> list[FieldProblem]:
    tree, wrong = compile_rules(compile_schema(schema))
    assert not wrong, wrong
    assert tree is not None
    found: list[FieldProblem] = []
    tree.check(value, old, "v", found)
    return found


def ruled(schema: dict[str, Any], *rules: str, **more: Any) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": [{"rule": each, **more} for each in rules]}


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "rule", "good", "bad"),
    [
        (STRING, "self.startsWith('a')", "ab", "b"),
        (INTEGER, "self > 1 && self < 5", 3, 7),
        ({"type": "number"}, "self > 0.5", 1, 0),
        (an_object(a=STRING), "has(self.a)", {"a": ""}, {}),
        (an_object(a=INTEGER, b=INTEGER), "self.a <= self.b", {"a": 1, "b": 2}, {"a": 3, "b": 2}),
        ({"type": "array", "items": INTEGER}, "self.all(x, x > 0)", [1, 2], [1, 0]),
        ({"type": "array", "items": INTEGER}, "size(self) <= 2", [1], [1, 2, 3]),
        ({"type": "object", "additionalProperties": INTEGER}, "self.exists(k, self[k] > 1)", {"a": 2}, {"a": 1}),
        ({"type": "object", "additionalProperties": STRING}, "'x' in self", {"x": "y"}, {"y": "x"}),
        (STRING, "self.matches('^[a-z]+$')", "abc", "ABC"),
        (STRING, "self.lowerAscii() == self", "abc", "ABC"),
        (STRING, "self.split(',').size() == 2", "a,b", "a"),
        (STRING, "isURL(self) && url(self).getHostname() == 'h'", "http://h:1/x", "http://g/"),
        (STRING, "self.find('[0-9]+') == '12'", "a12b", "ab"),
        ({"type": "string", "format": "date-time"}, "self < timestamp('2026-01-01T00:00:00Z')",
         "2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ({"type": "string", "format": "duration"}, "self <= duration('1h')", "30m", "2h"),
        (an_object(namespace=STRING), "self.__namespace__ == 'a'", {"namespace": "a"}, {"namespace": "b"}),
        (an_object(**{"a-b": STRING}), "self.a__dash__b == 'a'", {"a-b": "a"}, {"a-b": "b"}),
    ],
    ids=lambda value: value if isinstance(value, str) and "self" in value else None,
)  # fmt: skip
def test_a_rule_sees_values_by_their_declared_types(schema: Any, rule: str, good: Any, bad: Any) -> None:
    assert check(ruled(schema, rule), good) == []
    assert len(check(ruled(schema, rule), bad)) == 1


def test_rules_hang_on_every_level() -> None:
    items = {"type": "array", "items": ruled(an_object(n=ruled(INTEGER, "self > 0")), "has(self.n)")}
    found = check(an_object(list=items), {"list": [{"n": 1}, {"n": 0}, {}]})
    assert [each.path for each in found] == ["v.list[1].n", "v.list[2]"]
    found = check({"type": "object", "additionalProperties": ruled(INTEGER, "self > 0")}, {"a": 0})
    assert [each.path for each in found] == ["v.a"]


def test_a_rule_says_its_message_or_its_message_expression_or_itself() -> None:
    assert check(ruled(INTEGER, "self > 1"), 0)[0].message.endswith("failed rule: self > 1")
    assert check(ruled(INTEGER, "self > 1", message="more!"), 0)[0].message.endswith(": more!")
    spoken = ruled(INTEGER, "self > 1", message="more!", messageExpression="string(self) + ' is too few'")
    assert check(spoken, 0)[0].message.endswith(": 0 is too few")
    failing = ruled(INTEGER, "self > 1", message="more!", messageExpression="string(1 / self)")
    assert check(failing, 0)[0].message.endswith(": more!")


def test_a_rule_may_point_elsewhere_and_give_another_reason() -> None:
    schema = ruled(an_object(a=INTEGER), "self.a > 1", fieldPath=".a", reason="FieldValueForbidden")
    found = check(schema, {"a": 0})
    assert (found[0].path, found[0].reason) == ("v.a", "FieldValueForbidden")


def test_a_rule_that_cannot_be_evaluated_refuses() -> None:
    found = check(ruled(an_object(a=an_object(b=INTEGER)), "self.a.b > 1"), {})
    assert "no such key: a" in found[0].message


def test_transition_rules_run_only_where_there_was_something_before() -> None:
    schema = an_object(a=ruled(STRING, "self == oldSelf", message="fixed"))
    assert check(schema, {"a": "x"}) == []
    assert check(schema, {"a": "x"}, {}) == []
    assert check(schema, {"a": "x"}, {"a": "x"}) == []
    assert check(schema, {"a": "y"}, {"a": "x"})[0].message.endswith("fixed")


def test_transition_rules_run_even_when_nothing_changed() -> None:
    schema = an_object(a=ruled(INTEGER, "self > oldSelf"))
    assert check(schema, {"a": 1}, {"a": 1})


def test_an_optional_old_value_lets_a_rule_run_at_creation() -> None:
    schema = an_object(a=ruled(STRING, "oldSelf.hasValue() || self == 'new'", optionalOldSelf=True))
    assert check(schema, {"a": "new"}) == []
    assert check(schema, {"a": "x"})
    assert check(schema, {"a": "x"}, {"a": "y"}) == []


def test_other_rules_do_not_run_where_nothing_changed() -> None:
    schema = an_object(a=ruled(INTEGER, "self > 5"), b=INTEGER)
    assert check(schema, {"a": 1, "b": 2}, {"a": 1, "b": 1}) == []
    assert check(schema, {"a": 2, "b": 1}, {"a": 1, "b": 1})
    beside_a_transition = ruled(INTEGER, "self > 5", "self >= oldSelf")
    assert check(beside_a_transition, 1, 1) == []
    assert len(check(beside_a_transition, 0, 1)) == 2


def test_items_of_a_keyed_list_are_matched_by_their_keys() -> None:
    item = an_object(k=STRING, v=ruled(INTEGER, "self >= oldSelf"))
    schema = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    old = [{"k": "a", "v": 1}, {"k": "b", "v": 5}]
    assert check(schema, [{"k": "b", "v": 5}, {"k": "a", "v": 2}, {"k": "c", "v": 0}], old) == []
    assert [each.path for each in check(schema, [{"k": "b", "v": 4}, {"k": "a", "v": 1}], old)] == ["v[0].v"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("self >", "Syntax error"),
        ("nobody > 1", "undeclared reference to 'nobody'"),
        ("self.nothing(1)", "undeclared reference to 'nothing'"),
        ("", "compilation failed"),
    ],
)
def test_a_rule_that_does_not_compile_is_refused_with_its_place(rule: str, said: str) -> None:
    _, wrong = compile_rules(compile_schema(an_object(a=ruled(INTEGER, rule))))
    assert said in wrong[0].message
    assert wrong[0].path == "properties[a].x-kubernetes-validations[0].rule"


def test_variables_of_macros_are_no_unknown_names() -> None:
    schema = ruled({"type": "array", "items": INTEGER}, "self.filter(x, x > 1).map(y, y * 2).exists_one(z, z == 4)")
    assert check(schema, [1, 2]) == []
