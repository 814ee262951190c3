"""The API document of LUNA Streams as data: schemas with references resolved, for tests that compare with it.

The document is not part of this repository; `LUNA_STREAMS_OPENAPI` names it, or it lies in
`../shared/spec/openapi.yaml` beside the repository. Tests that need it skip aloud where it is missing.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from support.repository import ROOT

Schema = dict[str, Any]
_BOUNDS = ("default", "minLength", "maxLength", "pattern")
_ORIGIN = ROOT.parent / "shared" / "spec" / "openapi.yaml"


@cache
def document() -> Schema:
    """Return the document; skips the test if there is none."""
    path = Path(os.environ.get("LUNA_STREAMS_OPENAPI", _ORIGIN))
    if not path.exists():
        pytest.skip(f"no API document: set LUNA_STREAMS_OPENAPI to openapi.yaml of LUNA Streams 1.1.18 (not at {path})")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one reads the 6,000 lines ten times as fast
    loaded: Schema = yaml.load(path.read_text(), loader)  # noqa: S506  either is a safe loader
    return loaded


def component(name: str) -> Schema:
    """Return a schema of the document, as it stands there."""
    found: Schema = document()["components"]["schemas"][name]
    return found


@cache
def flat(name: str) -> Schema:
    """Return a schema in one piece: references resolved, allOf merged, alternatives of objects united."""
    return flatten(component(name), document()["components"]["schemas"], "#/components/schemas/")


def flatten(schema: Schema, definitions: Schema, prefix: str) -> Schema:
    """Return a schema in one piece: what it refers to merged, alternatives united."""
    own = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "oneOf", "anyOf")}
    merged: Schema = {}
    if "$ref" in schema:
        merged = flatten(definitions[schema["$ref"].removeprefix(prefix)], definitions, prefix)
    for one in schema.get("allOf", []):
        merged = both(merged, flatten(one, definitions, prefix))
    for word in ("oneOf", "anyOf"):
        if alternatives := [flatten(one, definitions, prefix) for one in schema.get(word, ())]:
            merged = both(merged, _either(alternatives)) | ({"alternatives": word} if len(alternatives) > 1 else {})
    if "properties" in own:
        own["properties"] = {name: flatten(child, definitions, prefix) for name, child in own["properties"].items()}
    if isinstance(own.get("items"), dict):
        own["items"] = flatten(own["items"], definitions, prefix)
    return both(merged, own)


def both(one: Schema, other: Schema) -> Schema:
    """Merge two schemas that hold at once."""
    merged = one | other
    if "properties" in one and "properties" in other:
        names = [*one["properties"], *(name for name in other["properties"] if name not in one["properties"])]
        merged["properties"] = {
            name: both(one["properties"].get(name, {}), other["properties"].get(name, {})) for name in names
        }
    if "required" in one and "required" in other:
        merged["required"] = sorted({*one["required"], *other["required"]})
    if "enum" in one and "enum" in other:
        merged["enum"] = [value for value in one["enum"] if value in other["enum"]]
    if isinstance(one.get("items"), dict) and isinstance(other.get("items"), dict):
        merged["items"] = both(one["items"], other["items"])
    return merged


def _either(alternatives: list[Schema]) -> Schema:
    """Unite schemas of which one holds. Other forms than objects, as the array of a region, stand in `also`."""
    objects = [one for one in alternatives if "properties" in one]
    united: Schema = dict((objects or alternatives)[0])
    for one in (objects or alternatives)[1:]:
        united = _unite(united, one)
    if objects and len(objects) < len(alternatives):
        united["also"] = [one for one in alternatives if "properties" not in one]
    return united | ({"nullable": True} if any(one.get("nullable") for one in alternatives) else {})


class Either(frozenset[Any]):
    """What alternatives say differently of the same thing."""


def _choices(value: Any) -> frozenset[Any]:
    return value if isinstance(value, Either) else frozenset([value])


def _unite(one: Schema, other: Schema) -> Schema:
    united = {key: value for key, value in one.items() if other.get(key) == value}
    for word in _BOUNDS:
        if one.get(word) != other.get(word):
            united[word] = Either({*_choices(one.get(word)), *_choices(other.get(word))})
    kinds = {one.get("type"), other.get("type")}
    if kinds == {"integer", "number"}:
        united["type"] = "number"
    for word, pick in (("minimum", min), ("maximum", max)):
        if word in one and word in other:
            united[word] = pick(one[word], other[word])
    if "enum" in one and "enum" in other:
        united["enum"] = [*one["enum"], *(value for value in other["enum"] if value not in one["enum"])]
    if "properties" in one or "properties" in other:
        here, there = one.get("properties", {}), other.get("properties", {})
        united["properties"] = {
            name: _unite(here[name], there[name]) if name in here and name in there else here.get(name, there.get(name))
            for name in [*here, *(name for name in there if name not in here)]
        }
    united["required"] = sorted(set(one.get("required", [])) & set(other.get("required", [])))
    return united


def leaves(schema: Schema, path: str = "") -> dict[str, Schema]:
    """Return every field below a schema by its path; whether it is required stands in `is_required`."""
    found: dict[str, Schema] = {}
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        found[here] = child | {"is_required": name in schema.get("required", [])}
        found |= leaves(child, here)
    for name in set(schema.get("required", ())) - set(schema.get("properties", ())):
        found[f"{path}.{name}" if path else name] = {"is_required": True}
    if isinstance(schema.get("items"), dict):
        found[f"{path}[]"] = schema["items"] | {"is_required": True}
        found |= leaves(schema["items"], f"{path}[]")
    return found


@cache
def json_schema(name: str) -> Schema:
    """Return a schema of the document as plain JSON Schema: `nullable` spelled out, also where it stands in allOf."""
    definitions = {key: _spelled(value) for key, value in document()["components"]["schemas"].items()}
    return {"$ref": f"#/components/schemas/{name}", "components": {"schemas": definitions}}


def _spelled(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_spelled(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    spelled = {key: _spelled(value) for key, value in schema.items() if key not in ("nullable", "example")}
    is_nullable = schema.get("nullable") is True or any(one.get("nullable") is True for one in schema.get("allOf", []))
    return {"anyOf": [spelled, {"type": "null"}]} if is_nullable else spelled


def check(answer: dict[str, Any], name: str) -> None:
    """Validate a body against a schema of the document; also, it has no field that is not documented."""
    sent = json.loads(json.dumps(answer))
    schema = json_schema(name)
    jsonschema.Draft202012Validator(schema).validate(sent)
    documented = leaves(flat(name))
    assert [path for path in _paths(sent) if path not in documented and not _is_free(path)] == []


def _paths(value: Any, path: str = "") -> set[str]:
    """Return the path of every field of a body."""
    if isinstance(value, dict):
        here = {f"{path}.{name}" if path else name for name in value}
        return here | {
            deep for name, child in value.items() for deep in _paths(child, f"{path}.{name}" if path else name)
        }
    if isinstance(value, list):
        return {deep for child in value for deep in _paths(child, f"{path}[]")}
    return set()


def _is_free(path: str) -> bool:
    """Tell whether a path ends in a form that the united schema does not list."""
    return path.endswith("[]")
