"""What workers ask: a look at the queue, streams from the queue, feedback."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from luna_api_shim.bodies import read, validate
from luna_api_shim.context import api_of, context_of
from luna_api_shim.desk import departure
from luna_api_shim.preview_urls import check_preview_urls
from luna_api_shim.queries import Query, is_group_name, is_name
from luna_api_shim.rendering import render_streams
from luna_api_shim.replies import json_reply, raw_json_reply
from luna_api_shim.routing import resource
from luna_streams.naming import is_uuid
from luna_streams.rest.messages import FeedbackRequest, QueueFilters, QueueRequest

_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,6}(?:\.\d{1,6})?)"?\s*(?:;[^,]*)?(?=,|$)', re.IGNORECASE | re.ASCII)


async def look(request: Request) -> Response:
    """GET /streams/processing/queue."""
    context, query = context_of(request), Query(request.query_params)
    limit = query.required_integer("limit", low=1)
    filters = QueueFilters(
        stream_ids=tuple(query.texts("stream_ids", is_uuid) or ()),
        names=tuple(query.texts("names", is_name) or ()),
        group_ids=tuple(query.texts("group_ids", is_uuid) or ()),
        group_names=tuple(query.texts("group_names", is_group_name) or ()),
    )
    await context.store.ready()
    entries = context.queue.pending(filters, limit)
    return raw_json_reply(render_streams(context.store, entries, api_of(request)))


async def take(request: Request) -> Response:
    """POST /streams/processing/queue."""
    context = context_of(request)
    return await context.desk.serve(request, await read(request, context.settings.max_body_bytes), _take)


async def feedback(request: Request) -> Response:
    """POST /streams/processing/feedback."""
    context = context_of(request)
    return await context.desk.serve(request, await read(request, context.settings.max_body_bytes), _feedback)


async def _take(request: Request, body: bytes) -> Response:
    context = context_of(request)
    wanted = validate(request, body, QueueRequest)
    worker = await context.workers.identify(request.headers)
    wait_s = min(wait_of(request.headers.get("prefer", "")), context.settings.longest_wait)
    await context.store.ready()
    async with departure(request, lambda: context.queue.wake(worker)) as gone:
        taken = await context.queue.take(worker, wanted, wait_s, gone)
    return raw_json_reply(render_streams(context.store, taken, api_of(request)))


async def _feedback(request: Request, body: bytes) -> Response:
    context = context_of(request)
    reports = validate(request, body, FeedbackRequest)
    check_preview_urls(reports)
    worker = await context.workers.identify(request.headers)
    await context.store.ready()
    answer = await context.feedback.report(worker, reports.streams)
    return json_reply(answer.to_rest())


def wait_of(prefer: str) -> float:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), 0 where it is not asked for."""
    match = _WAIT.search(prefer)
    return float(match[1]) if match else 0.0


ROUTES: Final[tuple[Route, ...]] = (
    resource("/{api:api}/streams/processing/queue", GET=look, POST=take),
    resource("/{api:api}/streams/processing/feedback", POST=feedback),
)
