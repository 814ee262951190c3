"""Faults on request, for tests of whoever delivers: fail, stall, or close the connection without an answer.

Only deliveries are touched; `/faults`, `/events` and the page always answer.
"""

from __future__ import annotations

import asyncio
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from luna_local.inbox.errors import error_response, told_to_fail

_DELIVERY = re.compile(r"/\d+/(handlers|images|buckets)(/|$)|/webhooks/")
_ABORT = "luna_inbox.abort"


class Fault(BaseModel):
    """What goes wrong.

    Attributes:
        mode: fail answers with `status`; stall waits `seconds`, then takes the delivery; refuse closes the connection.
        count: how many deliveries it hits before it ends; None for all until it is switched off.
        path: only deliveries whose path begins so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["off", "fail", "stall", "refuse"]
    status: int = Field(default=500, ge=400, le=599)
    seconds: float = Field(default=30.0, ge=0, le=3600)
    count: int | None = Field(default=None, ge=1)
    path: str = ""


class FaultSwitch:
    """The fault that is on, and how often it hit.

    Attributes:
        hits: deliveries that the present fault has touched.
    """

    def __init__(self) -> None:
        self.fault = Fault(mode="off")
        self.hits = 0

    def set(self, fault: Fault) -> None:
        """Switch to a fault, or to none (mode off)."""
        self.fault = fault
        self.hits = 0

    @property
    def is_on(self) -> bool:
        """Whether the next delivery may be touched."""
        return self.fault.mode != "off" and (self.fault.count is None or self.hits < self.fault.count)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault for a request, counting it; None if it is left alone."""
        is_delivery = method in {"POST", "PUT"} and _DELIVERY.match(path) is not None
        if not is_delivery or not self.is_on or not path.startswith(self.fault.path):
            return None
        self.hits += 1
        return self.fault


class FaultMiddleware:
    """Applies the switch before a request reaches the application."""

    def __init__(self, app: ASGIApp, switch: FaultSwitch) -> None:
        self._app = app
        self._switch = switch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        fault = self._switch.take(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.mode == "fail":
            await error_response(told_to_fail(fault.status))(scope, receive, send)
        elif fault.mode == "stall":
            await asyncio.sleep(fault.seconds)
            await self._app(scope, receive, send)
        else:
            scope["state"][_ABORT]()
            while (await receive())["type"] != "http.disconnect":
                pass  # only then does the server know that no answer is owed


class AbortableProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a way to close the connection without an answer, which ASGI does not have."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["state"][_ABORT] = self.transport.abort
