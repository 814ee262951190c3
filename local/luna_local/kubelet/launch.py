"""The first thing that runs in every container process: tie it to the kubelet, then become the command.

Run as a program: `python -I -S launch.py PARENT_PID GUARDIAN_FD COMMAND [ARG…]`, in a session of its own. A separate
program instead of `preexec_fn`, because code between fork and exec is unsafe in a process with threads.

Order matters: the death signal first, so that the kubelet's end is ours; then a look whether it already ended; then
the guardian learns the group, before the command can make a grandchild. The kernel sends the death signal when the
*thread* that started us ends, so the kubelet starts containers from its event loop's thread only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# What container runtimes answer when the command itself cannot be started.
_EXIT_CANNOT_START = 128


def main() -> int:
    """Become the command; returns only if that fails."""
    parent_pid, guardian, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        print(f"prctl: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return _EXIT_CANNOT_START
    if os.getppid() != parent_pid:
        return _EXIT_CANNOT_START
    try:
        os.write(guardian, b"+%d\n" % os.getpid())
    except OSError as e:  # the guardian was killed; nothing starts unguarded, the kubelet tries again
        print(f"the guardian does not answer: {e.strerror}", file=sys.stderr)
        return _EXIT_CANNOT_START
    os.close(guardian)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the interpreter ignores them, and exec would hand that on
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606  a pod's command is not for a shell
    except OSError as e:
        print(f"cannot start {command[0]!r}: {e.strerror}", file=sys.stderr)
    return _EXIT_CANNOT_START


if __name__ == "__main__":
    sys.exit(main())
