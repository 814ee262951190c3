"""Documents: the OpenAPI document and the manual."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from luna_api_shim.errors import PageNotFound
from luna_api_shim.http.negotiation import choose
from luna_api_shim.http.routing import Resource, resource
from luna_api_shim.operations import service as operations
from luna_api_shim.pages.documents import HTML, YAML, Document, Documents

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}


async def specification(request: Request) -> Response:
    """GET /docs/spec."""
    form = choose(request.headers.get("accept"), (YAML, HTML))
    return _reply(request, await _documents(request).specification(form), form)


async def manual(request: Request) -> Response:
    """GET /docs/dev, and the pages below it."""
    document = await _documents(request).manual_page(request.url.path.partition("/docs/")[2])
    if document is None:
        raise PageNotFound
    return _reply(request, document, HTML)


def _documents(request: Request) -> Documents:
    documents: Documents = request.app.state.documents
    return documents


def _reply(request: Request, document: Document, media_type: str) -> Response:
    """Answer with a document, or with 304 where the client has it already."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    kind = {"Content-Type": media_type if media_type == YAML else f"{media_type}; charset=utf-8"}
    headers = _HEADERS | {"ETag": document.etag}
    if document.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(document.content, headers=headers | kind)


ROUTES: Final[tuple[Resource, ...]] = (
    resource("/{api:api}/docs/spec", GET=operations.SPEC.by(specification)),
    resource("/{api:api}/docs/dev", GET=operations.MANUAL.by(manual)),
    resource("/{api:api}/docs/dev/{page:path}", GET=manual),
)
