"""Run the processor as its own process for the time of a test, as a user would start it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

STOP_TIMEOUT_S = 20.0
_LISTENS = re.compile(r"listens on (http://\S+),")


@dataclass
class ProcessorProcess:
    """A running worker."""

    process: asyncio.subprocess.Process
    origin: str = ""
    log: list[str] = field(default_factory=list)

    async def read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(line.decode().rstrip())
            if found := _LISTENS.search(self.log[-1]):
                self.origin = found[1]

    async def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Signal the process and return its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(with_signal)
        async with asyncio.timeout(STOP_TIMEOUT_S):
            return await self.process.wait()

    def faults(self) -> list[str]:
        """Return lines of the log that should not be there: tracebacks and internal errors."""
        return [line for line in self.log if "Traceback" in line or "internal error" in line or " ERROR " in line]


async def start_processor(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    """Start `python -m luna_processor`; without variables of ours but those given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LUNA_PROCESSOR_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "luna_processor",
        *arguments,
        env=clean | environment,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


@contextlib.asynccontextmanager
async def processor(streams_origin: str, *arguments: str) -> AsyncIterator[ProcessorProcess]:
    """Run a worker against a server; killed at the end if it still runs."""
    process = await start_processor(
        "--streams-origin", streams_origin, "--port", "0", "--inference-workers", "1", *arguments
    )
    running = ProcessorProcess(process)
    reading = asyncio.create_task(running.read_log())
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
