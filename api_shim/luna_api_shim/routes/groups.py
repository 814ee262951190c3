"""Groups: create, read, list, count, describe, delete; the linker."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from luna_api_shim.context import Context, api_of, context_of
from luna_api_shim.http.bodies import read_json
from luna_api_shim.http.parameters import ACCOUNT_ID, GROUP_IDS, GROUP_NAMES
from luna_api_shim.http.queries import Query, page_of
from luna_api_shim.http.replies import json_reply, no_content
from luna_api_shim.http.routing import Resource, resource
from luna_api_shim.operations import groups as operations
from luna_api_shim.operations.declaration import query_of
from luna_streams.group import StreamGroup
from luna_streams.rest.messages import GroupPatch, GroupToBeCreated, LinkerRequest, group_response


async def create(request: Request) -> Response:
    """POST /groups."""
    context = context_of(request)
    body = await read_json(request, GroupToBeCreated, context.settings.max_body_bytes)
    group = await context.group_editor.create(body)
    reply = json_reply({"group_id": group.group_id, "group_name": group.spec.group_name}, 201)
    reply.headers["Location"] = f"/{api_of(request)}/groups/{group.group_id}"
    return reply


async def list_(request: Request) -> Response:
    """GET /groups."""
    query = query_of(request)
    page = page_of(query)
    groups = sorted(await _matching(request, query), key=lambda group: (group.create_time, group.group_id))
    return json_reply({"groups": [group_response(group) for group in groups[page.offset :][: page.size]]})


async def count(request: Request) -> Response:
    """GET /groups/count."""
    return json_reply({"groups_count": len(await _matching(request, query_of(request)))})


async def read(request: Request) -> Response:
    """GET /groups/{group_id}."""
    return json_reply(group_response(await _find(request, context_of(request))))


async def patch(request: Request) -> Response:
    """PATCH /groups/{group_id}."""
    context = context_of(request)
    body = await read_json(request, GroupPatch, context.settings.max_body_bytes)
    await context.group_editor.patch(await _find(request, context), body)
    return no_content()


async def delete(request: Request) -> Response:
    """DELETE /groups/{group_id}."""
    context = context_of(request)
    await context.group_editor.delete(await _find(request, context))
    return no_content()


async def link(request: Request) -> Response:
    """PATCH /linker."""
    context = context_of(request)
    account_id = query_of(request).get(ACCOUNT_ID)
    body = await read_json(request, LinkerRequest, context.settings.max_body_bytes)
    await context.group_editor.link(body, account_id)
    return no_content()


async def _find(request: Request, context: Context) -> StreamGroup:
    account_id = query_of(request).get(ACCOUNT_ID)
    await context.store.ready()
    return await context.group_editor.find(request.path_params["group_id"], account_id)


async def _matching(request: Request, query: Query) -> list[StreamGroup]:
    """Return the groups the filters mean: within a list any, between lists all."""
    account_id = query.get(ACCOUNT_ID)
    ids, names = query.get(GROUP_IDS), query.get(GROUP_NAMES)
    store = context_of(request).store
    await store.ready()
    return [
        group
        for group in store.groups
        if account_id in (None, group.spec.account_id)
        and (ids is None or group.group_id in ids)
        and (names is None or group.spec.group_name in names)
    ]


ROUTES: Final[tuple[Resource, ...]] = (
    resource("/{api:api}/groups", GET=operations.LIST.by(list_), POST=operations.CREATE.by(create)),
    resource("/{api:api}/groups/count", GET=operations.COUNT.by(count)),
    resource(
        "/{api:api}/groups/{group_id:id}",
        GET=operations.READ.by(read),
        PATCH=operations.PATCH.by(patch),
        DELETE=operations.DELETE.by(delete),
    ),
    resource("/{api:api}/linker", PATCH=operations.LINK.by(link)),
)
