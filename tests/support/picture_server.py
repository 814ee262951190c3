"""A worker's side of a preview, byte by byte: answers well, slowly, for ever, wrongly, or not at all.

async with picture_server(answer(b"...", "image/jpeg")) as server:
    ...  # report server.url
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Write = Callable[[bytes], Awaitable[None]]
Script = Callable[[Write], Awaitable[None]]
"""Writes an answer; the connection is closed when it returns."""

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40 + b"\xff\xd9"
PART = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(JPEG), JPEG)


@dataclass
class PictureServer:
    """What happened at the server.

    Attributes:
        heads: first line and headers of every request.
        open_count: connections that are open.
        sent_bytes: taken by the system so far.
    """

    url: str
    heads: list[str] = field(default_factory=list)
    open_count: int = 0
    sent_bytes: int = 0


@contextlib.asynccontextmanager
async def picture_server(script: Script, host: str = "127.0.0.1") -> AsyncIterator[PictureServer]:
    """Serve one script on a free port."""
    at_work: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        at_work.add(task)
        server.open_count += 1
        talking = asyncio.create_task(_talk(server, script, reader, writer))
        try:
            await talking
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side left, or did not speak HTTP
        except asyncio.CancelledError:
            talking.cancel()
        finally:
            server.open_count -= 1
            at_work.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, host, 0)
    address, port = listener.sockets[0].getsockname()[:2]
    server = PictureServer(f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}")
    try:
        yield server
    finally:
        listener.close()
        for task in at_work.copy():
            task.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)


async def _talk(
    server: PictureServer, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    server.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())

    async def write(data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        server.sent_bytes += len(data)

    writing = asyncio.ensure_future(script(write))
    leaving = asyncio.create_task(reader.read())  # ends when the other side closes
    try:
        await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        writing.cancel()
        leaving.cancel()
        await asyncio.gather(writing, leaving, return_exceptions=True)


def answer(body: bytes = JPEG, content_type: str = "image/jpeg", status: str = "200 OK", **headers: str) -> Script:
    """Answer once, properly."""
    named = {"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items()) + "\r\n"
    return raw(head.encode() + body)


def raw(data: bytes) -> Script:
    """Send bytes and close."""

    async def script(write: Write) -> None:
        await write(data)

    return script


def movie(parts: int | None = None, pause_s: float = 0.02, part: bytes = PART) -> Script:
    """Send MotionJPEG, for ever by default."""

    async def script(write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
        sent = 0
        while parts is None or sent < parts:
            await write(part)
            sent += 1
            await asyncio.sleep(pause_s)

    return script


def silence() -> Script:
    """Say nothing, and stay."""

    async def script(_write: Write) -> None:
        await asyncio.Event().wait()

    return script
