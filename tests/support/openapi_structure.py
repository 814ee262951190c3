"""The structure of an OpenAPI document as facts that can be compared: what stands where, and what is said of it.

A fact is found under a place that a person can read:

    GET /2/streams | query page_size
    PUT /1/streams/{stream_id} | body | data.rotation
    GET /2/streams | 200 application/json | streams[].data.analytics[].mode

References are resolved, allOf is merged, alternatives of objects united; descriptions and examples are no structure.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

from support.documented_schemas import Schema, flatten, leaves

WORDS = (
    "type",
    "format",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "uniqueItems",
    "additionalProperties",
    "discriminator",
    "default",
    "nullable",
    "required",
    "alternatives",
    "also",
)
_METHODS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True)
class Difference:
    """One word that two documents do not say alike; a whole place is `presence`."""

    place: str
    word: str
    theirs: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.place} | {self.word}: theirs {self.theirs!r}, ours {self.ours!r}"


def differences(theirs: Schema, ours: Schema) -> list[Difference]:
    """Return everything that one document says and the other does not; of a place that only one has, not its parts."""
    there, here = structure(theirs), structure(ours)
    found = [Difference(place, "presence", True, False) for place in _outermost(there.keys() - here.keys())]
    found += [Difference(place, "presence", False, True) for place in _outermost(here.keys() - there.keys())]
    for place in there.keys() & here.keys():
        found += [
            Difference(place, word, there[place][word], here[place][word])
            for word in WORDS
            if there[place][word] != here[place][word]
        ]
    return sorted(found, key=str)


def _outermost(places: Set[str]) -> list[str]:
    return [place for place in places if not any(place.startswith((f"{one} ", f"{one}.", f"{one}[")) for one in places)]


def structure(document: Schema) -> dict[str, Schema]:
    """Return what the document says of each place, in the same words whoever wrote it."""
    return dict(_Reader(document).facts())


class _Reader:
    def __init__(self, document: Schema) -> None:
        self._document = document

    def facts(self) -> Iterator[tuple[str, Schema]]:
        for path, item in self._document["paths"].items():
            for method in _METHODS:
                if method in item:
                    yield from self._operation(f"{method.upper()} {path}", item, item[method])

    def _operation(self, place: str, item: Schema, operation: Schema) -> Iterator[tuple[str, Schema]]:
        yield place, _said({"enum": [operation["operationId"]]}, is_required=True)
        parameters = [self._resolve(one) for one in (*item.get("parameters", ()), *operation.get("parameters", ()))]
        for one in parameters:
            schema = self._flat(one["schema"])
            here = f"{place} | {one['in']} {one['name']}"
            yield here, _said(schema, is_required=one.get("required", False))
            yield from _below(here, schema)
        if "requestBody" in operation:
            body = self._resolve(operation["requestBody"])
            yield from self._content(f"{place} | body", body, is_required=body.get("required", False))
        for status, response in operation["responses"].items():
            here = f"{place} | {status}"
            yield here, _said({}, is_required=True)
            answer = self._resolve(response)
            for name, header in answer.get("headers", {}).items():
                told = self._resolve(header)
                said = _said(self._flat(told["schema"]), is_required=told.get("required", False))
                yield f"{here} header {name}", said
            yield from self._content(here, answer, is_required=True)

    def _content(self, place: str, node: Schema, *, is_required: bool) -> Iterator[tuple[str, Schema]]:
        for media_type, content in node.get("content", {}).items():
            here = f"{place} {media_type}"
            schema = self._flat(content["schema"])
            yield here, _said(schema, is_required=is_required)
            yield from _below(here, schema)

    def _resolve(self, node: Schema) -> Schema:
        while "$ref" in node:
            target = self._document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def _flat(self, schema: Schema) -> Schema:
        return flatten(schema, self._document["components"]["schemas"], "#/components/schemas/")


def _below(place: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    for path, leaf in leaves(schema).items():
        yield f"{place} | {path}", _said(leaf, is_required=leaf["is_required"])


def _said(schema: Schema, *, is_required: bool) -> Schema:
    said = {word: schema.get(word) for word in WORDS} | {"required": is_required}
    said["enum"] = sorted(said["enum"], key=str) if said["enum"] is not None else None
    said["discriminator"] = (said["discriminator"] or {}).get("propertyName")  # the mapping names components
    if said["also"] is not None:
        said["also"] = [{word: one.get(word) for word in WORDS} for one in said["also"]]
    return said
