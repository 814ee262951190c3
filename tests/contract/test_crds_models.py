"""CRDs and models say the same: every field, bound, enumeration and default, in both directions."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from pydantic import ValidationError

from luna_streams import naming
from luna_streams.conditions import observe_conditions
from luna_streams.v1alpha1 import Preview, PreviewUrl, StreamProcessorSpec, StreamProcessorStatus, StreamSpec, VideoInfo
from support.builders import a_group, a_record, a_spec, some_data
from support.crd_schemas import (
    MODELS,
    Field,
    Schema,
    all_fields,
    bounds,
    crds,
    fields,
    model_schema,
    part,
    validator,
    version_of,
    with_defaults,
)
from support.repository import ROOT
from support.strategies import pool_specs, specs

WORDS = ("type", "enum", "pattern", "minLength", "maxLength", "minItems", "maxItems")
FREE_FORM = tuple(
    f"StreamProcessor.spec.podTemplate.{part}" for part in ("spec", "metadata.labels", "metadata.annotations")
)
"""Objects whose fields are somebody else's."""
PARTS = [pytest.param(kind, name, id=f"{kind}.{name}") for kind, name in MODELS]
ALL = {field.name: field for field in all_fields()}


def modelled(kind: str, name: str) -> dict[str, Field]:
    """Return the fields of a model by name."""
    return {field.name: field for field in fields(model_schema(kind, name), (kind, name))}


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_a_crd_has_the_fields_of_its_model_and_no_others(kind: str, name: str) -> None:
    declared = {field.name for field in fields(part(kind, name), (kind, name))}
    assert declared == set(modelled(kind, name))


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_a_field_means_the_same_in_the_crd_and_in_the_model(kind: str, name: str) -> None:
    model = modelled(kind, name)
    differences = [
        f"{field.name}: {word} is {told(field.schema, word)!r}, in the model {told(model[field.name].schema, word)!r}"
        for field in fields(part(kind, name), (kind, name))
        for word in WORDS
        if not fits(field.schema, model[field.name].schema, word)
    ]
    assert differences == []


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_numbers_have_the_same_bounds(kind: str, name: str) -> None:
    model = modelled(kind, name)
    for field in fields(part(kind, name), (kind, name)):
        if field.schema.get("type") in ("integer", "number") and "enum" not in field.schema:
            assert bounds(field.schema) == bounds(model[field.name].schema), field.name


def told(schema: Schema, word: str) -> Any:
    """Return what a schema says, with the words that only one side has taken out."""
    value = schema.get(word)
    if word == "enum" and value is not None:
        return sorted(value, key=str)
    return value


def fits(crd: Schema, model: Schema, word: str) -> bool:
    """Tell whether both say the same. A CRD may bound the length of what a pattern bounds already: CEL counts it."""
    if word == "maxLength" and "pattern" in crd and word not in model:
        return True
    return bool(told(crd, word) == told(model, word))


@pytest.mark.parametrize(("kind", "name"), [("Stream", "spec"), ("StreamGroup", "spec"), ("StreamProcessor", "spec")])
def test_the_same_fields_are_required_and_have_the_same_defaults(kind: str, name: str) -> None:
    model = modelled(kind, name)
    for field in fields(part(kind, name), (kind, name)):
        theirs = model[field.name]
        assert field.is_required == theirs.is_required, field.name
        if not is_container(field.schema):
            assert field.schema.get("default") == theirs.schema.get("default"), field.name


def is_container(schema: Schema) -> bool:
    """Tell whether a default of this field is nothing but the defaults of its fields, or no items."""
    return bool(schema["type"] == "object" and "x" not in schema.get("properties", {})) or (
        schema["type"] == "array" and "default" not in schema
    )


@pytest.mark.parametrize(
    ("kind", "smallest"),
    [
        pytest.param("Stream", a_spec().model_dump(mode="json", by_alias=True, exclude_unset=True), id="Stream"),
        pytest.param("StreamProcessor", {}, id="StreamProcessor"),
    ],
)
def test_a_server_fills_in_what_the_model_would(kind: str, smallest: dict[str, Any]) -> None:
    model = MODELS[kind, "spec"]
    plain = json.loads(json.dumps(smallest))
    filled = with_defaults(part(kind, "spec"), plain)
    assert model.model_validate(filled) == model.model_validate(plain)
    validator(kind, "spec").validate(filled)
    dumped = model.model_validate(plain).model_dump(mode="json", by_alias=True, exclude_none=True)
    missing = {name for name in dumped if name not in filled and dumped[name] not in ({}, [])}
    assert missing <= {"selector", "placement", "podTemplate"}  # with nothing in it


def test_every_object_with_defaults_inside_has_an_empty_one_itself() -> None:
    """Otherwise the server would fill in nothing as long as nobody writes the object."""
    for field in all_fields():
        inner = [child for child in field.schema.get("properties", {}).values() if "default" in child]
        is_optional = field.path[1] == "spec" and field.path[-1] != "[]" and not field.is_required
        if inner and is_optional and field.path[-1] not in ("gpu", "platform"):  # whose absence means something
            assert "default" in field.schema, field.name


# --- values -------------------------------------------------------------------------------------------------------


@given(specs())
@settings(max_examples=50)
def test_whatever_the_model_of_a_stream_allows_the_crd_allows(spec: StreamSpec) -> None:
    validator("Stream", "spec").validate(json.loads(json.dumps(spec.to_resource())))


@given(pool_specs())
@settings(max_examples=50)
def test_whatever_the_model_of_a_pool_allows_the_crd_allows(spec: StreamProcessorSpec) -> None:
    validator("StreamProcessor", "spec").validate(json.loads(json.dumps(spec.to_resource())))


def test_what_the_code_writes_into_a_status_the_crd_allows() -> None:
    info = VideoInfo(
        width=1,
        height=1,
        frame_rate=1,
        bit_rate=1,
        gop_size=1,
        start_time=a_record().status_time,
        duration=1,
        progress=1,
    )
    preview = Preview(live=PreviewUrl(url="http://h/live"), last_frame=PreviewUrl(url="http://h/frame"))
    record = a_record(status="failure", error="x" * 9999, video_info=info, preview=preview)
    full = observe_conditions(record, record.status_time, generation=1)
    validator("Stream", "status").validate(full.to_resource())
    validator("StreamProcessor", "status").validate(StreamProcessorStatus().to_resource())
    validator("StreamGroup", "spec").validate(a_group().spec.to_resource())


def edges() -> list[object]:
    """Return values at and just beyond every bound of the specs, one field at a time."""
    cases: list[object] = []
    for field in all_fields():
        if field.path[1] == "spec" and field.name not in FREE_FORM and "x" not in field.schema.get("properties", {}):
            for value, is_good, what in around(field.schema):
                cases.append(pytest.param(field, value, is_good, id=f"{field.name}-{what}"))
    return cases


def around(schema: Schema) -> list[tuple[Any, bool, str]]:
    """Return values, whether they are allowed, and what they are."""
    low, high = bounds(schema)
    cases: list[tuple[Any, bool, str]] = []
    if "enum" in schema:
        cases += [(value, True, str(value)) for value in schema["enum"]] + [("no such word", False, "unknown")]
    elif schema["type"] in ("integer", "number"):
        step = 1 if schema["type"] == "integer" else 0.001
        cases += [(low, True, "lowest"), (low - step, False, "too-low")] if low is not None else []
        cases += [(high, True, "highest"), (high + step, False, "too-high")] if high is not None else []
        cases += [("1", False, "a-text"), (True, False, "true")]
        cases += [(0.5, False, "a-fraction")] if schema["type"] == "integer" else []
    elif schema["type"] == "boolean":
        cases += [(True, True, "true"), (False, True, "false"), (7, False, "a-number")]
    elif schema["type"] == "string" and "pattern" not in schema and "format" not in schema and "maxLength" in schema:
        longest = schema["maxLength"]
        cases += [("x" * longest, True, "longest"), ("x" * (longest + 1), False, "too-long")]
    elif schema["type"] == "string":
        cases += [("x" * 300, False, "too-long"), ("?", False, "odd"), (7, False, "a-number")]
    if schema.get("minLength"):
        cases.append(("", False, "empty"))
    return cases


@pytest.mark.parametrize(("field", "value", "is_good"), edges())
def test_crd_and_model_draw_the_same_line(field: Field, value: Any, is_good: bool) -> None:
    kind, _, *path = field.path
    spec = whole(kind, path, value)
    assert validator(kind, "spec").is_valid(spec) == is_good
    assert is_accepted(MODELS[kind, "spec"], spec) == is_good


def whole(kind: str, path: list[str], value: Any) -> dict[str, Any]:
    """Return a spec that is good but for one value."""
    if kind == "StreamGroup":
        spec = a_group().spec.to_resource()
    elif kind == "StreamProcessor":
        spec = StreamProcessorSpec(min_replicas=0, max_replicas=1000).to_resource()
    else:
        is_images = path[-1] == "mask" or (path[-2:] == ["data", "type"] and value == "images")
        spec = a_spec(data=some_data(type="images" if is_images else "tcp")).to_resource()
        if path[-2:] == ["eventHandler", "url"] or value == "cloudevents":
            spec["data"]["analytics"][0]["eventHandler"] = {"type": "cloudevents", "url": "https://hook/events"}
    node: Any = spec
    for step, following in itertools.pairwise(path):
        if step == "[]":
            node = node[0]
        else:
            node = node.setdefault(step, [None] if following == "[]" else partner(step, following))
            if node == []:
                node.append(None)
    if value == "percent":
        node |= dict.fromkeys(("x", "y", "width", "height"), 50)
    put(node, path[-1], value)
    return spec


def partner(step: str, following: str) -> dict[str, Any]:
    """Return the other fields that an object cannot be without."""
    partners: dict[str, dict[str, Any]] = {
        "referenceFrom": {"name": "a", "key": "a"},
        "tokenFrom": {"name": "a", "key": "a"},
        "geoPosition": {"longitude": 0, "latitude": 0},
        "gpu": {} if following.startswith("claim") else {"resourceName": "nvidia.com/gpu"},
        "platform": {"origin": "http://luna:5000"},
        "decoder": {"megapixelsPerSecond": 1},
    }
    return dict(partners.get(step, {}))


def put(node: Any, step: str, value: Any) -> None:
    """Put the value where it belongs; a list of two numbers keeps its length."""
    if step == "[]":
        node[:] = [value, *node[1:]]
    else:
        node[step] = value


def is_accepted(model: Any, spec: dict[str, Any]) -> bool:
    """Tell whether a model takes a spec as JSON, without turning one type into another as Python would."""
    try:
        model.model_validate_json(json.dumps(spec), by_alias=True, by_name=False, strict=True)
    except ValidationError:
        return False
    return True


# --- form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", crds())
def test_a_crd_is_named_as_the_code_names_it(kind: str) -> None:
    crd = crds()[kind]["spec"]
    plurals = {
        "Stream": naming.STREAMS,
        "StreamGroup": naming.STREAM_GROUPS,
        "StreamProcessor": naming.STREAM_PROCESSORS,
    }
    assert (crd["group"], version_of(kind)["name"]) == (naming.GROUP, naming.VERSION)
    assert (crd["names"]["plural"], crd["names"]["categories"]) == (plurals[kind], ["luna"])
    assert crds()[kind]["metadata"]["name"] == f"{plurals[kind]}.{naming.GROUP}"


def test_every_field_is_explained() -> None:
    unexplained = [
        field.name for field in all_fields() if field.path[-1] != "[]" and len(field.schema.get("description", "")) < 4
    ]
    assert unexplained == []


def test_every_text_and_every_list_is_bounded() -> None:
    unbounded = [
        field.name
        for field in all_fields()
        if (field.schema["type"] == "string" and not {"maxLength", "enum", "format"} & set(field.schema))
        or (field.schema["type"] == "array" and "maxItems" not in field.schema)
    ]
    assert unbounded == []


def test_every_list_says_how_it_is_merged() -> None:
    assert [
        name
        for name, field in ALL.items()
        if field.schema["type"] == "array" and "x-kubernetes-list-type" not in field.schema
    ] == []


def test_every_whole_number_has_a_format() -> None:
    assert [
        name for name, field in ALL.items() if field.schema["type"] == "integer" and "format" not in field.schema
    ] == []


def test_every_rule_has_a_message_for_people() -> None:
    rules = [
        rule
        for kind in crds()
        for name in ("spec", "status")
        if (kind, name) in MODELS
        for schema in [part(kind, name), *(field.schema for field in fields(part(kind, name), (kind, name)))]
        for rule in schema.get("x-kubernetes-validations", [])
    ]
    assert len(rules) > 15
    assert [rule for rule in rules if not rule.get("message") or "\n" in rule["message"]] == []


# --- examples -----------------------------------------------------------------------------------------------------

EXAMPLES = sorted((ROOT / "crds" / "examples").glob("*.yaml"))


def documents() -> list[object]:
    """Return every document of every example."""
    return [
        pytest.param(document, id=f"{path.stem}-{document['kind']}-{document['metadata']['name']}")
        for path in EXAMPLES
        for document in yaml.safe_load_all(path.read_text())
    ]


@pytest.mark.parametrize("document", documents())
def test_an_example_is_one_that_models_and_crds_accept(document: dict[str, Any]) -> None:
    if document["kind"] == "Secret":
        assert document["metadata"]["labels"][naming.LABEL_CREDENTIALS]
        return
    assert document["apiVersion"] == naming.API_VERSION
    validator(document["kind"], "spec").validate(document["spec"])
    model = MODELS[document["kind"], "spec"]
    model.model_validate(document["spec"], by_alias=True, by_name=False)


def test_the_examples_show_every_kind() -> None:
    kinds = {document["kind"] for path in EXAMPLES for document in yaml.safe_load_all(path.read_text())}
    assert kinds == {*crds(), "Secret"}


def test_secrets_of_the_examples_are_the_ones_their_streams_name() -> None:
    for path in EXAMPLES:
        found = list(yaml.safe_load_all(path.read_text()))
        held = {(one["metadata"]["name"], key) for one in found if one["kind"] == "Secret" for key in one["stringData"]}
        wanted = {(ref["name"], ref["key"]) for one in found for ref in references_to_secrets(one.get("spec", {}))}
        assert wanted == held, path.name


def references_to_secrets(value: Any) -> list[dict[str, str]]:
    """Return every `...From` below a value."""
    if isinstance(value, list):
        return [ref for item in value for ref in references_to_secrets(item)]
    if isinstance(value, dict):
        here = [child for name, child in value.items() if name in ("referenceFrom", "tokenFrom")]
        return here + [ref for child in value.values() for ref in references_to_secrets(child)]
    return []
