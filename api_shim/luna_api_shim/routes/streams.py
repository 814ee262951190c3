"""Streams: create, read, list, count, change, replace, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from luna_api_shim.context import Context, api_of, context_of
from luna_api_shim.editing.accounts import check_accounts
from luna_api_shim.http.bodies import read as read_body
from luna_api_shim.http.bodies import read_json, validate
from luna_api_shim.http.parameters import (
    ACCOUNT_ID,
    CREATE_TIME_GTE,
    CREATE_TIME_LT,
    GROUP_NAME,
    NAMES,
    REFERENCE,
    STATUSES,
    STREAM_ID_GTE,
    STREAM_ID_LT,
    STREAM_IDS,
)
from luna_api_shim.http.queries import Query, is_newest_first, page_of
from luna_api_shim.http.replies import json_reply, no_content, raw_json_reply
from luna_api_shim.http.routing import Resource, resource
from luna_api_shim.operations import streams as operations
from luna_api_shim.operations.declaration import query_of
from luna_api_shim.replicas.desk import Errand, Serve
from luna_api_shim.storage.catalogue import Entry, StreamFilter
from luna_api_shim.storage.rendering import ApiVersion, render, render_streams
from luna_streams.errors import CredentialsMissing
from luna_streams.references import split_reference
from luna_streams.rest.messages import StreamPatch, StreamsDelete
from luna_streams.rest.v1 import StreamToBeCreatedV1
from luna_streams.rest.v2 import StreamToBeCreatedV2

_BODIES: Final[dict[ApiVersion, type[StreamToBeCreatedV1] | type[StreamToBeCreatedV2]]] = {
    1: StreamToBeCreatedV1,
    2: StreamToBeCreatedV2,
}


async def create(request: Request) -> Response:
    """POST /streams."""
    return await _limited(request, _create)


async def _create(request: Request, body: bytes) -> Response:
    context, api = context_of(request), api_of(request)
    entry = await context.editor.create(_read_stream(request, body))
    reply = json_reply({"stream_id": entry.stream_id, "version": 1}, 201)
    reply.headers["Location"] = f"/{api}/streams/{entry.stream_id}"
    return reply


async def list_(request: Request) -> Response:
    """GET /streams."""
    context, query = context_of(request), query_of(request)
    page, wanted, newest_first = page_of(query), _filter_of(query, context), is_newest_first(query)
    await context.store.ready()
    entries = context.store.catalogue.select(wanted, newest_first=newest_first, offset=page.offset, limit=page.size)
    return raw_json_reply(render_streams(context.store, entries, api_of(request)))


async def count(request: Request) -> Response:
    """GET /streams/count."""
    context = context_of(request)
    wanted = _filter_of(query_of(request), context)
    await context.store.ready()
    return json_reply({"streams_count": context.store.catalogue.count(wanted)})


async def delete_matching(request: Request) -> Response:
    """DELETE /streams: those with one of the ids or one of the names."""
    context = context_of(request)
    account_id = query_of(request).get(ACCOUNT_ID)
    body = await read_json(request, StreamsDelete, context.settings.max_body_bytes)
    await context.store.ready()
    catalogue = context.store.catalogue
    named = catalogue.matching(StreamFilter(account_id=account_id, names=frozenset(body.names or ())))
    with_id = catalogue.matching(StreamFilter(account_id=account_id, stream_ids=frozenset(body.stream_ids or ())))
    await context.editor.delete_all({entry.stream_id: entry for entry in (*named, *with_id)}.values())
    return no_content()


async def read(request: Request) -> Response:
    """GET /streams/{stream_id}."""
    context = context_of(request)
    entry = await _find(request, context)
    await context.store.fetch_secrets(entry.stream)  # another replica may have made them just now
    return raw_json_reply(render(context.store, entry, api_of(request)))


async def patch(request: Request) -> Response:
    """PATCH /streams/{stream_id}."""
    return await _limited(request, _patch)


async def _patch(request: Request, body: bytes) -> Response:
    context = context_of(request)
    changes = validate(request, body, StreamPatch)
    await context.editor.patch(await _find(request, context), changes)
    return no_content()


async def put(request: Request) -> Response:
    """PUT /streams/{stream_id}; the one operation on a stream that does not look at account_id."""
    return await _limited(request, _put)


async def _put(request: Request, body: bytes) -> Response:
    context = context_of(request)
    wanted = _read_stream(request, body)
    entry = await context.editor.replace(await context.editor.find(request.path_params["stream_id"]), wanted)
    return json_reply({"stream_id": entry.stream_id, "version": entry.record.version})


async def delete(request: Request) -> Response:
    """DELETE /streams/{stream_id}."""
    context = context_of(request)
    await context.editor.delete(await _find(request, context))
    return no_content()


async def _limited(request: Request, serve: Serve) -> Response:
    """Serve what may make a stream active; where there is a quota, the leader does, who counts for all replicas."""
    context = context_of(request)
    body = await read_body(request, context.settings.max_body_bytes)
    return await (context.desk.serve(request, body, Errand(serve)) if context.quota.is_on else serve(request, body))


def _read_stream(request: Request, body: bytes) -> StreamToBeCreatedV1 | StreamToBeCreatedV2:
    stream = validate(request, body, _BODIES[api_of(request)])
    check_accounts(stream)
    return stream


async def _find(request: Request, context: Context) -> Entry:
    account_id = query_of(request).get(ACCOUNT_ID)
    return await context.editor.find(request.path_params["stream_id"], account_id)


def _filter_of(query: Query, context: Context) -> StreamFilter:
    reference = query.get(REFERENCE)
    stored, user_info = (None, None) if reference is None else split_reference(reference)
    return StreamFilter(
        account_id=query.get(ACCOUNT_ID),
        stream_ids=query.get(STREAM_IDS),
        names=query.get(NAMES),
        reference=stored,
        statuses=query.get(STATUSES),
        group_name=query.get(GROUP_NAME),
        create_time_gte=query.get(CREATE_TIME_GTE),
        create_time_lt=query.get(CREATE_TIME_LT),
        stream_id_gte=query.get(STREAM_ID_GTE),
        stream_id_lt=query.get(STREAM_ID_LT),
        check=None if reference is None else _has_user_info(context, user_info),
    )


def _has_user_info(context: Context, wanted: SecretStr | None) -> Callable[[Entry], bool]:
    """Return a check of the part of the reference that stands in a Secret."""

    def check(entry: Entry) -> bool:
        try:
            return context.store.credentials(entry.stream).user_info == wanted
        except CredentialsMissing:
            return False

    return check


ROUTES: Final[tuple[Resource, ...]] = (
    resource(
        "/{api:api}/streams",
        GET=operations.LIST.by(list_),
        POST=operations.CREATE.by(create),
        DELETE=operations.DELETE_MATCHING.by(delete_matching),
    ),
    resource("/{api:api}/streams/count", GET=operations.COUNT.by(count)),
    resource(
        "/{api:api}/streams/{stream_id:id}",
        GET=operations.READ.by(read),
        PATCH=operations.PATCH.by(patch),
        PUT=operations.PUT.by(put),
        DELETE=operations.DELETE.by(delete),
    ),
)
