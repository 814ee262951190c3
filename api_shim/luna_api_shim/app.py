"""The application: routes, the frame around every request, and how errors are answered."""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from luna_api_shim.context import Context
from luna_api_shim.errors import MethodNotAllowed, PageNotFound, Refusal
from luna_api_shim.http.frame import ERROR_CODE, Frame
from luna_api_shim.http.replies import error_form, error_reply
from luna_api_shim.pages.documents import Documents
from luna_api_shim.routes import documents, groups, logs, previews, processing, replicas, service, setup, streams
from luna_streams.errors import DomainError

ROUTES: Final[tuple[Route, ...]] = (
    *processing.ROUTES,
    *streams.ROUTES,
    *previews.ROUTES,
    *groups.ROUTES,
    *logs.ROUTES,
    *service.ROUTES,
    *setup.ROUTES,
    *documents.ROUTES,
    *replicas.ROUTES,
)
API_VERSION: Final = "v.{major}.{minor}.{patch}".format_map(service.VERSION["Version"])


def create_app(context: Context) -> Starlette:
    """Return the application of one replica."""
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Frame, traffic=context.traffic)],
        exception_handlers={HTTPException: _answer_http, Refusal: _answer, DomainError: _answer},
    )
    router: Router = app.router
    router.redirect_slashes = False
    app.state.context = context
    app.state.documents = Documents(ROUTES, API_VERSION)
    return app


async def _answer(request: Request, error: Exception) -> Response:
    request.scope[ERROR_CODE] = error_form(error).code
    return error_reply(error)


async def _answer_http(request: Request, error: Exception) -> Response:
    """Answer what Starlette itself found out: no such page, no such method."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        reply = await _answer(request, MethodNotAllowed())
        reply.headers.update(error.headers or {})
        return reply
    return await _answer(request, PageNotFound())
