"""HTTP as bytes, for requests that no client library would send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from support.waiting import PATIENCE_S


@dataclass(frozen=True)
class Answer:
    """One answer of a server; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send bytes; ConnectionError where the server has heard enough and closed."""
        self._writer.write(data)
        await self._writer.drain()

    async def read(self, *, has_body: bool = True) -> Answer:
        """Read one answer, 100 Continue passed over.

        Raises:
            asyncio.IncompleteReadError: the server closed the connection instead.
        """
        while True:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            if (status := int(first.split(" ")[1])) != 100:
                break
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0)) if has_body else 0
        return Answer(status, headers, await self._reader.readexactly(length))

    async def ask(self, data: bytes, *, has_body: bool = True) -> Answer:
        """Send bytes and read one answer."""
        await self.send(data)
        return await self.read(has_body=has_body)

    async def is_closed(self) -> bool:
        """Tell whether the server closes the connection, within a moment."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._reader.read(1) == b""
        except ConnectionError:
            return True

    async def close_writing(self) -> None:
        self._writer.write_eof()


@contextlib.asynccontextmanager
async def connected_to(url: str) -> AsyncIterator[Connection]:
    """Connect to the host and port of a URL; what takes longer than a minute fails."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=2**20)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield Connection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def a_request(
    path: bytes = b"/2/streams/count",
    *,
    method: bytes = b"GET",
    headers: bytes = b"",
    body: bytes = b"",
) -> bytes:
    """Return the bytes of a request.

    Args:
        headers: whole lines; Content-Length is added where there is a body and they do not frame it.
    """
    if body and b"content-length" not in headers.lower() and b"transfer-encoding" not in headers.lower():
        headers += b"Content-Length: %d\r\n" % len(body)
    return method + b" " + path + b" HTTP/1.1\r\nHost: shim\r\n" + headers + b"\r\n" + body
