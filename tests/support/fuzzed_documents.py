"""API documents in a form that schemathesis can hold the shim to: our own, and the original where there is a copy.

A schema cannot say everything (that a group must exist), and the original says less than it means: every object may
have fields that it does not list, though its error examples refuse them. What is changed is named, one by one, in
`OF_BOTH` and `OF_THE_ORIGINAL`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from luna_api_shim.app import ROUTES
from luna_api_shim.openapi.document import build_document
from support import api_document
from support.documented_schemas import both

Schema = dict[str, Any]
Patches = Mapping[str, Callable[[Schema], None]]

ACCOUNT: Final = "6d071cca-fda5-4a03-84d5-5bea65904480"
"""The account of everything that is made by these documents."""

_JSON: Final = "application/json"
_INT32: Final = 2**31 - 1
_METHODS: Final = ("get", "post", "put", "patch", "delete")


def own_document() -> Schema:
    """Return the exact document of what the shim takes and answers, patched."""
    return _patched(build_document(ROUTES, "1.1.18"), OF_BOTH)


def original_document() -> Schema:
    """Return the original, patched; FileNotFoundError where there is no copy of it."""
    return _patched(copy.deepcopy(api_document.original()), {**OF_THE_ORIGINAL, **OF_BOTH})


def _patched(document: Schema, patches: Patches) -> Schema:
    for patch in patches.values():
        patch(document)
    return document


# --- patches of both --------------------------------------------------------------------------------------------------


def _request_ids(document: Schema) -> None:
    for place in ("headers", "parameters"):
        for component in document["components"][place].values():
            if component["schema"].get("pattern", "").startswith("^[0-9]{10},"):
                component["schema"] = {"type": "string"}


def _accounts(document: Schema) -> None:
    for schema in _objects(document):
        if "account_id" in schema["properties"]:
            schema["properties"]["account_id"] = {"type": "string", "enum": [ACCOUNT]}


def _groups(document: Schema) -> None:
    for schema in _objects(document):
        if {"data", "group_name", "group_id"} <= schema["properties"].keys():
            del schema["properties"]["group_name"], schema["properties"]["group_id"]
    for operation in _operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get(_JSON, {})
        for example in content.get("examples", {}).values():
            example["value"].pop("group_name", None)


def _bodies(document: Schema) -> None:
    for operation in _operations(document):
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True


def _accepted_forms(document: Schema) -> None:
    for node in (*document["paths"].values(), *_operations(document)):
        node["parameters"] = [one for one in node.get("parameters", ()) if _name(one, document) != "Accept"]


def _arrays(document: Schema) -> None:
    for node in (document["components"].get("parameters", {}), *_operations(document)):
        for one in node.values() if "responses" not in node else node.get("parameters", ()):
            if one.get("schema", {}).get("type") == "array":
                one["explode"] = False


def _media_types(document: Schema) -> None:
    for operation in _operations(document):
        for answer in operation["responses"].values():
            answer.get("headers", {}).pop("Content-Type", None)


def _yaml(document: Schema) -> None:
    for operation in _operations(document):
        for answer in operation["responses"].values():
            for media_type, content in answer.get("content", {}).items():
                if media_type.endswith("yaml"):
                    content["schema"] = {}


def _figures(document: Schema) -> None:
    for schema in _objects(document):
        if "gop_size" in schema["properties"]:
            for figure in schema["properties"].values():
                if figure.get("type") == "integer":
                    for word in ("minimum", "maximum", "format"):
                        figure.pop(word, None)


OF_BOTH: Final[Patches] = {
    "a client may name its requests as it likes, and gets that name back": _request_ids,
    "an authorization must name the account of its stream": _accounts,
    "a new stream may name only a group that exists": _groups,
    "bodies are needed where the documents call them optional": _bodies,
    "Accept takes lists and wildcards; which form is chosen has tests of its own": _accepted_forms,
    "an array is read in both forms; an empty one is as good as none": _arrays,
    "media types may carry a character set; OpenAPI passes Content-Type over among headers": _media_types,
    "the documents call YAML a string, schemathesis what is written in it": _yaml,
    "a worker's figures are cut to 32 bits, not refused": _figures,
}


# --- patches of the original ------------------------------------------------------------------------------------------


def _string_codes(document: Schema) -> None:
    for operation in _operations(document):
        operation["responses"] = {str(code): answer for code, answer in operation["responses"].items()}


def _answers(document: Schema) -> None:
    api_document.mend(document["components"]["schemas"])


def _missing_errors(document: Schema) -> None:
    error = {"$ref": "#/components/responses/internal_server_error"}
    for path, item in document["paths"].items():
        for operation in (item[method] for method in _METHODS if method in item):
            operation["responses"].setdefault("400", error)
            if path.endswith("/linker"):
                operation["responses"].setdefault("404", error)


def _closed_bodies(document: Schema) -> None:
    for operation in _operations(document):
        if "requestBody" in operation:
            content = operation["requestBody"]["content"][_JSON]
            content["schema"] = _closed(content["schema"], document)


def _nulls(document: Schema) -> None:
    for schema in _bodies_of(document):
        for name, child in schema["properties"].items():
            is_optional = name in ("timeout", "preview", "live", "last_frame", "url", "duration", "progress")
            if is_optional or (name == "authorization" and "bestshot_handler" in schema["properties"]):
                child["nullable"] = True


def _bounds(document: Schema) -> None:
    for schema in _bodies_of(document):
        for name, child in schema["properties"].items():
            if child.get("type") == "integer" and "enum" not in child and name not in ("limit", "version"):
                child.setdefault("minimum", -_INT32 - 1)
                child.setdefault("maximum", _INT32)
            if name in ("origin", "frame_store"):
                child.setdefault("maxLength", 1024)
            if name == "analytics":
                child |= {"minItems": 1, "maxItems": 16}


OF_THE_ORIGINAL: Final[Patches] = {
    "response codes are numbers, which OpenAPI does not know": _string_codes,
    "answers that contradict their schemas (support.api_document names them)": _answers,
    "errors that are not listed: a bad query anywhere, an unknown group at the linker": _missing_errors,
    "bodies allow fields that the error examples refuse": _closed_bodies,
    "null is taken for: not given": _nulls,
    "bounds that any server has; min_items is no keyword": _bounds,
}


# --- walking ----------------------------------------------------------------------------------------------------------


def _operations(document: Schema) -> Iterator[Schema]:
    for item in document["paths"].values():
        yield from (item[method] for method in _METHODS if method in item)


def _bodies_of(document: Schema) -> Iterator[Schema]:
    """Yield every object schema that stands in a request body."""
    for operation in _operations(document):
        if "requestBody" in operation:
            yield from _objects(operation["requestBody"]["content"][_JSON]["schema"])


def _name(parameter: Schema, document: Schema) -> str:
    if "$ref" in parameter:
        parameter = document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
    return str(parameter["name"])


def _objects(schema: Any) -> Iterator[Schema]:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and "$ref" not in schema:
            yield schema
        for child in schema.values():
            yield from _objects(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from _objects(child)


def _closed(schema: Any, document: Schema) -> Any:
    """Return a schema in one piece: references and allOf resolved, objects closed, alternatives kept."""
    if isinstance(schema, list):
        return [_closed(one, document) for one in schema]
    if not isinstance(schema, dict):
        return schema
    merged: Schema = {}
    for part in (
        {key: value for key, value in schema.items() if key not in ("$ref", "allOf")},
        *_parts(schema, document),
    ):
        merged = both(merged, part)
    for word in ("description", "example", "discriminator", "deprecated"):
        merged.pop(word, None)
    if len(names := merged.get("anyOf", ())) == 2 and all("properties" in name for name in names):
        # "With a group's name" and "with its id", neither of them required: one object that may have both.
        merged = both(names[0], names[1])
    if "oneOf" in merged:
        # A region without `mode` fits pixels and percent at once, and `oneOf` then refuses it.
        merged["anyOf"] = merged.pop("oneOf")
    closed = {key: _closed(value, document) if key in ("items", "anyOf") else value for key, value in merged.items()}
    if "properties" in closed:
        closed["properties"] = {name: _closed(child, document) for name, child in merged["properties"].items()}
        closed |= {"type": "object", "additionalProperties": False}
    return closed


def _parts(schema: Schema, document: Schema) -> Iterator[Schema]:
    if "$ref" in schema:
        target: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        yield _flat(target, document)
    for one in schema.get("allOf", ()):
        yield _flat(one, document)


def _flat(schema: Schema, document: Schema) -> Schema:
    """Resolve the outermost level only: reference, allOf, and the alternatives' own levels."""
    flat: Schema = {}
    for part in (
        *_parts(schema, document),
        {key: value for key, value in schema.items() if key not in ("$ref", "allOf")},
    ):
        flat = both(flat, part)
    if "anyOf" in flat:
        flat["anyOf"] = [_flat(one, document) for one in flat["anyOf"]]
    return flat
