"""The guardian: a tiny process that makes sure nothing outlives the kubelet, whatever kills it.

Run as a program (`python -I guardian.py --root DIR [--unlink FILE]`) with the read end of a pipe as standard input.
Every container reports its process group on that pipe before its command starts; the kubelet takes it back when the
container has ended. The kernel closes the kubelet's end of the pipe when the kubelet dies, SIGKILL included: at end of
file the guardian kills every group that is left, then whatever carries the kubelet's mark in its environment (a
process that moved to a session of its own), removes the files it was told to, and ends.

It imports the standard library only and nothing of this package: it must start in milliseconds and never fail.
What it cannot do: outlive its own SIGKILL. The kubelet starts another one then (see `guarding.py`).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator

ROOT_VARIABLE = "LUNA_KUBELET_ROOT"
CONTAINER_VARIABLE = "LUNA_KUBELET_CONTAINER"

_KILL_DEADLINE_S = 10.0
_KILL_INTERVAL_S = 0.02


def registration(pgid: int) -> bytes:
    """Return the line that puts a process group under guard; one write of it is atomic (shorter than PIPE_BUF)."""
    return b"+%d\n" % pgid


def release(pgid: int) -> bytes:
    """Return the line that takes a process group out again."""
    return b"-%d\n" % pgid


def kill_group(pgid: int) -> bool:
    """SIGKILL a process group; tell whether it still had a member."""
    try:
        os.killpg(pgid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError:
        # A member changed its user; the others were signalled all the same.
        return False
    return True


def marked_pids(variable: str, value: str) -> Iterator[int]:
    """Yield the processes that were started with this variable in their environment, except the caller."""
    entry = f"{variable}={value}".encode()
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                environment = file.read()
        except OSError:  # it ended meanwhile, or belongs to somebody else
            continue
        if entry in environment.split(b"\0"):
            yield int(name)


def kill_marked(variable: str, value: str, deadline_s: float = _KILL_DEADLINE_S) -> None:
    """SIGKILL every process with this mark, again until a look finds none: a fork may slip through one round."""
    until = time.monotonic() + deadline_s
    while (pids := list(marked_pids(variable, value))) and time.monotonic() < until:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:  # gone, or not ours
                continue
        time.sleep(_KILL_INTERVAL_S)


def follow(pipe: int) -> set[int]:
    """Read registrations until the last writer is gone; return the groups that were not released."""
    groups: set[int] = set()
    pending = b""
    while chunk := os.read(pipe, 4096):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            pgid = int(line[1:])
            if line.startswith(b"+"):
                groups.add(pgid)
            else:
                groups.discard(pgid)
    return groups


def main() -> int:
    """Guard until the pipe ends, then clear up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--unlink", action="append", default=[])
    arguments = parser.parse_args()
    # Ctrl-C reaches the whole foreground group of a terminal; the kubelet decides about the end, not the terminal.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    for pgid in follow(sys.stdin.fileno()):
        kill_group(pgid)
    kill_marked(ROOT_VARIABLE, arguments.root)
    for path in arguments.unlink:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
    return 0


if __name__ == "__main__":
    sys.exit(main())
