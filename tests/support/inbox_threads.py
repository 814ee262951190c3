"""The inbox for tests that have no event loop of their own: it plays LUNA PLATFORM in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from luna_local.inbox.app import Inbox, inbox_server

Json = dict[str, Any]


class InboxThread:
    """A served inbox.

    Attributes:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def count(self, stream_id: str | None = None) -> int:
        """Return how many events were delivered, of one stream or of all."""
        query = {"stream_id": stream_id} if stream_id else {}
        answer = httpx.get(f"{self.url}/events", params=query, timeout=20).raise_for_status()
        return len(answer.json())


@contextmanager
def an_inbox_thread(folder: Path, address: str) -> Iterator[InboxThread]:
    """Serve an inbox on a free port of an address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((address, 0))
    listener.listen(1024)
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        server, stop = inbox_server(Inbox.opened(folder), listener), asyncio.Event()
        await server.start()
        started.set_result((server.url, asyncio.get_running_loop(), stop))
        await stop.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="inbox")
    thread.start()
    url, loop, stop = started.result(30)
    try:
        yield InboxThread(url)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
