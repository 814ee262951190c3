"""The leader's desk: requests that one replica alone must serve are served here when this one leads, else passed on.

Those of workers, and, where there is a quota, those that make streams active.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from luna_api_shim.certificates import trusted
from luna_api_shim.errors import NotReady
from luna_api_shim.http.frame import REQUEST_ID
from luna_api_shim.http.request_ids import HEADER
from luna_api_shim.previews.destinations import Address, address_of
from luna_api_shim.replicas.election import Election
from luna_api_shim.replicas.interregnum import Interregnum
from luna_api_shim.replicas.peers import REPLICA_HEADER, Peers
from luna_api_shim.workers.identity import HANDLERS_HEADER, RECEIVED_HEADER, WORKER_HEADER

log = logging.getLogger(__name__)

_FORWARDED: Final = REPLICA_HEADER
"""In a request that another replica passes on: what only replicas know."""
_NOT_LEADING: Final = "Luna-Not-Leading"
"""In the answer to such a request: the other replica has to look for the leader again."""
_FORWARDED_FOR: Final = "Luna-Forwarded-For"
"""Address that the other replica heard the worker from."""
_OF_PROXIES: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Real-IP")
_PASSED_ON: Final = ("Authorization", "Content-Type", "Prefer", WORKER_HEADER, RECEIVED_HEADER, HANDLERS_HEADER)
_BROUGHT_BACK: Final = ("Content-Type", "Location", RECEIVED_HEADER)
_LOOK_AGAIN_S: Final = 0.1
_CONNECT_TIMEOUT_S: Final = 1.0
_ANSWER_MARGIN_S: Final = 15.0
_LAST_LEADER_S: Final = 1.5
"""Less than workers wait for an answer (4 s), of which a review may need the rest."""

Serve = Callable[[Request, bytes], Awaitable[Response]]


class _LookAgain(Exception):
    """The request was not answered by the leader, and may be brought to another one."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done at the leader.

    Attributes:
        serve: answers the request where the leader is.
        headers: the leader is to see besides those of the request.
        is_repeatable: whether a new leader may be asked when the last one has not answered, but may have served it.
        reassure: answers while nobody leads and workers may go on; None: nothing can be answered then.
        is_known: whether it can do so without the API server, which may be silent.
    """

    serve: Serve
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = False
    reassure: Serve | None = None
    is_known: Callable[[Request], bool] = lambda _: True


class LeaderDesk:
    """Sees to it that a request is served where the leader is.

    Args:
        election: knows who leads.
        peers: know, too, when the API server is away.
        interregnum: tells whether workers may go on while nobody does.
        patience_s: how long a request waits while nobody leads; then the client has to try again.
        longest_wait_s: how long the leader may take to answer.
    """

    def __init__(
        self,
        election: Election,
        peers: Peers,
        interregnum: Interregnum,
        *,
        patience_s: float,
        longest_wait_s: float,
    ) -> None:
        self._election = election
        self._peers = peers
        self._interregnum = interregnum
        self._patience_s = patience_s
        self._is_stopping = False
        self._under_way: dict[asyncio.Event, Callable[[], bool]] = {}
        """Requests that were passed on: what to set when they are not worth waiting for any more, and when that is."""
        timeout = httpx.Timeout(longest_wait_s + _ANSWER_MARGIN_S, connect=_CONNECT_TIMEOUT_S)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        self._http = httpx.AsyncClient(timeout=timeout, limits=limits, verify=trusted(), trust_env=False)

    def stop(self) -> None:
        """Let no request wait for a leader any more; this process ends."""
        self._is_stopping = True

    async def close(self) -> None:
        """Close the connections to the leader."""
        await self._http.aclose()

    async def run(self) -> None:
        """Notice that a leader does not lead any more while requests wait for its answer, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_AGAIN_S)
            for over, is_over in self._under_way.items():
                if is_over():
                    over.set()

    async def serve(self, request: Request, body: bytes, errand: Errand) -> Response:
        """Answer a request.

        Args:
            request: of the client.
            body: of the request.
            errand: what is to be done.

        Raises:
            NotReady: there is no leader, or it cannot be reached.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        is_forwarded = _FORWARDED in request.headers
        while True:
            if self._election.is_leader:
                return await errand.serve(request, body)
            if errand.reassure is not None and self._interregnum.may_reassure():
                if not is_forwarded and not errand.is_known(request):
                    with suppress(httpx.ConnectError, httpx.ConnectTimeout, TimeoutError, _LookAgain):
                        return await self._ask_last_leader(request, body, errand)
                return await errand.reassure(request, body)
            if is_forwarded:
                return Response(status_code=503, headers={_NOT_LEADING: "1"})
            if (origin := self._leader_origin) is not None:
                with suppress(httpx.ConnectError, httpx.ConnectTimeout, _LookAgain):
                    return await self._forward(request, body, origin, errand)
            if loop.time() >= deadline or self._is_stopping:
                raise NotReady("no replica leads, or the leader cannot be reached")
            await asyncio.sleep(_LOOK_AGAIN_S)

    @property
    def _leader_origin(self) -> str | None:
        """Where the leader is: who says so himself is believed more than a copy of the Lease, which may be old."""
        return self._peers.leader_origin or self._election.leader_origin

    def is_of_a_replica(self, request: Request) -> bool:
        """Tell whether a request shows what only replicas know."""
        secret = self._election.secret
        shown = request.headers.get(_FORWARDED, "").encode("latin-1")
        return secret is not None and hmac.compare_digest(shown, secret.encode())

    def sender_of(self, request: Request) -> Address | None:
        """Return the address a worker's request came from; None where that is not the worker's own, or not certain."""
        if _FORWARDED in request.headers:
            if not self.is_of_a_replica(request):
                return None
            return address_of(request.headers.get(_FORWARDED_FOR, ""))
        if request.client is None or any(name in request.headers for name in _OF_PROXIES):
            return None
        return address_of(request.client.host)

    async def _ask_last_leader(self, request: Request, body: bytes, errand: Errand) -> Response:
        """Let who led last reassure a worker that is not known here.

        Raises:
            _LookAgain, TimeoutError, httpx.ConnectError: it cannot.
        """
        origin = self._leader_origin
        if origin is None:
            raise _LookAgain
        async with asyncio.timeout(_LAST_LEADER_S):
            return await self._forward(request, body, origin, replace(errand, reassure=None))

    async def _forward(self, request: Request, body: bytes, origin: str, errand: Errand) -> Response:
        """Pass a request on; when its client goes away, so does the leader's."""
        passed_on = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        headers = passed_on | dict(errand.headers)
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
                await self._answered(asking, gone, lambda: self._is_over(origin, errand))
            if not asking.done() and gone.is_set():
                raise ClientDisconnect
            if not asking.done():
                raise _no_answer(errand, "it does not lead any more")
            answer = asking.result()
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise
        except httpx.HTTPError as e:
            raise _no_answer(errand, type(e).__name__) from e
        finally:
            asking.cancel()
        if _NOT_LEADING in answer.headers:
            raise _LookAgain
        kept = {name: answer.headers[name] for name in _BROUGHT_BACK if name in answer.headers}
        return Response(answer.content, answer.status_code, kept)

    async def _answered(
        self, asking: asyncio.Task[httpx.Response], gone: asyncio.Event, is_over: Callable[[], bool]
    ) -> None:
        """Wait for an answer, until the client is gone, or until it is not worth waiting for any more."""
        over = asyncio.Event()
        self._under_way[over] = is_over
        others = {asyncio.create_task(event.wait(), name="forwarding") for event in (gone, over)}
        try:
            await asyncio.wait({asking, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._under_way[over]
            for other in others:
                other.cancel()

    def _is_over(self, origin: str, errand: Errand) -> bool:
        """Tell whether there is somebody else to answer what was passed on to a leader."""
        if self._election.is_leader or self._leader_origin not in (origin, None):
            return True
        return errand.reassure is not None and self._interregnum.may_reassure()


def _no_answer(errand: Errand, why: str) -> Exception:
    # It may have been served: a claimed stream whose answer was lost goes back into the queue by itself, and users
    # look what became of theirs.
    return _LookAgain() if errand.is_repeatable else NotReady(f"the leader did not answer: {why}")


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
