"""Reading logs of containers: what `kubectl logs` asks for, from the files that `logs.py` writes.

Following is polling: a `stat` every tenth of a second and reader, which costs nothing next to a video stream and needs
no agreement with the writer. A rotation is noticed by the file's identity and loses nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from luna_local.kubelet.errors import NoSuchLog
from luna_local.kubelet.logs import log_path, rotated_path, runs

_POLL_S = 0.1
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What part of a log is wanted, in which form.

    Attributes:
        follow: go on until the container ends.
        tail_lines: only the last lines, None for all.
        since: only lines written at or after this time.
        timestamps: begin each line with its time.
    """

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a container and its log file."""

    number: int
    path: Path


def find_run(folder: Path, container: str, *, previous: bool) -> Run:
    """Return the last run of a container that has a log, or the one before it.

    Raises:
        NoSuchLog: if there is no such run.
    """
    numbers = runs(folder, container)
    if previous and len(numbers) < 2:
        raise NoSuchLog(f'previous terminated container "{container}" not found')
    if not numbers:
        raise NoSuchLog(f'container "{container}" is waiting to start')
    number = numbers[-2 if previous else -1]
    return Run(number, log_path(folder, container, number))


class _Follower:
    """Reads a log from its beginning, over rotations; returns stored lines, whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _open_first(path)
        self._pending = b""

    def close(self) -> None:
        self._file.close()

    def read(self) -> list[bytes]:
        """Return the stored lines that came since the last call, none at the end."""
        data = self._file.read(_CHUNK_BYTES)
        if not data and self._is_rotated():
            self._file.close()
            self._file = self._path.open("rb")
            data = self._file.read(_CHUNK_BYTES)
        *lines, self._pending = (self._pending + data).split(b"\n")
        return lines

    def _is_rotated(self) -> bool:
        try:
            current = self._path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._file.fileno())
        if current.st_ino == mine.st_ino:
            return False
        # The writer may have appended between our last read and its rotation.
        return self._file.tell() == mine.st_size


def _open_first(path: Path) -> BinaryIO:
    try:
        return rotated_path(path).open("rb")
    except FileNotFoundError:
        return path.open("rb")


async def read_log(path: Path, options: LogOptions, is_running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield chunks of a log as a person sees it.

    Args:
        path: the file of one run.
        options: what is wanted.
        is_running: whether more lines may come; asked while following.
    """
    follower = _Follower(path)
    view = _View(options)
    try:
        if options.tail_lines is not None:
            stored = await asyncio.to_thread(_last_lines, follower, view, options.tail_lines)
            if stored:
                yield stored
        while True:
            was_running = is_running()
            lines = follower.read()
            if lines:
                if text := view.render(lines):
                    yield text
            elif not options.follow or not was_running:
                return
            else:
                await asyncio.sleep(_POLL_S)
    finally:
        follower.close()


def _last_lines(follower: _Follower, view: _View, count: int) -> bytes:
    last: deque[bytes] = deque(maxlen=count)
    for line in _until_end(follower):
        if view.wants(line):
            last.append(line)
    return view.render(list(last))


def _until_end(follower: _Follower) -> Iterator[bytes]:
    while lines := follower.read():
        yield from lines


class _View:
    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._since = options.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").encode() if options.since else b""

    def wants(self, line: bytes) -> bool:
        # Times are written in UTC with nine digits: comparing text compares times.
        return not self._since or line >= self._since

    def render(self, lines: list[bytes]) -> bytes:
        return b"".join(self._rendered(line) for line in lines if self.wants(line))

    def _rendered(self, line: bytes) -> bytes:
        try:
            stamp, _stream, tag, text = line.split(b" ", 3)
        except ValueError:  # torn by a kill: show what there is
            return line + b"\n"
        end = b"" if tag == b"P" else b"\n"
        return (stamp + b" " if self._options.timestamps else b"") + text + end
