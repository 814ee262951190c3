"""The inbox for tests: served on a free port inside of the test's event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from luna_local.inbox.app import Inbox, inbox_server
from luna_local.serving import bind_loopback


@asynccontextmanager
async def an_inbox(folder: Path, port: int = 0) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an inbox and give a client whose base address it is."""
    server = inbox_server(Inbox.opened(folder), bind_loopback(port))
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            yield client
    finally:
        await server.stop()
