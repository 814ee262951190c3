"""The log of streams: read, delete what is old.

Served by the leader, who copies the log and hence knows what is not in the database yet. Where nobody leads, a replica
that has the database as well answers what stands there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from luna_api_shim.context import Context, context_of
from luna_api_shim.errors import NotReady
from luna_api_shim.http.parameters import ACCOUNT_ID, LOG_TARGETS, LOG_TIME_GTE, LOG_TIME_LT, STATUSES, STREAM_IDS
from luna_api_shim.http.queries import Query, page_of
from luna_api_shim.http.replies import json_reply
from luna_api_shim.http.routing import Resource, resource
from luna_api_shim.logs.rows import LogFilter
from luna_api_shim.operations import logs as operations
from luna_api_shim.operations.declaration import query_of
from luna_api_shim.replicas.desk import Errand
from luna_streams.naming import is_uuid

LOOK_AGAIN: Final = "Luna-Look-Again"
"""Header of a request that another replica passes on: the streams it has written just now."""


async def list_(request: Request) -> Response:
    """GET /streams/logs."""
    query = query_of(request)
    wanted, page = _filter_of(query), page_of(query)
    targets: frozenset[str] = query.require(LOG_TARGETS)

    async def answer() -> Response:
        logbook = context_of(request).logbook
        return json_reply({"logs": await logbook.page(wanted, targets, page.offset, page.size)})

    return await _at_the_leader(request, answer, wanted.stream_ids or frozenset())


async def delete(request: Request) -> Response:
    """DELETE /streams/logs."""
    before = query_of(request).get(LOG_TIME_LT)

    async def answer() -> Response:
        return json_reply({"deleted_count": await context_of(request).logbook.clear(before)})

    return await _at_the_leader(request, answer)


async def _at_the_leader(
    request: Request, answer: Callable[[], Awaitable[Response]], stream_ids: Set[str] = frozenset()
) -> Response:
    """Answer where everything is copied first, or pass the request on to there; else with what the database has."""
    context: Context = context_of(request)

    async def serve(_request: Request, _body: bytes) -> Response:
        await context.logbook.catch_up(_news(request) | stream_ids)
        return await answer()

    news = {LOOK_AGAIN: ",".join(context.store.recently_written())}
    try:
        return await context.desk.serve(request, b"", Errand(serve, news, is_repeatable=True))
    except NotReady:
        if not context.logbook.serves_alone:
            raise
        return await answer()


def _news(request: Request) -> frozenset[str]:
    return frozenset(filter(is_uuid, request.headers.get(LOOK_AGAIN, "").split(",")))


def _filter_of(query: Query) -> LogFilter:
    return LogFilter(
        account_id=query.get(ACCOUNT_ID),
        stream_ids=query.get(STREAM_IDS),
        statuses=query.get(STATUSES),
        time_gte=query.get(LOG_TIME_GTE),
        time_lt=query.get(LOG_TIME_LT),
    )


ROUTES: Final[tuple[Resource, ...]] = (
    resource("/{api:api}/streams/logs", GET=operations.LIST.by(list_), DELETE=operations.DELETE.by(delete)),
)
