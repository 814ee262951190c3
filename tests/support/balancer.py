"""What stands before several replicas of a server: each connection goes to the next of them, and stays there."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from support.relay import Relay


@asynccontextmanager
async def balancer(replicas: Sequence[Relay]) -> AsyncIterator[str]:
    """Run one before relays to the replicas; yields its origin."""
    turns = itertools.cycle(replicas)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(next(turns).pass_on(reader, writer))
        connections.add(connection)
        connection.add_done_callback(connections.discard)
        with suppress(asyncio.CancelledError):
            await connection

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for relay in replicas:
            relay.cut()
        if connections:
            await asyncio.wait(connections, timeout=5)
