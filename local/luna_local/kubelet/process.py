"""Processes of a container: start one in a group of its own, wait for its end, leave nothing of it behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from luna_local.kubelet import guardian
from luna_local.kubelet.exits import wait_for_exit
from luna_local.kubelet.guarding import Guard

_LAUNCH = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: its exit code, and the signal that ended it, if one did.

    A killed process has the code 128 + signal, as container runtimes report it.
    """

    code: int
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: arguments, the whole environment, and where."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path


class GroupProcess:
    """A command in its own session and process group, under guard.

    Attributes:
        pid: its process id, which is its process group's id as well.
    """

    def __init__(self, popen: subprocess.Popen[bytes], guard: Guard, mark: str) -> None:
        self._popen = popen
        self._guard = guard
        self._mark = mark
        self.pid = popen.pid
        # A task of its own: the process is reaped and its group cleared also when nobody waits any more.
        self._ending = asyncio.get_running_loop().create_task(self._end())

    @classmethod
    def start(cls, command: Command, guard: Guard, mark: str, output: IO[bytes] | None = None) -> GroupProcess:
        """Start a command; it begins to run only after the guardian knows it.

        Must be called on the event loop's thread: the kernel ends the process when its parent *thread* ends.

        Args:
            command: what to run.
            guard: the guardian that answers for it.
            mark: unique for this process; everything it starts inherits it and is killed when it ends.
            output: where standard output and standard error go; None for pipes, see `outputs`.

        Raises:
            OSError: if no process could be made (no memory, the directory is gone).
        """
        marks = {guardian.ROOT_VARIABLE: guard.root, guardian.CONTAINER_VARIABLE: mark}
        popen = subprocess.Popen(  # noqa: S603  the pod's command, without a shell
            [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), str(guard.pipe), *command.arguments],
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=output or subprocess.PIPE,
            cwd=command.directory,
            env={**command.environment, **marks},
            pass_fds=(guard.pipe,),
            start_new_session=True,
        )
        guard.started(popen.pid)
        return cls(popen, guard, mark)

    @property
    def outputs(self) -> tuple[IO[bytes], IO[bytes]]:
        """The read ends of its standard output and standard error; the caller reads and closes them."""
        assert self._popen.stdout is not None  # noqa: S101  both are pipes
        assert self._popen.stderr is not None  # noqa: S101
        return self._popen.stdout, self._popen.stderr

    async def wait(self) -> Exit:
        """Wait until the command has ended and nothing that it started is left."""
        return await asyncio.shield(self._ending)

    async def _end(self) -> Exit:
        await wait_for_exit(self.pid)
        guardian.kill_group(self.pid)
        await asyncio.to_thread(guardian.kill_marked, guardian.CONTAINER_VARIABLE, self._mark)
        status = self._popen.wait()
        self._guard.ended(self.pid)
        return Exit(status) if status >= 0 else Exit(128 - status, -status)

    def send(self, number: signal.Signals) -> None:
        """Signal the whole group; nothing happens if it has ended."""
        if self._popen.returncode is None:  # else the number may belong to somebody else by now
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
