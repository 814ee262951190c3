"""Logs of containers on disk, in the format that container runtimes write.

A line is `2026-01-31T12:00:00.123456789Z stdout F text`: the time it was read, the stream, and F for a full line or P
for a part of a longer one. Every run of a container has its own file, `LOGS/CONTAINER/RESTARTS.log`; the last run's
and the one's before it are kept. A file that grows beyond the bound becomes `….log.1` and a new one begins.

Source of the format: the Kubernetes CRI, https://github.com/kubernetes/design-proposals-archive
(node/kubelet-cri-logging.md). Reading is done in `logreading.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO

MAX_FILE_BYTES = 10 * 1024 * 1024
# Longer lines are cut into parts, as runtimes do.
MAX_LINE_BYTES = 16 * 1024
_KEPT_RUNS = 2

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its newline, or a part of a longer one."""

    text: bytes
    is_complete: bool = True


def log_path(folder: Path, container: str, run: int) -> Path:
    """Return the log file of a container's run; runs are counted like restarts, from 0."""
    return folder / container / f"{run}.log"


def rotated_path(path: Path) -> Path:
    """Return where the older part of a log lies after it was rotated."""
    return path.with_name(f"{path.name}.1")


def runs(folder: Path, container: str) -> list[int]:
    """Return the runs of a container that have a log, oldest first."""
    return sorted(int(path.stem) for path in (folder / container).glob("*.log") if path.stem.isdecimal())


def forget_old_runs(folder: Path, container: str) -> None:
    """Delete the logs of all but the last runs."""
    for run in runs(folder, container)[:-_KEPT_RUNS]:
        path = log_path(folder, container, run)
        path.unlink(missing_ok=True)
        rotated_path(path).unlink(missing_ok=True)


class LogFile:
    """The log of one run, written line by line.

    A disk that is full loses lines, never the container: they are counted and the count is logged once it works again.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lost_lines = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(path, "a")
        except OSError as e:
            _LOG.warning("there will be no log %s: %s", path, e.strerror)
            self._file = FileIO(os.devnull, "a")
        self._size = self._file.tell()

    def append(self, stream: str, lines: list[Line]) -> None:
        """Append lines that came from a stream ("stdout" or "stderr") just now."""
        prefix = b"%s %s " % (_now(), stream.encode())
        data = b"".join(prefix + (b"F " if line.is_complete else b"P ") + line.text + b"\n" for line in lines)
        try:
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            self._file.write(data)
        except OSError as e:
            if self._lost_lines == 0:
                _LOG.warning("lines of %s are lost: %s", self._path, e.strerror)
            self._lost_lines += len(lines)
            return
        self._size += len(data)
        if self._lost_lines:
            _LOG.warning("%d lines of %s were lost", self._lost_lines, self._path)
            self._lost_lines = 0

    def close(self) -> None:
        """Close the file; append nothing afterwards."""
        self._file.close()

    def _rotate(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # renamed by an attempt that then found no room for a new file
            self._path.replace(rotated_path(self._path))
        fresh = FileIO(self._path, "a")
        self._file.close()
        self._file, self._size = fresh, 0


def split_lines(data: bytes) -> tuple[list[Line], bytes]:
    """Cut what was read into lines; the rest waits for its newline, unless it is too long already."""
    *complete, rest = data.split(b"\n")
    lines: list[Line] = []
    for text in complete:
        while len(text) > MAX_LINE_BYTES:
            lines.append(Line(text[:MAX_LINE_BYTES], is_complete=False))
            text = text[MAX_LINE_BYTES:]
        lines.append(Line(text))
    while len(rest) > MAX_LINE_BYTES:
        lines.append(Line(rest[:MAX_LINE_BYTES], is_complete=False))
        rest = rest[MAX_LINE_BYTES:]
    return lines, rest


class _OutputReader(asyncio.Protocol):
    def __init__(self, stream: str, log: LogFile) -> None:
        self._stream = stream
        self._log = log
        self._pending = b""
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        lines, self._pending = split_lines(self._pending + data)
        if lines:
            self._log.append(self._stream, lines)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pending:
            self._log.append(self._stream, [Line(self._pending)])
        self.ended.set()


async def copy_outputs(outputs: tuple[IO[bytes], IO[bytes]], log: LogFile) -> None:
    """Copy standard output and standard error into a log until both have ended; closes all three."""
    loop = asyncio.get_running_loop()
    transports, readers = [], []
    for stream, pipe in zip(("stdout", "stderr"), outputs, strict=True):
        transport, reader = await loop.connect_read_pipe(functools.partial(_OutputReader, stream, log), pipe)
        transports.append(transport)
        readers.append(reader)
    try:
        for reader in readers:
            await reader.ended.wait()
    finally:
        for transport in transports:
            transport.close()
        log.close()


def _now() -> bytes:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % nanoseconds
