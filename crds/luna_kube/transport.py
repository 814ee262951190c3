"""HTTP to one API server: session, credentials, deadlines, and every failure as a typed error.

A request is repeated here, within its deadline, only where that cannot do harm:

- after 429, since the server did nothing: after `Retry-After`, spread, so that those who were refused together do not
  come back together; 401 once, after the credentials were read again;
- when no connection could be made (an API server that is being restarted), twice;
- when the connection broke, or a 5xx says `Retry-After`: reads, and writes that end in the same state if they are
  carried out twice. A conditional one then ends in Conflict or NotFound, as if somebody else had been first, and the
  caller decides again. Creations are never repeated, nor is what a plain 5xx refused.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from luna_kube.backoff import Backoff, BackoffSettings
from luna_kube.credentials import Credentials
from luna_kube.errors import ApiError, NotSent, TooManyRequests, Unauthorized, Unavailable, error_from_response

_CONNECT_TIMEOUT_S = 10.0
_BROKEN = BackoffSettings(initial_s=0.1, limit_s=1.0, factor=3.0)
_MOST_BREAKS = 2
# A silent peer (node gone, cable cut) is noticed after 20 + 3 * 5 s, although nothing is being sent.
_KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 20, 5, 3


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        stall_timeout_s: longest silence of the peer; None leaves it to the caller's deadline.
        is_allowed: asked right before the request is sent; if it says no, nothing is.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None
    content_type: str = "application/json"
    stall_timeout_s: float | None = None
    is_allowed: Callable[[], bool] | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether carrying it out twice is as good as once."""
        return self.method != "POST"

    @property
    def action(self) -> str:
        """What errors call this request; without the query, whose tokens are long and say nothing."""
        return f"{'WATCH' if 'watch' in self.params else self.method} {self.path}"


class Transport:
    """A pool of connections to one API server; `start` it inside of the event loop, `close` it there too."""

    def __init__(self, credentials: Credentials, user_agent: str) -> None:
        self.credentials = credentials
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the session."""
        self._session = open_session(self.credentials, self._user_agent)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, call: Call, timeout_s: float) -> bytes:
        """Return the whole body of a successful answer; see the module for what is repeated.

        Raises:
            TooManyRequests: if the server asks to come back after the deadline.
            ApiError: any other of its kinds.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        backoff, breaks_left = Backoff(_BROKEN), _MOST_BREAKS
        while True:
            try:
                async with asyncio.timeout_at(deadline), self.open(call) as response:
                    return await response.read()
            except TimeoutError as e:
                raise Unavailable(call.action, f"no answer within {timeout_s:g} s") from e
            except ApiError as e:
                wait_s = _asked_to_wait_s(call, e)
                if wait_s is None and breaks_left and _may_be_sent_again(call, e):
                    breaks_left -= 1
                    wait_s = backoff.next_s()
                if wait_s is None or asyncio.get_running_loop().time() + wait_s >= deadline:
                    raise
            await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and hold its successful answer; failures, also those of reading it, are ApiErrors."""
        try:
            response = await self._send(call)
            async with response:
                try:
                    yield response
                finally:
                    _cut_off_unless_read(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as e:
            raise NotSent(call.action, _describe(e)) from e
        except (aiohttp.ClientError, OSError) as e:  # TimeoutError is an OSError
            raise Unavailable(call.action, _describe(e)) from e

    async def _send(self, call: Call) -> aiohttp.ClientResponse:
        generation = self.credentials.generation
        try:
            return await self._send_once(call)
        except Unauthorized:
            if not await self.credentials.reload(generation):
                raise
        return await self._send_once(call)

    async def _send_once(self, call: Call) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the client is used outside of its `async with`")
        if call.is_allowed is not None and not call.is_allowed():
            raise ApiError(call.action, "not sent: this process does not lead any more")
        credentials = self.credentials
        headers = {} if call.data is None else {"Content-Type": call.content_type}
        response = await self._session.request(
            call.method,
            credentials.server + call.path,
            params=call.params,
            data=call.data,
            headers=headers,
            ssl=credentials.ssl_context or True,
            server_hostname=credentials.server_hostname,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S, sock_read=call.stall_timeout_s),
            allow_redirects=False,
        )
        if response.status < 300:
            return response
        async with response:
            raise await _error(call, response)


def open_session(
    credentials: Credentials, user_agent: str, *middlewares: aiohttp.ClientMiddlewareType
) -> aiohttp.ClientSession:
    """Open a session that authenticates each request by the present credentials; others (kopf) may use one too.

    Args:
        credentials: of the API server.
        user_agent: what audit logs call the session.
        middlewares: see each request before its credentials are added, and its answer last.
    """

    async def authenticate(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers.update(await credentials.headers())
        return await send(request)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            ssl=credentials.ssl_context or True,
            socket_factory=_keepalive_socket,
            # Until Python 3.12.7, TLS connections that wait for the peer's goodbye would be left behind.
            enable_cleanup_closed=sys.version_info < (3, 12, 7),
        ),
        middlewares=(*middlewares, authenticate),
        proxy=credentials.proxy,
        # Compressing costs more CPU on both sides than it saves on a cluster's network.
        headers={"User-Agent": user_agent, "Accept": "application/json", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def read_lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """Yield the lines of an answer, without their newlines, until its end.

    A last line without a newline was cut off and is not yielded.
    """
    # Not response.content.readline(): a line holds a whole object (up to 1.5 MB), more than any buffer there.
    pending: list[bytes] = []
    async for chunk in response.content.iter_any():
        *complete, rest = chunk.split(b"\n")
        if complete:
            complete[0] = b"".join([*pending, complete[0]])
            pending = []
        for line in complete:
            if line:
                yield line
        if rest:
            pending.append(rest)


def _asked_to_wait_s(call: Call, error: ApiError) -> float | None:
    """Return in how many seconds the server wants to be asked again; None if it does not."""
    if error.retry_after_s is None or call.path.endswith("/eviction"):
        return None  # a disruption budget that says no gives an answer, it is not busy
    if isinstance(error, TooManyRequests) or call.is_repeatable:
        return error.retry_after_s * random.uniform(1.0, 1.5)  # noqa: S311  jitter
    return None


def _may_be_sent_again(call: Call, error: ApiError) -> bool:
    """Tell whether a request that got no answer may be sent once more."""
    return isinstance(error, NotSent) or (isinstance(error, Unavailable) and error.status == 0 and call.is_repeatable)


def _cut_off_unless_read(response: aiohttp.ClientResponse) -> None:
    """Drop the connection of a half-read answer at once: a TLS goodbye would wait for the peer, who may be gone."""
    if response.connection is not None and not response.content.at_eof():
        transport = response.connection.transport
        if transport is not None:
            transport.abort()


async def _error(call: Call, response: aiohttp.ClientResponse) -> ApiError:
    body = await response.read()
    return error_from_response(call.action, response.status, body, response.headers.get("Retry-After"))


def _describe(error: Exception) -> str:
    """Say what happened without the address, which a kubeconfig may have filled with credentials."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the server's certificate is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return (
            f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or type(error.os_error).__name__}"
        )
    if isinstance(error, TimeoutError):
        return "the connection stalled"
    return f"the connection broke ({type(error).__name__})"


def _keepalive_socket(address: tuple[int, int, int, str, object]) -> socket.socket:
    family, type_, protocol, _, _ = address
    sock = socket.socket(family, type_, protocol)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # not everywhere
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_COUNT)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # the same while something is on its way, which keep-alive does not watch
        silence_s = _KEEPALIVE_IDLE_S + _KEEPALIVE_INTERVAL_S * _KEEPALIVE_COUNT
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, silence_s * 1000)
    return sock
