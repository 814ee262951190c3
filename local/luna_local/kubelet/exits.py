"""Waiting for the end of a child process without reaping it."""

from __future__ import annotations

import asyncio
import os


async def wait_for_exit(pid: int) -> None:
    """Return when a child has ended; it stays a zombie, so its id cannot belong to anybody else yet."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
