"""A replica of the shim as a process of its own, for clients that block or seed the generators of random numbers."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from luna_kube import NAMESPACES, KubeClient, load_credentials
from support.apiservers import ApiServer, unique
from support.shims import install_definitions

_READY = re.compile(r"the REST API is at (\S+)")
_START_S = 60


@contextmanager
def a_served_shim(api: ApiServer, folder: Path, *flags: str) -> Iterator[str]:
    """Run a replica in a namespace of its own; yields its URL as soon as it leads.

    Args:
        folder: takes its log, `shim.log`, and whatever else it writes.
        flags: of `luna-streams shim`.
    """
    namespace = unique("shim")
    asyncio.run(_prepare(api, namespace))
    command = [sys.executable, "-m", "luna_api_shim", "--port", "0", "--namespace", namespace]
    command += ["--kubeconfig", str(api.kubeconfig), "--data-folder", str(folder), "--lease-duration", "4", *flags]
    log = folder / "shim.log"
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, cwd=folder) as process:
        try:
            yield _url(process, log)
        finally:
            process.terminate()
            process.wait(60)


async def _prepare(api: ApiServer, namespace: str) -> None:
    async with KubeClient(await load_credentials(api.kubeconfig), user_agent="test") as kube:
        await install_definitions(kube)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await kube.create(NAMESPACES.everywhere(), body)


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if (match := _READY.search(log.read_text())) and _leads(match[1]):
            return match[1]
        time.sleep(0.05)
    raise AssertionError(f"the shim did not start: {log.read_text()}")


def _leads(url: str) -> bool:
    queue = {"filters": {}, "limit": 1}
    return httpx.post(f"{url}/2/streams/processing/queue", json=queue, timeout=30).status_code == 200
