"""The outermost layer around every request: its id, its count, and an answer for whatever goes wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from luna_api_shim.http.replies import error_form, error_reply
from luna_api_shim.http.request_ids import HEADER, request_id
from luna_api_shim.http.traffic import Served, Traffic

log = logging.getLogger(__name__)

RESOURCE = "luna.resource"
"""Key of the scope under which a route leaves the template of its path."""

REQUEST_ID = "luna.request_id"
"""Key of the scope under which the id of the request stands."""

ERROR_CODE = "luna.error_code"
"""Key of the scope under which the code of an error that was answered stands."""

UNKNOWN = "unknown"


class Frame:
    """Middleware; see the module."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        exchange = _Exchange(request_id(Headers(scope=scope).get(HEADER)), send)
        scope[REQUEST_ID] = exchange.id
        try:
            await self._app(scope, receive, exchange.send)
        except ClientDisconnect:
            log.debug("%s: the client went away", exchange.id)
        except Exception as e:  # nothing may leave without a documented answer
            await self._answer_error(e, exchange, scope, receive)
        self._traffic.report(
            Served(
                route=resource_of(scope),
                status=exchange.status,
                error_code=scope.get(ERROR_CODE),
                request_id=exchange.id,
                duration_s=time.monotonic() - began,
                time=datetime.now(UTC),
            )
        )

    async def _answer_error(self, error: Exception, exchange: _Exchange, scope: Scope, receive: Receive) -> None:
        where = f"{exchange.id} {resource_of(scope)}"
        form = error_form(error)
        scope[ERROR_CODE] = form.code
        if form.status >= 500 and form.code == 1:
            log.error("%s: a fault of the shim", where, exc_info=error)
        elif form.status >= 500:
            log.warning("%s: %s", where, error)
        if exchange.status == 0:
            await error_reply(error)(scope, receive, exchange.send)


class _Exchange:
    """One answer on its way out."""

    def __init__(self, id_: str, send: Send) -> None:
        self.id = id_
        self.status = 0
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[HEADER] = self.id
        await self._send(message)


def resource_of(scope: MutableMapping[str, Any]) -> str:
    """Return method and template of the path, e.g. `GET:/2/streams/{stream_id}`; unknown ones share one name."""
    template = scope.get(RESOURCE)
    return f"{scope['method']}:{template}" if template else UNKNOWN
