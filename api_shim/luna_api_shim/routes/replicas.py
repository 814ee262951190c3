"""What replicas ask each other; not part of the documented API."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from luna_api_shim.context import context_of
from luna_api_shim.errors import BadBody
from luna_api_shim.http.bodies import read
from luna_api_shim.http.replies import json_reply
from luna_api_shim.http.routing import Resource, resource
from luna_api_shim.replicas.peers import PATH, Greeting

_LONGEST_GREETING: Final = 16 * 1024


async def greet(request: Request) -> Response:
    """POST /replicas/greeting: who this replica is, for another one."""
    context = context_of(request)
    try:
        greeting = Greeting.model_validate_json(await read(request, _LONGEST_GREETING))
    except ValidationError as e:
        first = e.errors()[0]
        raise BadBody(".".join(map(str, first["loc"])), first["msg"]) from None
    is_trusted = context.desk.is_of_a_replica(request)
    return json_reply(context.peers.answer(greeting, is_trusted=is_trusted).model_dump(mode="json"))


ROUTES: Final[tuple[Resource, ...]] = (resource(PATH, POST=greet),)
