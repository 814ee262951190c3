"""Reading query strings: arrays in both forms, bounds, times, pages; every fault names its parameter."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.datastructures import QueryParams

from luna_api_shim.errors import BadQuery, QueryIncomplete
from luna_api_shim.parameters import ORDER, PAGE, PAGE_SIZE, Parameter, T
from luna_streams.naming import is_uuid

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_GROUP_NAME = re.compile(r"[a-zA-Z0-9_\-]{1,128}")
# A plus sign that a client did not encode arrives as a space.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)([Zz]|[+\- ]\d\d:\d\d)?", re.ASCII)
MAX_NAME: Final = 128
MAX_REFERENCE: Final = 512


class Query:
    """The query string of one request.

    Args:
        declared: the parameters of the operation; no other can be read.
    """

    def __init__(self, params: QueryParams, declared: Sequence[Parameter[Any]] | None = None) -> None:
        self._params = params
        self._declared = declared

    def get(self, parameter: Parameter[T]) -> T | None:
        """Return the value of a parameter; without one its default, or None.

        Raises:
            BadQuery: it is not what the parameter's kind allows.
            QueryIncomplete: it is required and missing.
        """
        if self._declared is not None and parameter not in self._declared:
            raise LookupError(f"the operation does not declare the parameter {parameter.name}")
        values = self._params.getlist(parameter.name)
        if not values and parameter.is_required:
            raise QueryIncomplete(parameter.name)
        if not values:
            return parameter.kind.default
        try:
            return parameter.kind.parse(values)
        except ValueError:
            raise BadQuery(parameter.name) from None

    def require(self, parameter: Parameter[T]) -> T:
        """Return the value of a parameter that is required or has a default; raises as `get`."""
        value = self.get(parameter)
        if value is None:
            raise LookupError(f"the parameter {parameter.name} may be absent")
        return value

    def text(self, name: str, is_valid: Callable[[str], bool] = lambda _value: True) -> str | None:
        """Return a text, None where it is not given; of a repeated one the last counts."""
        value = self._params.get(name)
        if value is not None and not (is_valid(value) and "\0" not in value):
            raise BadQuery(name)
        return value

    def uuid(self, name: str) -> str | None:
        """Return a UUID."""
        return self.text(name, is_uuid)

    def texts(self, name: str, is_valid: Callable[[str], bool]) -> frozenset[str] | None:
        """Return the values of an array: separated by commas, as repeated keys, or both."""
        if name not in self._params:
            return None
        values = frozenset(part for value in self._params.getlist(name) for part in value.split(","))
        if not all(is_valid(value) and "\0" not in value for value in values):
            raise BadQuery(name)
        return values

    def integer(self, name: str, *, low: int, high: int | None = None) -> int | None:
        """Return an integer within bounds."""
        value = self.text(name, lambda text: _INTEGER.fullmatch(text) is not None)
        if value is None:
            return None
        number = int(value)
        if number < low or (high is not None and number > high):
            raise BadQuery(name)
        return number

    def required_integer(self, name: str, *, low: int) -> int:
        """Return an integer that must be there."""
        number = self.integer(name, low=low)
        if number is None:
            raise QueryIncomplete(name)
        return number

    def time(self, name: str) -> datetime | None:
        """Return a time in RFC 3339; without an offset it is taken for UTC."""
        value = self.text(name)
        if value is None:
            return None
        match = _TIME.fullmatch(value)
        if match is None:
            raise BadQuery(name)
        offset = (match[3] or "Z").replace(" ", "+").upper()
        try:
            return datetime.fromisoformat(f"{match[1]}T{_microseconds(match[2])}{offset}").astimezone(UTC)
        except (ValueError, OverflowError):
            raise BadQuery(name) from None


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        """How many items come before."""
        return min((self.number - 1) * self.size, _FAR_AWAY)


_FAR_AWAY: Final = 2**62
"""Beyond the end of every list, and still an index."""


def page_of(query: Query) -> Page:
    """Return the page asked for, by default the first of ten."""
    return Page(query.require(PAGE), query.require(PAGE_SIZE))


def is_name(value: str) -> bool:
    """Tell whether a text can be the name of a stream."""
    return len(value) <= MAX_NAME


def is_reference(value: str) -> bool:
    """Tell whether a text can be a reference."""
    return len(value) <= MAX_REFERENCE


def is_group_name(value: str) -> bool:
    """Tell whether a text can be the name of a group."""
    return _GROUP_NAME.fullmatch(value) is not None


def is_newest_first(query: Query) -> bool:
    """Return the order asked for; by default the oldest come first."""
    return query.get(ORDER) == "desc"


def _microseconds(clock: str) -> str:
    """Cut a time of day to what Python can hold."""
    whole, dot, fraction = clock.partition(".")
    return f"{whole}{dot}{fraction[:6]}"
