"""The OpenAPI document as a page: operations by tag, then the schemas they refer to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup, escape

from luna_api_shim.openapi.schemas import PREFIX
from luna_api_shim.pages.rendering import render

Json = Mapping[str, Any]

_EVERYWHERE: Final = ("Content-Type", "Luna-Request-Id")
"""Headers of every answer."""
_BOUNDS: Final = (
    ("minimum", "≥ {}"),
    ("maximum", "≤ {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("minProperties", "at least {} field"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A field or a parameter as a line of a table."""

    name: str
    kind: Markup
    notes: str
    description: str
    is_required: bool
    is_deprecated: bool


@dataclass(frozen=True, slots=True)
class Content:
    """A body in one media type."""

    media_type: str
    kind: Markup
    description: str
    examples: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    status: str
    description: str
    headers: tuple[str, ...]
    contents: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[tuple[str, Row], ...]
    body: tuple[Content, ...]
    responses: tuple[Response, ...]


def specification_page(document: Json) -> bytes:
    """Return the page."""
    reader = _Reader(document)
    schemas = document["components"]["schemas"]
    return render(
        "specification.html",
        info=document["info"],
        groups={tag["name"]: list(reader.entries(tag["name"])) for tag in document["tags"]},
        schemas={name: (schema, kind_of(schema), list(_rows(schema))) for name, schema in schemas.items()},
    )


class _Reader:
    def __init__(self, document: Json) -> None:
        self._document = document

    def entries(self, tag: str) -> Iterator[Entry]:
        """Yield the operations of a tag."""
        for path, methods in self._document["paths"].items():
            for method, operation in methods.items():
                if tag in operation["tags"]:
                    yield self._entry(path, method, operation)

    def _entry(self, path: str, method: str, operation: Json) -> Entry:
        parameters = [self._resolve(one) for one in operation["parameters"]]
        return Entry(
            id=operation["operationId"],
            method=method.upper(),
            path=path,
            summary=operation["summary"],
            description=operation["description"],
            parameters=tuple((one["in"], _row(one["name"], one["schema"], one)) for one in parameters),
            body=tuple(_contents(operation.get("requestBody", {}))),
            responses=tuple(self._response(status, one) for status, one in operation["responses"].items()),
        )

    def _response(self, status: str, response: Json) -> Response:
        headers = tuple(name for name in response["headers"] if name not in _EVERYWHERE)
        return Response(status, response["description"], headers, tuple(_contents(response)))

    def _resolve(self, node: Json) -> Json:
        if "$ref" not in node:
            return node
        target: Json = self._document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return target


def _contents(node: Json) -> Iterator[Content]:
    for media_type, content in node.get("content", {}).items():
        examples = {
            name: json.dumps(example["value"], indent=2, ensure_ascii=False)
            for name, example in content.get("examples", {}).items()
        }
        if "example" in content:
            examples["answer"] = json.dumps(content["example"], indent=2, ensure_ascii=False)
        schema = content["schema"]
        yield Content(media_type, kind_of(schema), schema.get("description", ""), examples)


def _rows(schema: Json) -> Iterator[Row]:
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        yield _row(name, child, {"required": name in required})


def _row(name: str, schema: Json, told: Json) -> Row:
    return Row(
        name=name,
        kind=kind_of(schema),
        notes=notes_of(schema),
        description=told.get("description") or schema.get("description", ""),
        is_required=bool(told.get("required")),
        is_deprecated=bool(schema.get("deprecated")),
    )


def kind_of(schema: Json) -> Markup:
    """Return the type of a schema in a few words, with links to the schemas it refers to."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(PREFIX))
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    for word, glue in (("allOf", " and "), ("oneOf", " or "), ("anyOf", " or ")):
        if word in schema:
            return escape(glue).join(kind_of(one) for one in schema[word])
    if schema.get("type") == "array":
        return Markup("list of {}").format(kind_of(schema["items"]))
    return escape(schema.get("format") or schema.get("type", "anything"))


def notes_of(schema: Json) -> str:
    """Return bounds, choices and default of a schema."""
    notes = [text.format(schema[word]) for word, text in _BOUNDS if word in schema]
    if "enum" in schema:
        notes.append("one of " + ", ".join(map(json.dumps, schema["enum"])))
    if "pattern" in schema and schema.get("format") != "uuid":
        notes.append(f"like {schema['pattern']}")
    if schema.get("nullable"):
        notes.append("may be null")
    if "default" in schema:
        notes.append(f"default {json.dumps(schema['default'])}")
    items = notes_of(schema["items"]) if "items" in schema else ""
    return "; ".join([*notes, f"each {items}"] if items else notes)
