"""Server-side apply: field sets, and the rules of ownership as a state machine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from luna_local.apiserver.apply import Manager, apply, track
from luna_local.apiserver.builtin_schemas import schema_of
from luna_local.apiserver.documents import copy
from luna_local.apiserver.errors import ApiError
from luna_local.apiserver.fieldsets import from_fields_v1, members, to_fields_v1
from luna_local.apiserver.resources import Resource
from luna_local.apiserver.schema import compile_schema

_KEYED = {
    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
    "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}},
}  # fmt: skip
_SPEC = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "b": {"type": "integer"},
        "keyed": _KEYED,
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "whole": {"type": "array", "items": {"type": "string"}},
    },
}
THINGS = Resource(
    "luna.test", "v1", "things", "Thing", compile_schema({"type": "object", "properties": {"spec": _SPEC}})
)


def a_config(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "luna.test/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}


def applied(live: Any, spec: dict[str, Any], manager: str, *, force: bool = False) -> dict[str, Any]:
    return apply(THINGS, live, a_config(**spec), Manager(manager), force=force)


def owners(document: dict[str, Any]) -> dict[str, Any]:
    return {each["manager"]: each["fieldsV1"] for each in document["metadata"].get("managedFields", [])}


def test_field_sets_are_written_as_kubernetes_writes_them() -> None:
    spec = {"a": 1, "keyed": [{"k": "x", "v": 1}], "set": ["m"], "whole": ["n"]}
    assert owners(applied(None, spec, "m1"))["m1"] == {
        "f:spec": {
            "f:a": {},
            "f:keyed": {'k:{"k":"x"}': {".": {}, "f:k": {}, "f:v": {}}},
            "f:set": {'v:"m"': {}},
            "f:whole": {},
        }
    }


@given(
    spec=st.fixed_dictionaries(
        {},
        optional={
            "a": st.integers(),
            "keyed": st.lists(st.fixed_dictionaries({"k": st.sampled_from("xyz")}), unique_by=lambda each: each["k"]),
            "set": st.lists(st.sampled_from("mno"), unique=True),
        },
    )
)
def test_a_field_set_survives_being_written_down(spec: Any) -> None:
    paths = members(spec, compile_schema(_SPEC)) - {()}
    assert from_fields_v1(to_fields_v1(paths)) == paths


@pytest.mark.parametrize("fields", [1, [], {"a": {}}, {"f:a": 1}])
def test_what_is_no_field_set_is_refused(fields: Any) -> None:
    with pytest.raises(ValueError, match="FieldsV1"):
        from_fields_v1(fields)


def test_everything_belongs_to_somebody_before_the_first_apply() -> None:
    live = a_config(a=1)
    assert owners(applied(live, {"b": 2}, "m1")).keys() == {"before-first-apply", "m1"}


def test_kubectl_may_move_from_its_client_side_apply() -> None:
    live = a_config(a=1, b=1)
    live["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": '{"spec":{"a":1}}'}
    assert applied(live, {"a": 2}, "kubectl")["spec"] == {"a": 2, "b": 1}
    with pytest.raises(ApiError):
        applied(live, {"b": 2}, "kubectl")


def test_a_set_list_holds_what_all_its_managers_want() -> None:
    first = applied(None, {"set": ["m", "n"]}, "m1")
    both = applied(first, {"set": ["n", "o"]}, "m2")
    assert sorted(both["spec"]["set"]) == ["m", "n", "o"]
    assert sorted(applied(both, {"set": ["m"]}, "m1")["spec"]["set"]) == ["m", "n", "o"]
    assert sorted(applied(both, {}, "m2")["spec"]["set"]) == ["m", "n"]


def test_a_whole_list_has_one_owner() -> None:
    first = applied(None, {"whole": ["m"]}, "m1")
    with pytest.raises(ApiError, match=r"\.spec\.whole"):
        applied(first, {"whole": ["m", "n"]}, "m2")


def test_the_parent_of_the_last_field_goes_with_it() -> None:
    live = applied(None, {"keyed": [{"k": "x", "v": 1}]}, "m1")
    assert "keyed" not in applied(live, {"a": 1}, "m1")["spec"]


def test_applying_to_built_in_kinds_merges_containers_by_name() -> None:
    pods = Resource("", "v1", "pods", "Pod", schema_of("io.k8s.api.core.v1.Pod"))
    live = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}}
    config = {**live, "spec": {"containers": [{"name": "b", "image": "x"}]}}
    result = apply(pods, live, config, Manager("m1"), force=False)
    assert [each["name"] for each in result["spec"]["containers"]] == ["b", "a"]


def test_managed_fields_that_make_no_sense_are_refused() -> None:
    config = a_config()
    config["metadata"]["managedFields"] = [{"manager": "m"}]
    with pytest.raises(ApiError) as refused:
        apply(THINGS, None, config, Manager("m1"), force=False)
    assert refused.value.code == 400
    new = a_config(a=2)
    new["metadata"]["managedFields"] = [{"operation": "Burn"}]
    with pytest.raises(ApiError):
        track(THINGS, a_config(a=1), new, Manager("m1"))


_SPECS = st.fixed_dictionaries({}, optional={"a": st.integers(0, 2), "b": st.integers(0, 2)})


class OwnershipMachine(RuleBasedStateMachine):
    """Applied fields stay as their owners want them until somebody takes them by force or update."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, Any] = applied(None, {}, "m0")
        self.wants: dict[str, dict[str, int]] = {}

    @rule(manager=st.sampled_from(["m1", "m2"]), spec=_SPECS, force=st.booleans())
    def apply(self, manager: str, spec: dict[str, int], force: bool) -> None:
        contested = {
            name
            for other, wanted in self.wants.items()
            for name in wanted.keys() & spec.keys()
            if other != manager and self.live["spec"].get(name) != spec[name]
        }
        try:
            self.live = applied(copy(self.live), dict(spec), manager, force=force)
        except ApiError:
            assert contested
            assert not force
            return
        assert force or not contested
        for other, wanted in self.wants.items():
            if other != manager:
                for name in contested:
                    wanted.pop(name, None)
        self.wants[manager] = dict(spec)

    @rule(spec=_SPECS)
    def update(self, spec: dict[str, int]) -> None:
        new = copy(self.live)
        changed = {name for name in ("a", "b") if new["spec"].get(name) != spec.get(name)}
        new["spec"] = dict(spec)
        track(THINGS, self.live, new, Manager("updater"))
        self.live = new
        for name in changed:
            for wanted in self.wants.values():
                wanted.pop(name, None)
            self.wants.setdefault("updater", {}).pop(name, None)
            if name in spec:
                self.wants["updater"][name] = spec[name]

    @invariant()
    def owners_have_what_they_want(self) -> None:
        for wanted in self.wants.values():
            assert wanted.items() <= self.live["spec"].items()
        recorded = {
            manager: {name.removeprefix("f:") for name in fields.get("f:spec", {}) if name != "."}
            for manager, fields in owners(self.live).items()
        }
        expected = {manager: set(wanted) for manager, wanted in self.wants.items()}
        for manager in {*recorded, *expected} - {"m0"}:
            assert recorded.get(manager, set()) == expected.get(manager, set())


TestOwnership = OwnershipMachine.TestCase
TestOwnership.settings = settings(max_examples=100, stateful_step_count=15, deadline=None)
