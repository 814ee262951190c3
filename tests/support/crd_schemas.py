"""The CRD manifests as data for tests: their schemas, what they say about each field, and a validator of them."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema
import yaml
from jsonschema.validators import extend
from pydantic import BaseModel

from luna_kube.manifests import crd_manifests
from luna_streams.v1alpha1 import StreamGroupSpec, StreamProcessorSpec, StreamProcessorStatus, StreamSpec, StreamStatus

Schema = dict[str, Any]

MODELS: dict[tuple[str, str], type[BaseModel]] = {
    ("Stream", "spec"): StreamSpec,
    ("Stream", "status"): StreamStatus,
    ("StreamGroup", "spec"): StreamGroupSpec,
    ("StreamProcessor", "spec"): StreamProcessorSpec,
    ("StreamProcessor", "status"): StreamProcessorStatus,
}
"""Which model a part of a resource is; a group has no status."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@cache
def crds() -> dict[str, Schema]:
    """Return the CustomResourceDefinitions by kind."""
    documents = [yaml.safe_load(path.read_text()) for path in crd_manifests()]
    return {document["spec"]["names"]["kind"]: document for document in documents}


def version_of(kind: str) -> Schema:
    """Return the one version of a CRD."""
    (version,) = crds()[kind]["spec"]["versions"]
    found: Schema = version
    return found


def part(kind: str, name: str) -> Schema:
    """Return the schema of `spec` or `status`."""
    found: Schema = version_of(kind)["schema"]["openAPIV3Schema"]["properties"][name]
    return found


@dataclass(frozen=True)
class Field:
    """A field somewhere in a resource.

    Attributes:
        path: names from the resource down; `[]` stands for the items of a list.
        is_required: whether its object cannot be without it.
    """

    path: tuple[str, ...]
    schema: Schema
    is_required: bool

    @property
    def name(self) -> str:
        """The path as people write it."""
        return ".".join(self.path).replace(".[]", "[]")


def fields(schema: Schema, path: tuple[str, ...]) -> Iterator[Field]:
    """Yield every field below a schema."""
    required = schema.get("required", [])
    for name, child in schema.get("properties", {}).items():
        yield Field((*path, name), child, name in required)
        yield from fields(child, (*path, name))
    if "items" in schema:
        yield Field((*path, "[]"), schema["items"], True)
        yield from fields(schema["items"], (*path, "[]"))


def all_fields() -> list[Field]:
    """Return every field of spec and status of every kind; paths begin with kind and part."""
    return [field for kind, name in MODELS for field in fields(part(kind, name), (kind, name))]


def model_schema(kind: str, name: str) -> Schema:
    """Return what pydantic says of a model, in the words of a CRD: references resolved, null taken out."""
    whole = MODELS[kind, name].model_json_schema(by_alias=True)
    return _plain(whole, whole.get("$defs", {}))


def _plain(schema: Schema, definitions: Schema) -> Schema:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")] | {
            key: value for key, value in schema.items() if key != "$ref"
        }
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return _plain(choices[0] | {key: value for key, value in rest.items() if value is not None}, definitions)
    if "oneOf" in schema:
        return _either([_plain(choice, definitions) for choice in schema["oneOf"]], schema)
    found = {
        key: value
        for key, value in schema.items()
        if key not in ("title", "description", "$defs", "discriminator", "const", "prefixItems", "deprecated")
    }
    if "const" in schema:
        found["enum"] = [schema["const"]]
    if "prefixItems" in schema:
        found["items"] = schema["prefixItems"][0]
    if "items" in found:
        found["items"] = _plain(found["items"], definitions)
    if "properties" in found:
        found["properties"] = {name: _plain(child, definitions) for name, child in found["properties"].items()}
    return found


def _either(choices: list[Schema], schema: Schema) -> Schema:
    """Merge the two forms of a region: a CRD has one object, and rules that tell the forms apart."""
    properties: Schema = {}
    for name in choices[0]["properties"]:
        forms = [choice["properties"][name] for choice in choices]
        if "enum" in forms[0]:
            properties[name] = {
                "type": "string",
                "enum": sorted({value for form in forms for value in form["enum"]}),
                "default": forms[0]["default"],
            }
        else:
            properties[name] = {
                "type": "number",
                "minimum": min(form["minimum"] for form in forms),
                "maximum": max(form["maximum"] for form in forms),
            }
    merged: Schema = {"type": "object", "properties": properties, "required": choices[0]["required"]}
    return merged | ({"default": schema["default"]} if "default" in schema else {})


def validator(kind: str, name: str) -> Any:
    """Return a validator of the structural part of a schema; unknown fields and odd times are errors."""
    schema = copy.deepcopy(part(kind, name))
    _close(schema)
    checked = extend(jsonschema.Draft202012Validator, {"format": _format})
    return checked(schema)


def _close(schema: Schema) -> None:
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema["additionalProperties"] = False
        for child in schema["properties"].values():
            _close(child)
    if "items" in schema:
        _close(schema["items"])


def _format(_: Any, name: str, value: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    if name == "date-time" and isinstance(value, str) and not _RFC_3339.fullmatch(value):
        yield jsonschema.ValidationError(f"{value} is no time")


def bounds(schema: Schema) -> tuple[float | None, float | None]:
    """Return the smallest and the largest number a schema allows; kube-apiserver takes no notice of formats."""
    return schema.get("minimum"), schema.get("maximum")


def with_defaults(schema: Schema, value: Any) -> Any:
    """Fill in defaults as an API server does, before it validates."""
    if isinstance(value, dict):
        filled = dict(value)
        for name, child in schema.get("properties", {}).items():
            if name not in filled and "default" in child:
                filled[name] = copy.deepcopy(child["default"])
            if name in filled:
                filled[name] = with_defaults(child, filled[name])
        return filled
    if isinstance(value, list):
        return [with_defaults(schema["items"], item) for item in value]
    return value
