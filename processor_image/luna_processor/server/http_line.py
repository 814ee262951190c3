"""A line to one server for requests of one kind, one after the other, that does not stick to a replica that fails.

Behind one address stand several replicas, and a connection stays with the one it met first, also when that is cut off
with its node. Two remedies: the kernel breaks a connection whose other end acknowledges nothing, which tells a dead
replica from a slow one; and after a failed request the next one goes over a new connection, which may meet another
replica. Used by `streams_api`; each kind of request has a line of its own, so that dropping one harms no other.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

CONNECT_TIMEOUT_S = 1.5
"""A replica on a lost node does not answer at all; the next try may reach another one."""
UNACKNOWLEDGED_MS = 2000
"""How long the other end may acknowledge nothing that was sent; within a cluster it takes milliseconds."""
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""Seconds of rest before the kernel asks whether the other end is there, between questions, and how many are asked."""


class HttpLine:
    """Posts to one server; one request at a time.

    Args:
        base_url: of the server, e.g. http://127.0.0.1:5160/2.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        # Reading the certificates of this machine takes longer than a request, and a plain connection needs none.
        self._tls = (
            httpx.create_ssl_context()
            if urlsplit(base_url).scheme == "https"
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        self._client = self._connect()

    async def post(self, path: str, *, timeout_s: float, **request: Any) -> httpx.Response:
        """Send a request and return the answer.

        Args:
            path: below the base URL.
            timeout_s: for sending, and for the answer.
            request: as httpx takes it.

        Raises:
            httpx.HTTPError: if there is none.
        """
        timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        try:
            answer = await self._client.post(path, timeout=timeout, **request)
        except httpx.HTTPError:
            await self._renew()
            raise
        if answer.is_server_error:
            await self._renew()
        return answer

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _renew(self) -> None:
        """Leave the connection, whatever its state, and with it the replica."""
        old, self._client = self._client, self._connect()
        await old.aclose()

    def _connect(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(
            verify=self._tls, socket_options=_socket_options(), proxy=_proxy_of(self.base_url)
        )
        return httpx.AsyncClient(base_url=self.base_url, transport=transport)


def _socket_options() -> list[tuple[int, int, int]]:
    """Return what makes the kernel notice a dead end; elsewhere than on Linux only the timeouts do."""
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return []
    keepalive = [(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in _KEEPALIVE.items()]
    return [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS),
        *keepalive,
    ]


def _proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for a URL; httpx looks there only where it makes the transport."""
    parts, proxies = urlsplit(url), getproxies()
    return None if proxy_bypass(parts.hostname or "") else proxies.get(parts.scheme, proxies.get("all"))
