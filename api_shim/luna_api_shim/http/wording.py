"""Says what is wrong with a body in the words of LUNA Streams: pydantic v1's messages and dotted paths.

Clients match these texts; pydantic v2 words them differently and puts names of union members into its paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from luna_streams.rest.messages import StreamsDelete

Location = tuple[int | str, ...]

UNION_TAGS: Final[Mapping[str, frozenset[str]]] = {
    "data": frozenset({"tcp", "udp", "videofile", "images"}),
    "roi": frozenset({"abs", "percent"}),
    "droi": frozenset({"abs", "percent"}),
    "authorization": frozenset({"TokenAuthorization", "AccountAuthorization"}),
    "event_handler": frozenset({"luna_handler", "cloudevents"}),
}
"""What pydantic v2 inserts into a path behind a field that is a union."""

_LONGEST_PATH: Final = 256
_LONGEST_VALUE: Final = 64

_INTEGER: Final = "value is not a valid integer"
_FLOAT: Final = "value is not a valid float"
_BOOLEAN: Final = "value could not be parsed to a boolean"
_DICT: Final = "value is not a valid dict"
_LIST: Final = "value is not a valid list"
_FIXED: Final[Mapping[str, str]] = {
    "missing": "field required",
    "extra_forbidden": "extra fields not permitted",
    "string_type": "str type expected",
    "string_unicode": "str type expected",
    "int_type": _INTEGER,
    "int_parsing": _INTEGER,
    "int_parsing_size": _INTEGER,
    "int_from_float": _INTEGER,
    "float_type": _FLOAT,
    "float_parsing": _FLOAT,
    "finite_number": "ensure this value is a finite number",
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "model_type": _DICT,
    "model_attributes_type": _DICT,
    "dict_type": _DICT,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "union_tag_not_found": "Discriminator 'type' is missing in value",
    "none_not_allowed": "none is not an allowed value",
}


def _items_or_characters(word: str) -> Callable[[Mapping[str, Any]], str]:
    def text(ctx: Mapping[str, Any]) -> str:
        if "min_length" in ctx:
            return f"ensure this value has at least {ctx['min_length']} {word}"
        return f"ensure this value has at most {ctx['max_length']} {word}"

    return text


def _pattern(ctx: Mapping[str, Any]) -> str:
    is_uuid = str(ctx["pattern"]).startswith("^[a-f0-9]{8}-")
    return "value is not a valid uuid" if is_uuid else f'string does not match regex "{ctx["pattern"]}"'


_FROM_CONTEXT: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "literal_error": lambda ctx: "unexpected value; permitted: " + str(ctx["expected"]).replace(" or ", ", "),
    "greater_than_equal": lambda ctx: f"ensure this value is greater than or equal to {_plain(ctx['ge'])}",
    "less_than_equal": lambda ctx: f"ensure this value is less than or equal to {_plain(ctx['le'])}",
    "greater_than": lambda ctx: f"ensure this value is greater than {_plain(ctx['gt'])}",
    "string_too_long": _items_or_characters("characters"),
    "string_too_short": _items_or_characters("characters"),
    "too_long": _items_or_characters("items"),
    "too_short": _items_or_characters("items"),
    "string_pattern_mismatch": _pattern,
    "union_tag_invalid": lambda ctx: (
        f"No match for discriminator 'type' and value '{str(ctx['tag'])[:_LONGEST_VALUE]}' "
        f"(allowed values: {ctx['expected_tags']})"
    ),
    "value_error": lambda ctx: str(ctx["error"]),
}


def first_problem(error: ValidationError, model: type[BaseModel]) -> tuple[str, str]:
    """Return path and message of the first thing that is wrong with a body."""
    problem = _first(error.errors(include_url=False))
    if model is StreamsDelete and problem["type"] == "extra_forbidden":
        # The one operation whose documented example speaks as jsonschema does.
        return "", f"Additional properties are not allowed ('{problem['loc'][-1]}' was unexpected)"[:_LONGEST_PATH]
    location, message = _strip_tags(problem["loc"]), _message(problem)
    if problem["type"] == "missing" and isinstance(index := location[-1], int):
        # An item that a list of fixed length lacks.
        location, message = location[:-1], f"ensure this value has at least {index + 1} items"
    if problem["type"] == "roi_mode":
        location = (*location, "mode")
    if (field := problem.get("ctx", {}).get("field")) is not None:
        location = (*location, str(field))
    return ".".join(map(str, location))[:_LONGEST_PATH], message


def not_json(error: ValidationError) -> str | None:
    """Return what is wrong with the text if it is not JSON at all, else None."""
    problem = error.errors(include_url=False, include_input=False)[0]
    return str(problem["ctx"]["error"]) if problem["type"] == "json_invalid" else None


def _first(problems: Sequence[ErrorDetails]) -> ErrorDetails:
    """Return the first problem; of a union's members, the one that fits best is the one that was meant."""
    first = problems[0]
    parent = _union_parent(first["loc"])
    if parent is None:
        return first
    members: dict[int | str, list[ErrorDetails]] = {}
    for problem in problems:
        if problem["loc"][: len(parent)] == parent and len(problem["loc"]) > len(parent):
            members.setdefault(problem["loc"][len(parent)], []).append(problem)
    return min(members.values(), key=len)[0]


def _union_parent(location: Location) -> Location | None:
    """Return the path of the union whose members were tried one after the other."""
    if "authorization" not in location:
        return None
    end = location.index("authorization") + 1
    return location[:end] if len(location) > end else None


def _strip_tags(location: Location) -> Location:
    kept: list[int | str] = []
    was_tag = False
    for previous, part in zip((None, *location), location, strict=False):
        was_tag = not was_tag and isinstance(previous, str) and part in UNION_TAGS.get(previous, ())
        if not was_tag:
            kept.append(part)
    return tuple(kept)


def _message(problem: ErrorDetails) -> str:
    kind = problem["type"]
    if problem["input"] is None and kind != "missing":
        return "none is not an allowed value"
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _FROM_CONTEXT:
        return _FROM_CONTEXT[kind](problem["ctx"])
    if kind.startswith(("datetime", "timezone")):
        return "invalid datetime format"
    return problem["msg"]


def _plain(number: float) -> str:
    """Return a bound as the document writes it: 180, not 180.0."""
    return str(int(number)) if float(number).is_integer() else str(number)
