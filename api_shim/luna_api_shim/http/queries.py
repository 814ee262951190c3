"""Reading query strings as the operation declares them; every fault names its parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import QueryParams

from luna_api_shim.errors import BadQuery, QueryIncomplete
from luna_api_shim.http.parameters import ORDER, PAGE, PAGE_SIZE, Parameter, T


class Query:
    """The query string of one request.

    Args:
        declared: the parameters of the operation; no other can be read.
    """

    def __init__(self, params: QueryParams, declared: Sequence[Parameter[Any]]) -> None:
        self._params = params
        self._declared = declared

    def get(self, parameter: Parameter[T]) -> T | None:
        """Return the value of a parameter; without one its default, or None.

        Raises:
            BadQuery: it is not what the parameter's kind allows.
            QueryIncomplete: it is required and missing.
        """
        if parameter not in self._declared:
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


def is_newest_first(query: Query) -> bool:
    """Return the order asked for; by default the oldest come first."""
    return query.get(ORDER) == "desc"
