"""A wire between a client and a server that a test can cut, freeze and mend: TCP through a loopback port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_END_OF_REQUEST_LINE = b" HTTP/1.1\r\n"


class Relay:
    """Passes bytes on while it is whole.

    Cut, it refuses connections and breaks those that are open. Frozen, it takes everything and passes nothing on, as a
    network does that loses each packet: no side is told.

    Attributes:
        requests: when each HTTP request passed, monotonic seconds; only where the wire is not encrypted.
    """

    def __init__(self, target: str, *, is_cut: bool = False) -> None:
        parts = urlsplit(target)
        self._scheme = parts.scheme
        self._target = parts.hostname or "", parts.port or 80
        self._is_cut = is_cut
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.requests: list[float] = []
        self.url = ""

    def cut(self) -> None:
        self._is_cut = True
        for writer in tuple(self._writers):
            writer.transport.abort()

    def freeze(self) -> None:
        self._flows.clear()

    def mend(self) -> None:
        """Pass on everything again; what came meanwhile on frozen connections is lost with them."""
        self._is_cut = False
        if not self._flows.is_set():
            for writer in tuple(self._writers):
                writer.transport.abort()
            self._flows.set()

    @asynccontextmanager
    async def running(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Relay]:
        server = await asyncio.start_server(self._serve, host, port)
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"{self._scheme}://{host}:{port}"
        try:
            yield self
        finally:
            self.cut()
            self._flows.set()
            server.close()
            if self._serving:
                await asyncio.wait(self._serving, timeout=5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        serving = asyncio.create_task(self.pass_on(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        await serving

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        with suppress(OSError):
            self._writers |= {writer, far_writer}
            try:
                await asyncio.gather(
                    self._pump(reader, far_writer, self._count), self._pump(far_reader, writer, lambda _: None)
                )
            finally:
                self._writers -= {writer, far_writer}
                far_writer.close()
                writer.close()

    def _count(self, data: bytes) -> None:
        self.requests += [time.monotonic()] * data.count(_END_OF_REQUEST_LINE)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[[bytes], None]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                if writer.transport.is_closing():
                    break  # what was held back is lost
                look(data)
                writer.write(data)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.close()
