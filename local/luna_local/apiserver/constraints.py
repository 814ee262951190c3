"""What a schema says about a single value: type, enum, bounds, lengths, pattern, format.

Each constraint becomes one function from (value, path) to a problem or None. Texts follow kube-apiserver, because
people and tests search for them.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sized
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import orjson

from luna_local.apiserver.documents import parse_time
from luna_local.apiserver.errors import FieldProblem

Constraint = Callable[[Any, str], FieldProblem | None]


def show(value: Any) -> str:
    """Return a value as error messages quote it, shortened."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= 200 else f"{text[:200]}..."


def type_name(value: Any) -> str:
    """Return the JSON name of a value's type."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")


def wrong_type(value: Any, path: str, expected: str) -> FieldProblem:
    """Say that a value is of another type than the schema wants."""
    actual = type_name(value)
    text = f'Invalid value: "{actual}": {path} in body must be of type {expected}: "{actual}"'
    return FieldProblem(path, text, "FieldValueTypeInvalid")


def has_type(value: Any, expected: str) -> bool:
    """Say whether a value is of a JSON type (a whole float is an integer, an integer is a number)."""
    if isinstance(value, bool):
        return expected == "boolean"
    if expected == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if expected == "number":
        return isinstance(value, int | float)
    return isinstance(value, {"object": dict, "array": list, "string": str}.get(expected, ()))


def constraints_of(source: Mapping[str, Any]) -> tuple[Constraint, ...]:
    """Compile what a schema node says about its own value.

    Raises:
        re.error: when `pattern` is no regular expression.
    """
    return tuple([*_enum(source), *_numbers(source), *_strings(source), *_sizes(source), *_format(source)])


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile an RE2 pattern: unlike in Python, ``$`` never matches before a final newline."""
    translated, in_class, index = [], False, 0
    while index < len(pattern):
        char = pattern[index]
        if char == "\\":
            translated.append(pattern[index : index + 2].replace(r"\z", r"\Z"))
            index += 2
            continue
        in_class = char == "[" or (in_class and char != "]")
        translated.append(r"\Z" if char == "$" and not in_class else char)
        index += 1
    return re.compile("".join(translated))


def _enum(source: Mapping[str, Any]) -> Iterator[Constraint]:
    allowed = source.get("enum")
    if not allowed:
        return
    names = ", ".join(show(value) for value in allowed)

    def check(value: Any, path: str) -> FieldProblem | None:
        if value in allowed:
            return None
        return FieldProblem(
            path, f"Unsupported value: {show(value)}: supported values: {names}", "FieldValueNotSupported"
        )

    yield check


def _numbers(source: Mapping[str, Any]) -> Iterator[Constraint]:
    low, high, factor = source.get("minimum"), source.get("maximum"), source.get("multipleOf")
    if low is not None:
        strict = bool(source.get("exclusiveMinimum"))
        word = "greater than" if strict else "greater than or equal to"
        yield _numeric(lambda value: value > low or (value == low and not strict), f"should be {word} {show(low)}")
    if high is not None:
        strict_high = bool(source.get("exclusiveMaximum"))
        word = "less than" if strict_high else "less than or equal to"
        yield _numeric(
            lambda value: value < high or (value == high and not strict_high), f"should be {word} {show(high)}"
        )
    if factor:
        yield _numeric(lambda value: (value / factor) % 1 == 0, f"should be a multiple of {show(factor)}")
    bits = {"int32": 31, "int64": 63}.get(str(source.get("format")))
    if bits and source.get("type") == "integer":
        yield _numeric(lambda value: -(2**bits) <= value < 2**bits, f"must be of type int{bits + 1}")


def _numeric(holds: Callable[[Any], bool], text: str) -> Constraint:
    def check(value: Any, path: str) -> FieldProblem | None:
        if not isinstance(value, int | float) or isinstance(value, bool) or holds(value):
            return None
        return FieldProblem(path, f"Invalid value: {show(value)}: {path} in body {text}")

    return check


def _strings(source: Mapping[str, Any]) -> Iterator[Constraint]:
    if (shortest := source.get("minLength")) is not None:
        yield _textual(lambda text: len(text) >= shortest, f"should be at least {shortest} chars long")
    if (longest := source.get("maxLength")) is not None:

        def not_too_long(value: Any, path: str) -> FieldProblem | None:
            if not isinstance(value, str) or len(value) <= longest:
                return None
            return FieldProblem(path, f"Too long: may not be more than {longest} bytes", "FieldValueTooLong")

        yield not_too_long
    if pattern := source.get("pattern"):
        found = compile_pattern(pattern).search
        yield _textual(lambda text: found(text) is not None, f"should match '{pattern}'")


def _textual(holds: Callable[[str], bool], text: str) -> Constraint:
    def check(value: Any, path: str) -> FieldProblem | None:
        if not isinstance(value, str) or holds(value):
            return None
        return FieldProblem(path, f"Invalid value: {show(value)}: {path} in body {text}")

    return check


def _sizes(source: Mapping[str, Any]) -> Iterator[Constraint]:
    kinds: tuple[tuple[type[Sized], str, str], ...] = ((list, "Items", "items"), (dict, "Properties", "properties"))
    for kind, suffix, word in kinds:
        if (least := source.get(f"min{suffix}")) is not None:
            yield _at_least(kind, least, word)
        if (most := source.get(f"max{suffix}")) is not None:
            yield _at_most(kind, most, word)


def _at_least(kind: type[Sized], least: int, word: str) -> Constraint:
    def check(value: Any, path: str) -> FieldProblem | None:
        if not isinstance(value, kind) or len(value) >= least:
            return None
        text = f"{path} in body should have at least {least} {word}"
        return FieldProblem(path, f"Invalid value: {len(value)}: {text}")

    return check


def _at_most(kind: type[Sized], most: int, word: str) -> Constraint:
    def check(value: Any, path: str) -> FieldProblem | None:
        if not isinstance(value, kind) or len(value) <= most:
            return None
        return FieldProblem(path, f"Too many: {len(value)}: must have at most {most} {word}", "FieldValueTooMany")

    return check


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _parses(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _is_uri(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme) or text.startswith("/")
    except ValueError:
        return False


_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*\.?\Z")
_DURATION = re.compile(r"([-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d|w))+\Z")
# Formats that kube-apiserver does not know either are not checked.
FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": lambda text: "T" in text.upper() and parse_time(text) is not None,
    "date": _parses(date.fromisoformat),
    "uuid": _parses(uuid.UUID),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(lambda text: ipaddress.ip_network(text, strict=False)),
    "uri": _is_uri,
    "byte": _is_base64,
    "hostname": lambda text: len(text) <= 255 and _HOST.match(text) is not None,
    "email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text) is not None,
    "duration": lambda text: _DURATION.match(text) is not None,
}


def _format(source: Mapping[str, Any]) -> Iterator[Constraint]:
    name = source.get("format")
    if isinstance(name, str) and name in FORMATS and source.get("type", "string") == "string":
        yield _textual(FORMATS[name], f"must be of type {name}")
