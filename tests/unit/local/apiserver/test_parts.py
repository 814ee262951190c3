"""Smaller parts of the server: selectors, columns, lists, resources, protobuf, definitions, Events."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_local.apiserver import ApiError, EmbeddedApiServer, protobuf
from luna_local.apiserver import lists as lists_module
from luna_local.apiserver.builtins import builtin_resources
from luna_local.apiserver.columns import age, declared_columns, pod_status
from luna_local.apiserver.documents import timestamp
from luna_local.apiserver.lists import Lists
from luna_local.apiserver.resources import EVENTS, Registry, Resource
from luna_local.apiserver.schema import compile_schema
from luna_local.apiserver.selectors import matcher
from luna_local.apiserver.store import Record, Store
from support.kubernetes_api import a_camera, a_definition

THINGS = Resource("luna.test", "v1", "things", "Thing", compile_schema({"type": "object"}), selectable=("spec.on",))


def a_record(labels: dict[str, str] | None = None, **document: Any) -> Record:
    metadata = {"name": "t", "namespace": "n", "uid": "u", "labels": labels or {}}
    return Record({"apiVersion": "luna.test/v1", "metadata": metadata, **document}, 1, THINGS.selectable)


# --- selectors ----------------------------------------------------------------------------------------------------

_KEYS, _VALUES = st.sampled_from(["a", "b", "x.y/z"]), st.sampled_from(["", "1", "2"])


@given(key=_KEYS, value=_VALUES, labels=st.dictionaries(_KEYS, _VALUES))
def test_label_selectors_agree_with_their_meaning(key: str, value: str, labels: dict[str, str]) -> None:
    def selects(text: str) -> bool:
        test = matcher(THINGS, text, "")
        assert test is not None
        return test(a_record(labels))

    actual = labels.get(key)
    assert selects(f"{key}={value}") is (actual == value)
    assert selects(f"{key}!={value}") is (actual != value)
    assert selects(f"{key} in ({value},none)") is (actual in (value, "none"))
    assert selects(f"{key} notin ({value})") is (actual != value)
    assert selects(key) is (actual is not None)
    assert selects(f"!{key}") is (actual is None)
    assert selects(f"{key}>1") is (actual == "2")
    assert selects(f"{key}, !none") is (actual is not None)


def test_field_selectors_compare_text() -> None:
    on = a_record(spec={"on": True})
    for text, holds in (
        ("spec.on=true", True),
        ("spec.on!=true", False),
        ("metadata.name=t,metadata.namespace=n", True),
        ("metadata.name=t,spec.on=", False),
    ):
        test = matcher(THINGS, "", text)
        assert test is not None
        assert test(on) is holds
    assert matcher(THINGS, "", "") is None


@pytest.mark.parametrize("fields", ["spec.off=1", "metadata.name", "metadata.name>x"])
def test_a_field_selector_that_makes_no_sense_is_refused(fields: str) -> None:
    with pytest.raises(ApiError) as refused:
        matcher(THINGS, "", fields)
    assert refused.value.code == 400


# --- columns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (200, "3m20s"), (3600, "60m"), (10_800, "3h"), (12_000, "3h20m"),
     (30_000, "8h"), (172_800, "2d"), (180_000, "2d2h"), (800_000, "9d")],
)  # fmt: skip
def test_ages_are_written_as_kubectl_writes_them(seconds: int, shown: str) -> None:
    at = datetime.now(UTC) - timedelta(seconds=seconds)
    assert age(at.isoformat()) == shown


def test_an_age_of_nothing_is_unknown() -> None:
    assert age(None) == age("rubbish") == "<unknown>"


@pytest.mark.parametrize(
    ("pod", "shown"),
    [
        ({"status": {"phase": "Running"}}, "Running"),
        ({"status": {"phase": "Failed", "reason": "Evicted"}}, "Evicted"),
        ({"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePull"}}}]}}, "ImagePull"),
        ({"status": {"containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}]}}, "Completed"),
        ({"status": {"containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}}, "ExitCode:3"),
        ({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}, "Terminating"),
        ({}, "Unknown"),
    ],
)  # fmt: skip
def test_the_status_of_a_pod_is_the_reason_that_matters(pod: Any, shown: str) -> None:
    assert pod_status(pod) == shown


def test_declared_columns_show_values_by_their_type() -> None:
    declared: list[dict[str, Any]] = [
        {"name": "Texts", "type": "string", "jsonPath": ".a"},
        {"name": "Number", "type": "integer", "jsonPath": ".b", "priority": 1},
        {"name": "Since", "type": "date", "jsonPath": ".c"},
    ]
    document = {"metadata": {"name": "t"}, "a": ["x"], "b": 3, "c": timestamp()}
    columns = declared_columns(declared)
    assert [column.value(document) for column in columns][:3] == ["t", '["x"]', 3]
    assert columns[3].value(document).endswith("s")
    assert [column.value({"metadata": {"name": "t"}}) for column in columns] == ["t", None, None, None]
    assert [column.name for column in declared_columns([])] == ["Name", "Age"]


# --- lists --------------------------------------------------------------------------------------------------------


def test_unfinished_lists_are_forgotten_in_time_and_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    for name in "abc":
        store.put(THINGS.key, {"apiVersion": "luna.test/v1", "metadata": {"name": name, "namespace": "n", "uid": name}})
    lists = Lists(store)
    first = lists.page(THINGS, "", {"limit": "1"})
    monkeypatch.setattr(lists_module, "MOST_UNFINISHED", 2)
    for _ in range(3):
        lists.page(THINGS, "", {"limit": "1"})
    with pytest.raises(ApiError) as gone:
        lists.page(THINGS, "", {"limit": "1", "continue": first.next_token})
    assert (gone.value.code, gone.value.reason) == (410, "Expired")
    kept = lists.page(THINGS, "", {"limit": "1"})
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + lists_module.LIFETIME_S + 1)
    with pytest.raises(ApiError):
        lists.page(THINGS, "", {"limit": "1", "continue": kept.next_token})


def test_a_list_of_an_exact_past_version_is_gone() -> None:
    store = Store()
    store.put(THINGS.key, {"apiVersion": "luna.test/v1", "metadata": {"name": "a", "namespace": "n", "uid": "a"}})
    lists = Lists(store)
    exact = {"resourceVersionMatch": "Exact", "resourceVersion": str(store.version)}
    assert len(lists.page(THINGS, "", exact).records) == 1
    with pytest.raises(ApiError) as gone:
        lists.page(THINGS, "", {**exact, "resourceVersion": "1"})
    assert gone.value.code == 410


# --- resources ----------------------------------------------------------------------------------------------------


def test_versions_are_ordered_by_stability_and_number() -> None:
    registry = Registry()
    versions = ["v1alpha1", "v2", "v1beta2", "v1", "v10", "v1beta1", "v2alpha1"]
    registry.serve([Resource("luna.test", each, "things", "Thing", THINGS.schema) for each in versions])
    assert list(registry.groups()["luna.test"]) == ["v10", "v2", "v1", "v1beta2", "v1beta1", "v2alpha1", "v1alpha1"]


def test_every_built_in_kind_has_a_schema_of_its_own_and_a_short_name_at_most_once() -> None:
    resources = builtin_resources()
    assert all(resource.schema.properties["metadata"] for resource in resources)
    short_names = [name for resource in resources for name in resource.short_names]
    assert len(short_names) == len(set(short_names))


# --- definitions --------------------------------------------------------------------------------------------------


def a_server_with_cameras() -> EmbeddedApiServer:
    server = EmbeddedApiServer()
    server.apply(a_definition())
    return server


def test_a_kind_that_another_definition_has_is_not_accepted() -> None:
    server = a_server_with_cameras()
    second = server.apply(a_definition("othercameras", "Camera"))
    conditions = {each["type"]: each["status"] for each in second["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "False", "Established": "False"}
    server.apply(a_camera("one"))
    assert len(list(server.list("contract.luna.test/v1", "Camera"))) == 1


def test_all_versions_show_the_same_objects() -> None:
    server = EmbeddedApiServer()
    definition = a_definition()
    old = {**definition["spec"]["versions"][0], "name": "v1beta1", "storage": False}
    definition["spec"]["versions"].append(old)
    server.apply(definition)
    server.apply({**a_camera("one"), "apiVersion": "contract.luna.test/v1beta1"})
    found = server.get("contract.luna.test/v1", "Camera", "one", "default")
    assert found is not None
    assert found["apiVersion"] == "contract.luna.test/v1"


def test_a_new_schema_holds_from_the_next_write_on_and_spares_what_does_not_change() -> None:
    server = a_server_with_cameras()
    server.apply(a_camera("one", spec={"mode": "night"}))
    stricter = a_definition()
    spec = stricter["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["mode"]["enum"] = ["day"]
    server.apply(stricter)
    changed = server.apply(a_camera("one", spec={"mode": "night", "fps": 3}))
    assert changed["spec"]["fps"] == 3
    with pytest.raises(ApiError, match="Unsupported value"):
        server.apply(a_camera("two", spec={"mode": "night"}))


def test_fields_become_selectable_when_the_definition_says_so() -> None:
    server = a_server_with_cameras()
    server.apply(a_camera("one", spec={"mode": "night"}))
    wider = a_definition()
    wider["spec"]["versions"][0]["selectableFields"].append({"jsonPath": ".spec.url"})
    server.apply(wider)
    records = server._store.table(("contract.luna.test", "cameras")).select("", None)
    assert [record.fields for record in records] == [("night", "rtsp://camera/1")]


# --- Events -------------------------------------------------------------------------------------------------------


def test_events_are_forgotten_an_hour_after_they_last_happened() -> None:
    server = EmbeddedApiServer()
    now = datetime.now(UTC)

    def an_event(name: str, **times: Any) -> None:
        about = {"kind": "Pod", "name": "p", "namespace": "default"}
        metadata = {"name": name, "namespace": "default"}
        server.apply({"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": about, **times})

    an_event("new")
    an_event("repeated", lastTimestamp=timestamp(now + timedelta(minutes=90)))
    collector = server._collector
    collector.expire_events(now + timedelta(minutes=59))
    assert len(server._store.table(EVENTS).records) == 2
    collector.expire_events(now + timedelta(minutes=62))
    assert [key[1] for key in server._store.table(EVENTS).records] == ["repeated"]
    collector.expire_events(now + timedelta(minutes=152))
    assert not server._store.table(EVENTS).records


# --- protobuf -----------------------------------------------------------------------------------------------------


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3]) + bytes([value])
    return bytes([number << 3 | 2, len(value)]) + value


def _body(kind: str, message: bytes) -> bytes:
    return b"k8s\x00" + _field(1, _field(1, b"v1") + _field(2, kind.encode())) + _field(2, message)


def test_a_protobuf_body_becomes_a_document() -> None:
    data = _field(2, _field(1, b"a") + _field(2, b"b"))
    body = _body("ConfigMap", _field(1, _field(1, b"c") + _field(8, b"")) + data + _field(4, 1))
    assert protobuf.decode(body) == {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}, "immutable": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"nonsense", 400, "not Kubernetes protobuf"),
        (b"k8s\x00\x0a\xff", 400, "cut short"),
        (_body("Unicorn", b""), 415, "protobuf Unicorn"),
        (_body("ConfigMap", _field(15, b"x")), 415, "ConfigMap with field 15"),
        (_body("ConfigMap", _field(1, 1)), 400, "not valid protobuf"),
        (_body("ConfigMap", _field(1, _field(1, b"\xff"))), 400, "not UTF-8"),
    ],
)
def test_protobuf_that_is_broken_or_unknown_is_refused(body: bytes, code: int, said: str) -> None:
    with pytest.raises(ApiError, match=said) as refused:
        protobuf.decode(body)
    assert refused.value.code == code
