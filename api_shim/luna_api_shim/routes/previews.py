"""Previews: the last frame of a stream, and live pictures."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from luna_api_shim.context import context_of
from luna_api_shim.errors import NoPreview
from luna_api_shim.http.frame import REQUEST_ID
from luna_api_shim.http.parameters import ACCOUNT_ID
from luna_api_shim.http.routing import Resource, resource
from luna_api_shim.operations import previews as operations
from luna_api_shim.operations.declaration import query_of
from luna_api_shim.previews.destinations import address_of
from luna_api_shim.previews.pictures import View
from luna_streams.stream import StreamState, StreamStatus


async def frame(request: Request) -> Response:
    """GET /streams/{stream_id}/preview/handler/frame."""
    return await _relay(request, "frame")


async def live(request: Request) -> Response:
    """GET /streams/{stream_id}/preview/handler/live."""
    return await _relay(request, "live")


async def _relay(request: Request, view: View) -> Response:
    context = context_of(request)
    account_id = query_of(request).get(ACCOUNT_ID)
    entry = await context.editor.find(request.path_params["stream_id"], account_id)
    url = preview_url(entry.record, view)
    if url is None:
        raise NoPreview(entry.stream_id)
    worker = address_of(entry.record.processor.address or "")
    picture = await context.previews.open(view, url, worker, request.scope[REQUEST_ID])
    return picture.reply()


def preview_url(record: StreamStatus, view: View) -> str | None:
    """Return where the worker that holds a stream shows it; None if none holds it or it shows nothing."""
    if record.status != StreamState.IN_PROGRESS or record.preview is None:
        return None
    place = record.preview.live if view == "live" else record.preview.last_frame
    return (place.url or None) if place is not None else None


ROUTES: Final[tuple[Resource, ...]] = (
    resource("/{api:api}/streams/{stream_id:id}/preview/handler/frame", GET=operations.FRAME.by(frame)),
    resource("/{api:api}/streams/{stream_id:id}/preview/handler/live", GET=operations.LIVE.by(live)),
)
