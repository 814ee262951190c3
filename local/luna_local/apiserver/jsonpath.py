"""JSONPath as CRDs use it in printer columns: ``.spec.url``, ``.items[0]``, ``.conditions[?(@.type=="Ready")].status``.

This is Kubernetes' own dialect: the leading dot may be absent, a backslash escapes a dot in a name, filters compare
one field with a literal. Slices with steps and arithmetic are not supported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_STEPS = re.compile(
    r"""
      \[\s*\?\(\s*@(?P<subject>[^=!<>)\s]*)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<literal>"[^"]*"|'[^']*'|[^)\s]+)\s*)?\)\s*\]
    | \[\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*\]
    | \[\s*(?P<index>-?\d+)\s*\]
    | \[\s*(?P<start>-?\d*)\s*:\s*(?P<stop>-?\d*)\s*\]
    | (?P<every>\[\s*\*\s*\]|\.\*)
    | \.(?P<deep>\.)(?P<deep_name>(?:[^.\[\]\\]|\\.)+)
    | \.?(?P<name>(?:[^.\[\]\\]|\\.)+)
    """,
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}


class JsonPath:
    """A compiled path.

    Raises:
        ValueError: when the text is no path.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._steps = tuple(_compile(text))

    def find(self, document: Any) -> list[Any]:
        """Return every value the path leads to."""
        values = [document]
        for step in self._steps:
            values = [found for value in values for found in step(value)]
        return values


def _compile(text: str) -> Iterator[Step]:
    rest = text.strip()
    rest = rest[1:-1] if rest.startswith("{") and rest.endswith("}") else rest
    rest = rest.removeprefix("$")
    if rest in ("", "."):
        return
    position = 0
    while position < len(rest):
        match = _STEPS.match(rest, position)
        if match is None:
            raise ValueError(f"{text!r} is no JSONPath (at character {position})")
        yield _step(match)
        position = match.end()


def _step(match: re.Match[str]) -> Step:
    part = match.groupdict()
    if part["subject"] is not None:
        return _filter(JsonPath(part["subject"]), part["op"], part["literal"])
    if part["index"] is not None:
        return _item(int(part["index"]))
    if part["start"] is not None:
        bounds = slice(*(int(bound) if bound else None for bound in (part["start"], part["stop"])))
        return _slice_of(lambda items: items[bounds])
    if part["every"] is not None:
        return _children
    if part["deep"] is not None:
        return _descendants(_unescape(part["deep_name"]))
    quoted = part["single"] if part["single"] is not None else part["double"]
    return _member(quoted if quoted is not None else _unescape(part["name"]))


def _unescape(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _member(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _item(index: int) -> Step:
    return _slice_of(lambda items: items[index : index + 1 or None])


def _slice_of(choose: Callable[[list[Any]], list[Any]]) -> Step:
    return lambda value: iter(choose(value) if isinstance(value, list) else [])


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _descendants(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]
        for child in _children(value):
            yield from step(child)

    return step


def _filter(subject: JsonPath, operator: str | None, literal: str | None) -> Step:
    def keeps(item: Any) -> bool:
        found = subject.find(item)
        if operator is None or literal is None:
            return bool(found)
        try:
            return any(_COMPARE[operator](value, _literal(literal)) for value in found)
        except TypeError:
            return False

    return lambda value: (item for item in (value if isinstance(value, list) else []) if keeps(item))


def _literal(text: str) -> Any:
    if text[0] in "\"'":
        return text[1:-1]
    named = {"true": True, "false": False, "null": None}
    if text in named:
        return named[text]
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text
