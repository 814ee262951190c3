"""What workers ask: a look at the queue, streams from the queue, feedback."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from luna_api_shim.context import api_of, context_of
from luna_api_shim.http.bodies import read, validate
from luna_api_shim.http.parameters import LIMIT, NAMES, QUEUE_GROUP_IDS, QUEUE_GROUP_NAMES, STREAM_IDS, Parameter
from luna_api_shim.http.queries import Query
from luna_api_shim.http.replies import json_reply, raw_json_reply
from luna_api_shim.http.routing import Resource, resource
from luna_api_shim.operations import processing as operations
from luna_api_shim.operations.declaration import query_of
from luna_api_shim.previews.urls import check_preview_urls
from luna_api_shim.replicas.desk import Errand, departure
from luna_api_shim.storage.rendering import render_streams
from luna_api_shim.workers.identity import RECEIVED_HEADER
from luna_streams.rest.messages import FeedbackRequest, QueueFilters, QueueRequest

_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,6}(?:\.\d{1,6})?)"?\s*(?:;[^,]*)?(?=,|$)', re.IGNORECASE | re.ASCII)


async def look(request: Request) -> Response:
    """GET /streams/processing/queue."""
    context, query = context_of(request), query_of(request)
    limit = query.require(LIMIT)
    filters = QueueFilters(
        stream_ids=_any_of(query, STREAM_IDS),
        names=_any_of(query, NAMES),
        group_ids=_any_of(query, QUEUE_GROUP_IDS),
        group_names=_any_of(query, QUEUE_GROUP_NAMES),
    )
    await context.store.ready()
    entries = context.queue.pending(filters, limit)
    return raw_json_reply(render_streams(context.store, entries, api_of(request)))


async def take(request: Request) -> Response:
    """POST /streams/processing/queue."""
    context = context_of(request)
    errand = Errand(_take, is_repeatable=True)
    return await context.desk.serve(request, await read(request, context.settings.max_body_bytes), errand)


async def feedback(request: Request) -> Response:
    """POST /streams/processing/feedback."""
    context = context_of(request)
    errand = Errand(
        _feedback, is_repeatable=True, reassure=_reassure, is_known=lambda asked: context.workers.knows(asked.headers)
    )
    return await context.desk.serve(request, await read(request, context.settings.max_body_bytes), errand)


def _any_of(query: Query, parameter: Parameter[frozenset[str]]) -> tuple[str, ...]:
    values = query.get(parameter)
    return tuple(values) if values else ()


async def _take(request: Request, body: bytes) -> Response:
    context = context_of(request)
    wanted = validate(request, body, QueueRequest)
    worker = await context.workers.identify(request.headers)
    worker = await context.workers.locate(worker, context.desk.sender_of(request))
    wait_s = min(wait_of(request.headers.get("prefer", "")), context.settings.longest_wait)
    await context.store.ready()
    async with departure(request, lambda: context.queue.wake(worker)) as gone:
        taken = await context.queue.take(worker, wanted, wait_s, gone)
    context.metrics.taken(len(taken))
    reply = raw_json_reply(render_streams(context.store, taken, api_of(request)))
    if taken:
        reply.headers[RECEIVED_HEADER] = max(entry.record.status_time for entry in taken).isoformat()
    return reply


async def _feedback(request: Request, body: bytes) -> Response:
    context = context_of(request)
    reports = validate(request, body, FeedbackRequest)
    check_preview_urls(reports)
    worker = await context.workers.identify(request.headers)
    await context.store.ready()
    answer = await context.feedback.report(worker, reports.streams)
    context.metrics.reported(modified=len(answer.streams.modified), unmodified=len(answer.streams.unmodified))
    return json_reply(answer.to_rest())


async def _reassure(request: Request, body: bytes) -> Response:
    """Answer feedback for the leader while there is none: every stream goes on."""
    context = context_of(request)
    reports = validate(request, body, FeedbackRequest)
    check_preview_urls(reports)
    worker = await context.workers.identify(request.headers)
    answer = context.feedback.reassure(worker, reports.streams)
    context.metrics.reassured(len(answer.streams.unmodified))
    return json_reply(answer.to_rest())


def wait_of(prefer: str) -> float:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), 0 where it is not asked for."""
    match = _WAIT.search(prefer)
    return float(match[1]) if match else 0.0


ROUTES: Final[tuple[Resource, ...]] = (
    resource("/{api:api}/streams/processing/queue", GET=operations.LOOK.by(look), POST=operations.TAKE.by(take)),
    resource("/{api:api}/streams/processing/feedback", POST=operations.FEEDBACK.by(feedback)),
)
