"""The data folder of `luna-streams up`: who may use it, what lies where, and the file that says that all is ready."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from luna_local.up.errors import UpError


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

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder ours for the length of the block; the kernel ends that however this process ends.

        Raises:
            UpError: if it cannot be used, or another `up` uses it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as e:
            raise UpError(f"the folder {self.path} cannot be used: {e.strerror}; choose another --data") from e
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.read(lock, 20).decode("ascii", "replace").strip()
                raise UpError(
                    f"the folder {self.path} is in use by another `luna-streams up` (process {pid}); "
                    "end that one, or choose another --data"
                ) from None
            os.truncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            self.withdraw()
            yield
            self.withdraw()
        finally:
            os.close(lock)

    def publish(self, endpoints: Endpoints) -> None:
        """Say that everything is ready; the file appears as a whole."""
        temporary = self.endpoints.with_name(".endpoints.json")
        temporary.write_text(json.dumps(asdict(endpoints), indent=2) + "\n")
        temporary.replace(self.endpoints)

    def withdraw(self) -> None:
        """Take that back."""
        self.endpoints.unlink(missing_ok=True)
