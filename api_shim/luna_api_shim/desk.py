"""The leader's desk: requests that one replica alone must serve are served here when this one leads, else passed on.

Those of workers, and, where there is a quota, those that make streams active.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Final

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from luna_api_shim.destinations import Address, address_of
from luna_api_shim.election import Election
from luna_api_shim.errors import NotReady
from luna_api_shim.frame import REQUEST_ID
from luna_api_shim.request_ids import HEADER
from luna_api_shim.workers import RECEIVED_HEADER, WORKER_HEADER

log = logging.getLogger(__name__)

_FORWARDED: Final = "Luna-Forwarded"
"""In a request that another replica passes on: what only replicas know."""
_FORWARDED_FOR: Final = "Luna-Forwarded-For"
"""Address that the other replica heard the worker from."""
_OF_PROXIES: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Real-IP")
_PASSED_ON: Final = ("Authorization", "Content-Type", "Prefer", WORKER_HEADER, RECEIVED_HEADER)
_BROUGHT_BACK: Final = ("Content-Type", "Location", RECEIVED_HEADER)
_LOOK_AGAIN_S: Final = 0.1
_CONNECT_TIMEOUT_S: Final = 1.0
_ANSWER_MARGIN_S: Final = 15.0

Serve = Callable[[Request, bytes], Awaitable[Response]]


class LeaderDesk:
    """Sees to it that a request is served where the leader is.

    Args:
        election: knows who leads.
        patience_s: how long a request waits while nobody leads; then the client has to try again.
        longest_wait_s: how long the leader may take to answer.
    """

    def __init__(self, election: Election, *, patience_s: float, longest_wait_s: float) -> None:
        self._election = election
        self._patience_s = patience_s
        self._is_stopping = False
        timeout = httpx.Timeout(longest_wait_s + _ANSWER_MARGIN_S, connect=_CONNECT_TIMEOUT_S)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        self._http = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)

    def stop(self) -> None:
        """Let no request wait for a leader any more; this process ends."""
        self._is_stopping = True

    async def close(self) -> None:
        """Close the connections to the leader."""
        await self._http.aclose()

    async def serve(
        self, request: Request, body: bytes, serve: Serve, more: Mapping[str, str] = MappingProxyType({})
    ) -> Response:
        """Answer a request.

        Args:
            request: of the client.
            body: of the request.
            serve: answers it where the leader is.
            more: headers the leader is to see besides those of the request.

        Raises:
            NotReady: there is no leader, or it cannot be reached.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        is_forwarded = _FORWARDED in request.headers
        while True:
            if self._election.is_leader:
                return await serve(request, body)
            origin = self._election.leader_origin
            if origin is not None and not is_forwarded:
                with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                    return await self._forward(request, body, origin, more)
            if loop.time() >= deadline or self._is_stopping:
                raise NotReady("no replica leads, or the leader cannot be reached")
            await asyncio.sleep(_LOOK_AGAIN_S)

    def sender_of(self, request: Request) -> Address | None:
        """Return the address a worker's request came from; None where that is not the worker's own, or not certain."""
        if _FORWARDED in request.headers:
            secret = self._election.secret
            shown = request.headers[_FORWARDED].encode("latin-1")
            if secret is None or not hmac.compare_digest(shown, secret.encode()):
                return None
            return address_of(request.headers.get(_FORWARDED_FOR, ""))
        if request.client is None or any(name in request.headers for name in _OF_PROXIES):
            return None
        return address_of(request.client.host)

    async def _forward(self, request: Request, body: bytes, origin: str, more: Mapping[str, str]) -> Response:
        """Pass a request on; when its client goes away, so does the leader's."""
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers} | dict(more)
        headers |= {HEADER: request.scope[REQUEST_ID], _FORWARDED: self._election.secret or "1"}
        if (sender := self.sender_of(request)) is not None:
            headers[_FORWARDED_FOR] = str(sender)
        path = request.url.path
        url = f"{origin}{path}?{request.url.query}" if request.url.query else origin + path
        asking = asyncio.create_task(
            self._http.request(request.method, url, content=body, headers=headers), name=f"forward {path}"
        )
        try:
            async with departure(request) as gone:
                leaving = asyncio.create_task(gone.wait(), name="leaving")
                try:
                    await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    leaving.cancel()
            if not asking.done():
                raise ClientDisconnect
            answer = asking.result()
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise
        except httpx.HTTPError as e:
            # It may have been served: a claimed stream whose answer was lost goes back into the queue by itself, and
            # users look what became of theirs.
            raise NotReady(f"the leader did not answer: {type(e).__name__}") from e
        finally:
            asking.cancel()
        kept = {name: answer.headers[name] for name in _BROUGHT_BACK if name in answer.headers}
        return Response(answer.content, answer.status_code, kept)


@asynccontextmanager
async def departure(request: Request, notice: Callable[[], None] = lambda: None) -> AsyncIterator[asyncio.Event]:
    """Yield an event that is set when the client closes the connection; the body must have been read.

    Args:
        request: of the client.
        notice: called then, too.
    """
    gone = asyncio.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()
        notice()

    watching = asyncio.create_task(watch(), name="departure")
    try:
        yield gone
    finally:
        watching.cancel()
        # Not awaited itself: that would take a cancellation of the request for one of its own.
        await asyncio.gather(watching, return_exceptions=True)
