"""HTTP to one API server: session, credentials, deadlines, and every failure as a typed error.

Nothing is retried behind the caller's back, with two exceptions in which the server said that it did nothing: 429 is
waited out (Retry-After) within the deadline, and 401 is tried once more after the credentials were read again.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from luna_kube.credentials import Credentials
from luna_kube.errors import ApiError, TooManyRequests, Unauthorized, Unavailable, error_from_response

_CONNECT_TIMEOUT_S = 10.0
# A silent peer (node gone, cable cut) is noticed after 20 + 3 * 5 s, although nothing is being sent.
_KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 20, 5, 3


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        stall_timeout_s: longest silence of the peer; None leaves it to the caller's deadline.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None
    content_type: str = "application/json"
    stall_timeout_s: float | None = None

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
        """Return the whole body of a successful answer.

        Raises:
            TooManyRequests: if the server still asks to slow down when the deadline comes.
            ApiError: any other of its kinds, at once.
        """
        slow_down: TooManyRequests | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        async with self.open(call) as response:
                            return await response.read()
                    except TooManyRequests as e:
                        if call.path.endswith("/eviction"):
                            raise  # a disruption budget says no: that is an answer, not congestion
                        slow_down = e
                    await asyncio.sleep(slow_down.retry_after_s)
        except TimeoutError as e:
            raise slow_down or Unavailable(call.action, f"no answer within {timeout_s:g} s") from e

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


def open_session(credentials: Credentials, user_agent: str) -> aiohttp.ClientSession:
    """Open a session that authenticates each request by the present credentials; others (kopf) may use one too."""

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
        middlewares=(authenticate,),
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
    return sock
