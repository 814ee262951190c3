"""Pictures of streams, fetched from the workers that report where they are, and passed on as they come.

Nothing is kept: the next piece is read when the viewer has taken the last one, so a slow viewer slows the worker down
and a viewer that leaves ends the worker's answer. The worker is not trusted; `destinations` says where it may be, and
only pictures are passed on, which no browser takes for a page or a script.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final, Literal

import httpx
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from luna_api_shim.certificates import trusted
from luna_api_shim.errors import PreviewFailed
from luna_api_shim.http.request_ids import HEADER
from luna_api_shim.previews.destinations import Address, Network, address_of, is_permitted

log = logging.getLogger(__name__)

View = Literal["frame", "live"]

CONNECT_TIMEOUT_S: Final = 3.0
ANSWER_TIMEOUT_S: Final = 10.0
"""Until the worker begins to answer."""
FRAME_TIMEOUT_S: Final = 30.0
"""For one whole picture."""
IDLE_TIMEOUT_S: Final = 60.0
"""Between two pieces of a live preview; a source that is being reconnected shows nothing for a while."""
VIEWER_TIMEOUT_S: Final = 60.0
"""Until the viewer takes a piece."""
_MOST_VIEWERS: Final = 1000
_TIMEOUTS: Final = {"connect": CONNECT_TIMEOUT_S, "pool": CONNECT_TIMEOUT_S, "write": ANSWER_TIMEOUT_S, "read": None}
"""Reading is timed here, since an answer may have all the time it needs as long as it goes on."""

_PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp"})
"""Not image/svg+xml, which holds scripts."""
_PASSED_ON: Final[dict[View, frozenset[str]]] = {"frame": _PICTURES, "live": _PICTURES | {"multipart/x-mixed-replace"}}
# Without a comma: browsers take what follows it for a second, better type.
_CONTENT_TYPE: Final = re.compile(r"[\x20-\x2b\x2d-\x7e]{1,256}")
_SAFETY: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # A part of a multipart answer may claim to be a page: it must not run anything here.
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


class Previews:
    """Fetches pictures from workers.

    Args:
        networks: addresses that are permitted besides those of workers.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._is_stopping = False
        self._waits: set[asyncio.Timeout] = set()
        # The bare transport: a client would keep the cookies of workers, follow redirects, and ask a proxy of the
        # environment, which connects to whatever it likes.
        limits = httpx.Limits(max_connections=_MOST_VIEWERS, max_keepalive_connections=0)
        self._http = httpx.AsyncHTTPTransport(limits=limits, verify=trusted(), trust_env=False)

    def stop(self) -> None:
        """End every preview; this process ends."""
        self._is_stopping = True
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(0)

    async def close(self) -> None:
        """Close the connections to workers."""
        await self._http.aclose()

    async def open(self, view: View, url: str, worker: Address | None, request_id: str) -> Picture:
        """Begin to fetch a picture.

        Args:
            view: one frame, or live.
            url: that the worker reported.
            worker: its address, where known.
            request_id: of the viewer's request, for the worker's log.

        Raises:
            PreviewFailed: says why there is none.
        """
        request = await self._request(url, worker, {HEADER: request_id})
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await self._http.handle_async_request(request)
        except TimeoutError:
            raise PreviewFailed("The worker does not answer in time") from None
        except httpx.HTTPError as e:
            raise PreviewFailed(_reason(e)) from e
        try:
            _check(view, answer)
        except PreviewFailed:
            await answer.aclose()
            raise
        return Picture(self, view, answer)

    async def pieces(self, view: View, answer: httpx.Response) -> AsyncGenerator[bytes]:
        """Yield a worker's answer piece by piece.

        Raises:
            PreviewFailed: the worker broke off, or is too slow. A live preview without a length just ends.
        """
        try:
            async with aclosing(self._until_the_end(view, answer)) as pieces:
                async for piece in pieces:
                    yield piece
        except PreviewFailed as e:
            if view == "frame" or "Content-Length" in answer.headers:
                raise
            log.info("a live preview ended: %s", e)

    async def _until_the_end(self, view: View, answer: httpx.Response) -> AsyncGenerator[bytes]:
        now = asyncio.get_running_loop().time
        deadline = now() + FRAME_TIMEOUT_S if view == "frame" else None
        reader = aiter(answer.aiter_raw())
        try:
            while not self._is_stopping:
                piece = await self._next(reader, deadline or now() + IDLE_TIMEOUT_S)
                if piece is None:
                    return
                yield piece
        except TimeoutError:
            if not self._is_stopping:
                raise PreviewFailed("The worker sends nothing any more") from None
        except httpx.HTTPError as e:
            raise PreviewFailed(_reason(e)) from e

    async def _next(self, reader: AsyncIterator[bytes], deadline: float) -> bytes | None:
        """Return the next piece, None after the last one; `stop` ends the wait for it."""
        async with asyncio.timeout_at(deadline) as wait:
            self._waits.add(wait)
            try:
                return await anext(reader, None)
            finally:
                self._waits.discard(wait)

    def _may_ask(self, address: Address, worker: Address | None) -> bool:
        if worker is not None and worker.is_loopback and not address.is_loopback and _is_of_this_machine(address):
            worker = address  # it runs on this machine, so the machine's addresses are its own
        return is_permitted(address, worker, self._networks)

    async def _request(self, url: str, worker: Address | None, headers: dict[str, str]) -> httpx.Request:
        """Return a request to an address that is permitted; the name stays in Host and TLS only."""
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL:
            raise PreviewFailed("The preview url is invalid") from None
        if target.scheme not in ("http", "https") or not target.host:
            raise PreviewFailed("The preview url is invalid")
        addresses = await _resolve(target.host, target.port)
        address = next((one for one in addresses if self._may_ask(one, worker)), None)
        if address is None:
            raise PreviewFailed(
                "The preview url leads neither to the worker of the stream nor into LUNA_SHIM_PREVIEW_NETWORKS"
            )
        return httpx.Request(
            "GET",
            httpx.URL(scheme=target.scheme, host=str(address), port=target.port, raw_path=target.raw_path),
            headers={"Host": target.netloc.decode("ascii"), "Accept": "*/*", "Accept-Encoding": "identity", **headers},
            extensions={"timeout": dict(_TIMEOUTS), "sni_hostname": target.raw_host.decode("ascii")},
        )


class Picture:
    """A worker's answer that begins to come."""

    def __init__(self, previews: Previews, view: View, answer: httpx.Response) -> None:
        self._previews = previews
        self._view: View = view
        self._answer = answer

    async def close(self) -> None:
        """End the worker's answer."""
        await self._answer.aclose()

    def reply(self) -> StreamingResponse:
        """Return the answer to the viewer, with those headers of the worker's that are safe."""
        headers = _SAFETY | {"Content-Type": self._answer.headers["Content-Type"]}
        length = self._answer.headers.get("Content-Length", "")
        if length.isdecimal():
            headers["Content-Length"] = length
        return _Relay(self, self._previews.pieces(self._view, self._answer), headers)


class _Relay(StreamingResponse):
    """Ends the worker's answer with the viewer's, whichever way that ends."""

    def __init__(self, picture: Picture, body: AsyncGenerator[bytes], headers: dict[str, str]) -> None:
        super().__init__(body, headers=headers)
        self._body = body
        self._picture = picture

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "HEAD":
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await send({"type": "http.response.body"})
            else:
                await super().__call__(scope, receive, _within_time(send))
        finally:
            await self._body.aclose()
            await self._picture.close()


def _within_time(send: Send) -> Send:
    """Return a way to send that gives up a viewer who takes nothing: there is room for so many only."""

    async def send_within_time(message: Message) -> None:
        try:
            async with asyncio.timeout(VIEWER_TIMEOUT_S):
                await send(message)
        except TimeoutError:
            raise ClientDisconnect from None

    return send_within_time


async def _resolve(host: str, port: int | None) -> list[Address]:
    """Return what a host is, each address once.

    Raises:
        PreviewFailed: it is nothing.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise PreviewFailed("The name of the worker cannot be resolved in time") from None
    except socket.gaierror as e:
        raise PreviewFailed(str(e.strerror)) from None
    except (OSError, UnicodeError, OverflowError):
        raise PreviewFailed("The name of the worker cannot be resolved") from None
    addresses = (address_of(str(sockaddr[0])) for *_, sockaddr in found)
    return list(dict.fromkeys(address for address in addresses if address is not None))


def _is_of_this_machine(address: Address) -> bool:
    """Tell whether an address is one of this machine's own: it would be the source of what is sent to itself."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))  # asks the routing table, sends nothing
        except OSError:
            return False
        return address_of(str(probe.getsockname()[0])) == address


def _check(view: View, answer: httpx.Response) -> None:
    """Refuse everything but pictures."""
    if answer.has_redirect_location:
        raise PreviewFailed(f"The worker answered {answer.status_code}; redirects are not followed")
    if answer.status_code != 200:
        raise PreviewFailed(f"The worker answered {answer.status_code}")
    content_type = answer.headers.get("Content-Type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _PASSED_ON[view] or not _CONTENT_TYPE.fullmatch(content_type):
        raise PreviewFailed("The worker answered with something that is not a picture")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise PreviewFailed("The worker answered in an encoding that it was not asked for")


def _reason(error: httpx.HTTPError) -> str:
    """Return why there is no answer: where the system has words for it, in its words, like `Connection refused`."""
    if isinstance(error, httpx.ConnectTimeout):
        return "Connection timed out"
    if isinstance(error, httpx.PoolTimeout):
        return "Too many previews are open"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "The TLS connection to the worker failed"
        if isinstance(cause, OSError) and cause.errno is not None:
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return "The worker broke off" if isinstance(error, httpx.TransportError) else "The worker's answer is not HTTP"
