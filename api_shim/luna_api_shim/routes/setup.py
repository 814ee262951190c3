"""How the service is set up: its settings and its plugins."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from luna_api_shim.configuration import as_text, sections
from luna_api_shim.context import context_of
from luna_api_shim.http.negotiation import choose
from luna_api_shim.http.replies import json_reply
from luna_api_shim.http.routing import Resource, resource
from luna_api_shim.operations import service as operations

_JSON, _TEXT = "application/json", "text/plain"


async def config(request: Request) -> Response:
    """GET /config: the settings this replica runs with."""
    form = choose(request.headers.get("accept"), (_JSON, _TEXT))
    settings = sections(context_of(request).settings)
    if form == _TEXT:
        return Response(as_text(settings), headers={"Content-Type": _TEXT})
    return json_reply(settings)


async def plugins(request: Request) -> Response:
    """GET /plugins: what runs next to the service, and whether it does."""
    states = context_of(request).plugins.states
    return json_reply({"plugins": [{"name": state.name, "running": int(state.is_running)} for state in states]})


ROUTES: Final[tuple[Resource, ...]] = (
    resource("/{api:api}/config", GET=operations.CONFIG.by(config)),
    resource("/{api:api}/plugins", GET=operations.PLUGINS.by(plugins)),
)
