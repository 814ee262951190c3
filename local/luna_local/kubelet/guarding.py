"""The kubelet's side of the guardian: start it, report to it, replace it when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from luna_local.kubelet import guardian
from luna_local.kubelet.exits import wait_for_exit

_LOG = logging.getLogger(__name__)
_PROGRAM = Path(guardian.__file__)
_RETRY_S = 0.5


class Guard:
    """A running guardian and the process groups it answers for.

    Args:
        root: the folder of the kubelet's Pods.
        unlink: files that the guardian removes at the end.
        keeps: descriptors that it keeps open until it ends.

    Attributes:
        root: the mark of this kubelet's processes; each carries it in its environment.
    """

    def __init__(self, root: Path, unlink: tuple[Path, ...] = (), keeps: tuple[int, ...] = ()) -> None:
        self.root = str(root)
        self._unlink = unlink
        self._keeps = keeps
        self._groups: set[int] = set()
        self._pipe = -1
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pipe(self) -> int:
        """The file descriptor on which a starting process registers its group; pass it on, never keep it."""
        return self._pipe

    @property
    def pid(self) -> int | None:
        """The guardian's process id, None while it does not run."""
        return self._process.pid if self._process is not None else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Guard]:
        """Keep a guardian alive; at the end it kills what is still registered, and has ended."""
        # What an earlier kubelet of this folder left behind, if it and its guardian were killed at the same time.
        await asyncio.to_thread(guardian.kill_marked, guardian.ROOT_VARIABLE, self.root)
        self._start()
        watching = asyncio.create_task(self._watch())
        try:
            yield self
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await asyncio.to_thread(self._finish)

    def started(self, pgid: int) -> None:
        """Note a group that registers itself, so that a new guardian learns of it as well."""
        self._groups.add(pgid)

    def ended(self, pgid: int) -> None:
        """Release a group: its number may soon belong to somebody else."""
        self._groups.discard(pgid)
        self._send(guardian.release(pgid))

    def _start(self) -> None:
        read_end, write_end = os.pipe()
        arguments = [f"--unlink={path}" for path in self._unlink]
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own program, no shell
                [sys.executable, "-I", "-S", str(_PROGRAM), f"--root={self.root}", *arguments],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                pass_fds=self._keeps,
                start_new_session=True,
            )
        except OSError:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        old, self._pipe = self._pipe, write_end
        if old >= 0:
            os.close(old)
        self._send(b"".join(map(guardian.registration, self._groups)))

    def _send(self, line: bytes) -> None:
        # A guardian that was killed meanwhile: `_watch` starts another, which is told all groups.
        with contextlib.suppress(BrokenPipeError):
            if self._pipe >= 0:
                os.write(self._pipe, line)

    async def _watch(self) -> None:
        while True:
            process = self._process
            assert process is not None  # noqa: S101  started before this task
            await wait_for_exit(process.pid)
            process.wait()
            _LOG.warning("the guardian process ended (status %s); starting another", process.returncode)
            while not self._is_restarted():
                await asyncio.sleep(_RETRY_S)

    def _is_restarted(self) -> bool:
        try:
            self._start()
        except OSError as e:
            _LOG.error("no guardian could be started, trying again: %s", e)
            return False
        return True

    def _finish(self) -> None:
        os.close(self._pipe)
        self._pipe = -1
        if self._process is not None:
            self._process.wait()
            self._process = None
