"""/healthz, /readyz and /metrics on a small port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from luna_operator.metrics import Metrics


@asynccontextmanager
async def health_server(host: str, port: int, metrics: Metrics, state: Callable[[], str]) -> AsyncIterator[int]:
    """Serve for the length of the block; yield the port.

    Args:
        host: address to listen on.
        port: 0 takes a free one.
        metrics: shown under /metrics.
        state: "standby", "starting" or "leading"; all but "starting" count as ready.

    Raises:
        OSError: if the address is taken.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")  # the event loop answers: that is what a liveness probe asks

    async def readyz(_: web.Request) -> web.Response:
        present = state()
        return web.Response(text=f"{present}\n", status=503 if present == "starting" else 200)

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
