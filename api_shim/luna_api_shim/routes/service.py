"""The service itself: version, health, metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from luna_api_shim.context import context_of
from luna_api_shim.errors import Disabled
from luna_api_shim.queries import Query
from luna_api_shim.replies import DATABASE, error_body, json_reply
from luna_api_shim.routing import resource
from luna_kube import ApiError

log = logging.getLogger(__name__)

VERSION: Final = {"Version": {"api": 1, "major": 1, "minor": 1, "patch": 18}}
"""The version of LUNA Streams whose API this is: clients look at it to know what they may ask."""

_HEALTH_TIMEOUT_S: Final = 3.0


async def version(_request: Request) -> Response:
    """GET /version."""
    return json_reply(VERSION)


async def healthcheck(request: Request) -> Response:
    """GET /healthcheck: whether the API server, which is the database here, answers."""
    context = context_of(request)
    Query(request.query_params).integer("include_luna_services", low=0, high=1)
    began = time.monotonic()
    try:
        async with asyncio.timeout(_HEALTH_TIMEOUT_S):
            await context.check_health()
    except (ApiError, TimeoutError) as e:
        log.warning("not healthy: %s", e or "the API server does not answer in time")
        error = error_body(DATABASE, DATABASE.detail or "")
        return json_reply({"errors": [{"component": "db", "error": error, "status": 0}]}, 502)
    return json_reply({"execution_time": round(time.monotonic() - began, 6)})


async def metrics(request: Request) -> Response:
    """GET /metrics."""
    context = context_of(request)
    if not context.settings.metrics_enabled:
        raise Disabled
    return Response(context.metrics.text(), media_type="text/plain; charset=UTF-8")


ROUTES: Final[tuple[Route, ...]] = (
    resource("/version", GET=version),
    resource("/healthcheck", GET=healthcheck),
    resource("/metrics", GET=metrics),
)
