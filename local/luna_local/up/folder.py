"""The data folder of `luna-streams up`: who may use it, what lies where, and the file that says that all is ready."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from luna_local.up.errors import UpError

_LOCK = "lock"
_OTHERS = 0o077
_PATIENCE_S = 15.0
"""The guardian of a killed `up` gives itself ten seconds."""
_RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where everything is: addresses, a path, and the process id of `up`."""

    rest: str
    kubernetes: str
    kubeconfig: str
    inbox: str
    pid: int


class DataFolder:
    """The folder and its layout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kubernetes = path / "kubernetes"
        self.pods = path / "pods"
        self.inbox = path / "inbox"
        self.logs = path / "logs"
        self.kubeconfig = path / "kubeconfig"
        self.endpoints = path / "endpoints.json"
        self.log = path / "up.log"
        self.lock = -1
        """While the folder is ours: the descriptor of its lock. Whoever inherits it holds the lock as well."""

    @property
    def is_open_to_others(self) -> bool:
        """Whether other users of the machine may look into the folder."""
        return bool(self.path.stat().st_mode & _OTHERS)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder ours for the length of the block; the kernel ends that however this process ends.

        What an `up` that was killed left behind is waited for: its guardian holds the lock until all is cleared up.

        Raises:
            UpError: if it cannot be used, or another `up` uses it.
        """
        try:
            self._make()
            self.lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as e:
            raise UpError(f"the folder {self.path} cannot be used: {e.strerror}; choose another --data") from e
        try:
            self._acquire()
            os.truncate(self.lock, 0)
            os.pwrite(self.lock, f"{os.getpid()}\n".encode(), 0)
            self.withdraw()
            yield
            self.withdraw()
        finally:
            os.close(self.lock)
            self.lock = -1

    def _make(self) -> None:
        """Make the folder, or shut an existing one that is ours: empty, or used by `up` before."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_ours = (self.path / _LOCK).exists() or not any(self.path.iterdir())
        if self.is_open_to_others and is_ours:
            with contextlib.suppress(PermissionError):  # of another user; a line says so
                self.path.chmod(stat.S_IMODE(self.path.stat().st_mode) & ~_OTHERS)

    def _acquire(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pid = os.pread(self.lock, 20, 0).decode("ascii", "replace").strip()
                if not _has_ended(pid) or time.monotonic() > deadline:
                    raise UpError(
                        f"the folder {self.path} is in use by another `luna-streams up` (process {pid}); "
                        "end that one, or choose another --data"
                    ) from None
            time.sleep(_RETRY_S)

    def publish(self, endpoints: Endpoints) -> None:
        """Say that everything is ready; the file appears as a whole."""
        temporary = self.endpoints.with_name(".endpoints.json")
        temporary.write_text(json.dumps(asdict(endpoints), indent=2) + "\n")
        temporary.replace(self.endpoints)

    def withdraw(self) -> None:
        """Take that back."""
        self.endpoints.unlink(missing_ok=True)


def _has_ended(pid: str) -> bool:
    return pid.isdecimal() and not Path(f"/proc/{pid}").exists()
