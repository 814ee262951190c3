"""The form of a declared operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from luna_api_shim.http.parameters import Parameter
from luna_api_shim.http.queries import Query
from luna_api_shim.storage.rendering import ApiVersion

Endpoint = Callable[[Request], Awaitable[Response]]
Json = dict[str, Any]
ByVersion = Mapping[ApiVersion, type[BaseModel]]
"""A model for each version of the API."""

JSON: Final = "application/json"
OPERATION: Final = "luna.operation"
"""Key of the scope under which the operation of a request stands."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """The body of a request.

    Attributes:
        examples: by name.
        examples_v2: those of version 2, where they differ.
    """

    model: type[BaseModel] | ByVersion
    examples: Mapping[str, Json] = field(default_factory=dict)
    examples_v2: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What an operation answers when all is well, or as well as this operation can tell.

    Attributes:
        model: of a JSON answer.
        example: of it.
        example_v2: that of version 2, where it differs.
        texts: description of the text by media type, for answers that are none.
        headers: name and description, besides Luna-Request-Id and Content-Type.
        msgpack: whether a client may ask for application/msgpack instead.
        links: ids of operations that take a field of this answer as a parameter of the same name, by the field.
    """

    status: int
    description: str
    model: type[BaseModel] | ByVersion | None = None
    example: Json | None = None
    example_v2: Json | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    msgpack: bool = False
    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """What one operation takes and answers, in every version of the API that has it.

    Attributes:
        id: operationId of version 1; that of version 2 ends in V2.
        tag: group in the document; that of version 2 ends in ` V2`.
        parameters: besides Luna-Request-Id, which every operation takes.
        errors: one of each that a client should know; the document shows them as they are answered.
    """

    id: str
    tag: str
    summary: str
    description: str
    parameters: tuple[Parameter[Any], ...] = ()
    body: Body | None = None
    answers: tuple[Answer, ...] = ()
    errors: tuple[Exception, ...] = ()

    def by(self, endpoint: Endpoint) -> Served:
        """Bind the operation to the endpoint that serves it."""
        return Served(self, endpoint)


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """An operation and its endpoint."""

    operation: Operation
    endpoint: Endpoint


def query_of(request: Request) -> Query:
    """Return the query of a request; it reads the parameters its operation declares."""
    operation: Operation = request.scope[OPERATION]
    return Query(request.query_params, operation.parameters)
