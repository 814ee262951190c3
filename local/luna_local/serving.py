"""HTTP servers inside of this process: uvicorn on a loopback socket of our own, started and stopped like a resource.

The socket is bound before anything is served, so that a port that is taken is known at once, and port 0 works.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LOOPBACK = "127.0.0.1"
_STARTED_POLL_S = 0.005
# Longer than clients keep idle connections, so that none is closed under a request.
_KEEP_ALIVE_S = 90
_GRACE_S = 5


class PortTaken(Exception):
    """Somebody else listens there; the text names the port."""


def bind_loopback(port: int, *, purpose: str = "") -> socket.socket:
    """Return a listening socket on the loopback address; port 0 is any free one.

    Raises:
        PortTaken: if the port is in use or needs privileges.
    """
    # Named TCP, else asyncio does not know that it is, leaves Nagle's algorithm on, and answers take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # A port whose last owner was killed may be bound again at once; one that somebody listens on may not.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(1024)
    except OSError as e:
        listener.close()
        what = f" ({purpose})" if purpose else ""
        why = "is taken" if e.errno == errno.EADDRINUSE else f"cannot be used: {e.strerror}"
        raise PortTaken(f"port {port}{what} {why}") from e
    return listener


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the process belongs to whoever started this server."""
        yield


class LoopbackServer:
    """Serves an ASGI application on a bound socket.

    Attributes:
        url: its address, without a trailing slash.
    """

    def __init__(
        self, app: ASGIApp, listener: socket.socket, protocol: type[asyncio.Protocol] = HttpToolsProtocol
    ) -> None:
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._listener = listener
        config = uvicorn.Config(
            app,
            http=protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve from now on; returns when requests are answered."""
        self._serving = asyncio.create_task(self._server.serve([self._listener]), name=f"server {self.url}")
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(_STARTED_POLL_S)
        if self._serving.done():
            await self._serving

    async def stop(self) -> None:
        """Close the socket and finish what is being answered, at most five seconds."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
