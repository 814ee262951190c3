"""The service itself: version, health, metrics."""

from __future__ import annotations

import time
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from luna_api_shim.context import context_of
from luna_api_shim.errors import Disabled, UnsupportedMediaType
from luna_api_shim.http.negotiation import choose
from luna_api_shim.http.parameters import INCLUDE_LUNA_SERVICES
from luna_api_shim.http.replies import JSON, MSGPACK, json_reply, msgpack_reply
from luna_api_shim.http.routing import Resource, resource
from luna_api_shim.operations import service as operations
from luna_api_shim.operations.declaration import query_of

VERSION: Final = {"Version": {"api": 1, "major": 1, "minor": 1, "patch": 18}}
"""The version of LUNA Streams whose API this is: clients look at it to know what they may ask."""


async def version(request: Request) -> Response:
    """GET /version, the one operation that offers msgpack, too."""
    accept = ",".join(request.headers.getlist("Accept"))
    try:
        form = choose(accept, (JSON, MSGPACK))
    except UnsupportedMediaType:  # which is not among the answers of this operation
        form = JSON
    reply = msgpack_reply(VERSION) if form == MSGPACK else json_reply(VERSION)
    reply.headers["Vary"] = "Accept"
    return reply


async def healthcheck(request: Request) -> Response:
    """GET /healthcheck: whether what the service depends on is well."""
    wanted = query_of(request).get(INCLUDE_LUNA_SERVICES)
    began = time.monotonic()
    faults = await context_of(request).health.faults(include_luna_services=wanted == 1)
    if faults:
        return json_reply({"errors": [fault.to_rest() for fault in faults]}, 502)
    return json_reply({"execution_time": round(time.monotonic() - began, 6)})


async def ready(request: Request) -> Response:
    """GET /readyz, for probes: whether requests should be sent here; 503 if not. Not part of the documented API."""
    reason = context_of(request).unready()
    return json_reply({"faults": [] if reason is None else [reason]}, 200 if reason is None else 503)


async def alive(_request: Request) -> Response:
    """GET /livez, for probes: the event loop turns. Never asks anybody else. Not part of the documented API."""
    return json_reply({})


async def metrics(request: Request) -> Response:
    """GET /metrics."""
    context = context_of(request)
    if not context.settings.metrics_enabled:
        raise Disabled
    text, form = context.metrics.render(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": form})


ROUTES: Final[tuple[Resource, ...]] = (
    resource("/version", GET=operations.VERSION.by(version)),
    resource("/healthcheck", GET=operations.HEALTH.by(healthcheck)),
    resource("/metrics", GET=operations.METRICS.by(metrics)),
    resource("/readyz", GET=ready),
    resource("/livez", GET=alive),
)
