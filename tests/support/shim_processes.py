"""Replicas of the shim as processes of their own, to be killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.shims import Deployment


@contextmanager
def a_process(
    deployment: Deployment, port: int, log: Path, replica: str, **settings: float | str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a replica as `luna-streams shim` does; settings are written as in `Settings`."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LUNA_")},
        "LUNA_SHIM_NAMESPACE": deployment.namespace,
        "LUNA_SHIM_DATA_FOLDER": str(deployment.folder),
        "LUNA_SHIM_REPLICA": replica,
        "LUNA_SHIM_LEASE_DURATION": "6",
        **{f"LUNA_SHIM_{name.upper()}": _written(value) for name, value in settings.items()},
    }
    command = [
        sys.executable,
        "-m",
        "luna_api_shim",
        "--port",
        str(port),
        "--kubeconfig",
        str(deployment.api.kubeconfig),
    ]
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.kill()
            process.wait(60)


def _written(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


async def until_healthy(url: str, timeout_s: float = 90) -> None:
    """Wait until a replica serves."""
    async with asyncio.timeout(timeout_s), httpx.AsyncClient() as client:
        while True:
            try:
                if (await client.get(f"{url}/healthcheck")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
