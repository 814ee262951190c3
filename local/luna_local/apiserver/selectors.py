"""Label and field selectors, parsed once into a test of a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from luna_local.apiserver.errors import bad_request
from luna_local.apiserver.resources import Resource
from luna_local.apiserver.store import Record

Test = Callable[[Record], bool]

_KEY = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"""\s*(?:
        (?P<set_key>{_KEY})\s+(?P<set_op>in|notin)\s*\((?P<values>[^()]*)\)
      | (?P<key>{_KEY})\s*(?P<op>==|=|!=|>|<)\s*(?P<value>{_VALUE})
      | !\s*(?P<absent>{_KEY})
      | (?P<present>{_KEY})
    )\s*(?:,|\Z)""",
    re.VERBOSE,
)
_VALUE_ONLY = re.compile(_VALUE + r"\Z")


def matcher(resource: Resource, labels: str, fields: str) -> Test | None:
    """Return a test of records for the two selectors; None when everything matches.

    Raises:
        ApiError: 400 when a selector cannot be parsed or names a field that is not selectable.
    """
    tests = [*_label_tests(labels), *_field_tests(resource, fields)]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda record: all(test(record) for test in tests)


def _label_tests(text: str) -> Iterator[Test]:
    position = 0
    stripped = text.strip()
    while position < len(stripped):
        match = _REQUIREMENT.match(stripped, position)
        if match is None or (match.end() == len(stripped) and stripped.endswith(",")):
            raise bad_request(f"unable to parse requirement: {stripped[position:]!r} is no label selector")
        yield _label_test(match)
        position = match.end()


def _label_test(match: re.Match[str]) -> Test:
    if key := match["set_key"]:
        values = _values(match["values"])
        if match["set_op"] == "in":
            return lambda record: record.labels.get(key) in values
        return lambda record: record.labels.get(key) not in values
    if key := match["absent"]:
        return lambda record: key not in record.labels
    if key := match["present"]:
        return lambda record: key in record.labels
    return _comparison(match["key"], match["op"], match["value"])


def _values(text: str) -> frozenset[str]:
    values = frozenset(value.strip() for value in text.split(","))
    for value in values:
        if not _VALUE_ONLY.match(value):
            raise bad_request(f"unable to parse requirement: {value!r} is no label value")
    return values


def _comparison(key: str, operator: str, value: str) -> Test:
    if operator == "!=":
        return lambda record: record.labels.get(key) != value
    if operator in ("=", "=="):
        return lambda record: record.labels.get(key) == value
    if not value.isdigit():
        raise bad_request(f"unable to parse requirement: {value!r} must be an integer for '{operator}'")
    bound, sign = int(value), 1 if operator == ">" else -1

    def beyond(record: Record) -> bool:
        actual = record.labels.get(key, "")
        return actual.isdigit() and (int(actual) - bound) * sign > 0

    return beyond


def field_requirements(text: str) -> Iterator[tuple[str, bool, str]]:
    """Return (path, whether it must equal, value) of each part of a field selector.

    Raises:
        ApiError: 400 when it cannot be parsed.
    """
    for part in filter(None, re.split(r"(?<!\\),", text)):
        match = re.match(r"(.*?)(!=|==|=)(.*)\Z", part.strip())
        if match is None:
            raise bad_request(f"invalid field selector: {part!r}; can't understand '{part}'")
        yield match[1], match[2] != "!=", re.sub(r"\\([\\,=])", r"\1", match[3])


def _field_tests(resource: Resource, text: str) -> Iterator[Test]:
    for path, must_equal, value in field_requirements(text):
        yield _field_test(resource, path, must_equal, value)


def _field_test(resource: Resource, path: str, must_equal: bool, value: str) -> Test:
    if path == "metadata.name":
        return lambda record: (record.key[1] == value) is must_equal
    if path == "metadata.namespace" and resource.is_namespaced:
        return lambda record: (record.key[0] == value) is must_equal
    if path not in resource.selectable:
        raise bad_request(f"field label not supported: {path}")
    index = resource.selectable.index(path)
    return lambda record: (record.fields[index] == value) is must_equal
