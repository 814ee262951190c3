"""Changes that make a finished document say something else, and the walks through a document that they need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, Final

Json = dict[str, Any]
Change = Callable[[Json], None]

_REFERENCE: Final = re.compile("#/components/(headers|parameters|schemas)/(.+)")
_ALTERNATIVES: Final = ("allOf", "oneOf", "anyOf")


# --- changes ----------------------------------------------------------------------------------------------------------


def say(*fields: str, **words: object) -> Change:
    """Say something of fields: `Component.field`, `[]` for items, `|` for alternatives, `*` for anything."""

    def change(document: Json) -> None:
        for schema in fields_of(document, fields):
            schema.update(words)

    return change


def leave_out(*fields: str, word: str, value: object) -> Change:
    """Leave a word out where it has the value."""

    def change(document: Json) -> None:
        for schema in fields_of(document, fields):
            if word in schema and schema[word] == value:
                del schema[word]

    return change


def without_parameters(operations: str, *names: str) -> Change:
    """Leave parameters out of the operations whose ids fit; they are taken all the same."""

    def change(document: Json) -> None:
        for operation in operations_of(document, operations):
            operation["parameters"] = [
                one for one in operation["parameters"] if _resolved(document, one)["name"] not in names
            ]

    return change


def say_of_parameter(operations: str, parameter: str, change_one: Change) -> Change:
    """Change a parameter, which other operations may share, where an operation whose id fits has it."""

    def change(document: Json) -> None:
        for operation in operations_of(document, operations):
            for one in operation["parameters"]:
                if (found := _resolved(document, one))["name"] == parameter:
                    change_one(found)

    return change


def say_of_answer(operations: str, status: str, change_one: Change) -> Change:
    """Change the answer with this status of every operation whose id fits."""

    def change(document: Json) -> None:
        for operation in operations_of(document, operations):
            change_one(operation["responses"][status])

    return change


def say_of_header(header: str, **words: object) -> Change:
    """Say something of a header, by the name of its component."""
    return lambda document: document["components"]["headers"][header].update(words)


def without_header(name: str) -> Change:
    """Leave a header out of an answer."""
    return lambda answer: answer["headers"].pop(name)


# --- walking ----------------------------------------------------------------------------------------------------------


def operations_of(document: Json, pattern: str) -> Iterator[Json]:
    """Yield the operations whose ids fit."""
    for methods in document["paths"].values():
        yield from (one for one in methods.values() if fnmatchcase(one["operationId"], pattern))


def _resolved(document: Json, node: Json) -> Json:
    match = _REFERENCE.fullmatch(str(node.get("$ref")))
    found: Json = document["components"][match[1]][match[2]] if match else node
    return found


def fields_of(document: Json, patterns: Iterable[str]) -> Iterator[Json]:
    """Yield every schema, and part of one, whose place fits one of the patterns of `say`."""
    for name, component in document["components"]["schemas"].items():
        for path, schema in _below(name, component):
            if any(fnmatchcase(path, pattern) for pattern in patterns):
                yield schema


def _below(path: str, schema: Json) -> Iterator[tuple[str, Json]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _below(f"{path}.{name}", child)
    if "items" in schema:
        yield from _below(f"{path}[]", schema["items"])
    for word in _ALTERNATIVES:
        for index, child in enumerate(schema.get(word, ())):
            yield from _below(f"{path}|{index}", child)


def forget_unused(document: Json) -> None:
    """Leave out the components that nothing refers to any more."""
    used: set[tuple[str, str]] = set()
    waiting = list(_references(document["paths"]))
    while waiting:
        if (one := waiting.pop()) not in used:
            used.add(one)
            waiting += _references(document["components"][one[0]][one[1]])
    for kind, components in document["components"].items():
        for name in [name for name in components if (kind, name) not in used]:
            del components[name]


def _references(node: object) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        if match := _REFERENCE.fullmatch(str(node.get("$ref"))):
            yield match[1], match[2]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)
