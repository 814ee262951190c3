"""A real PostgreSQL server for tests, that can be stopped and started.

``tests/conftest.py`` imports the fixtures:

* ``postgresql``: a server of the test run; skips when there are no binaries (Debian: ``postgresql``).
* ``log_database``: an empty database for the log of streams; each test runs once with SQLite and once with PostgreSQL.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.apiservers import die_with_parent, free_port, unique

PASSWORD = "pa55-of-the-log"
_ATTEMPTS = 5


@dataclass
class LogDatabase:
    """An empty database for the log of streams.

    Attributes:
        server: None for SQLite.
    """

    url: str
    server: PostgreSql | None = None

    @property
    def is_shared(self) -> bool:
        return self.server is not None


class PostgreSql:
    """One server with its data in a folder; it refuses root, so then it runs as nobody.

    Attributes:
        address: where it listens; anywhere but on loopback, everybody with the password is let in.
    """

    def __init__(self, binaries: Path, folder: Path, address: str = "127.0.0.1") -> None:
        self.address = address
        self._binaries = binaries
        self._folder = folder
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: dict[str, Any] = {}
        self.port = 0
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        arguments: list[str | Path] = ["-D", self._data, "-U", "luna", "-A", "scram-sha-256", f"--pwfile={password}"]
        subprocess.run(
            [binaries / "initdb", *arguments, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, capture_output=True, timeout=120, cwd=folder, **self._identity,
        )  # fmt: skip
        if address != "127.0.0.1":
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all 0.0.0.0/0 scram-sha-256\n")

    def url(self, database: str) -> str:
        return f"postgresql://luna:{PASSWORD}@{self.address}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server where it was, the first time on a free port."""
        for attempt in range(_ATTEMPTS):
            port = self.port or free_port()
            options = [f"port={port}", f"listen_addresses={self.address}", f"unix_socket_directories={self._folder}"]
            options += ["fsync=off", "shared_buffers=32MB", "max_connections=60"]
            flags = [part for option in options for part in ("-c", option)]
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [self._binaries / "postgres", "-D", self._data, *flags],
                    stdout=log, stderr=log, cwd=self._folder, preexec_fn=die_with_parent, **self._identity,
                )  # fmt: skip
            if self._answers(port):
                self.port = port
                return
            # Somebody else was faster to take the port.
            assert attempt < _ATTEMPTS - 1, (self._folder / "log").read_text()[-2000:]

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT breaks connections off, SIGQUIT does so without a word, as a crash would."""
        assert self._process is not None
        self._process.send_signal(number)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server and all its processes say nothing for the length of the block."""
        assert self._process is not None
        server = self._process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        everybody = [server, *map(int, children)]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in everybody:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def create_database(self) -> str:
        """Return the URL of a new database."""
        name = unique("logs").replace("-", "_")
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _answers(self, port: int) -> bool:
        deadline = time.monotonic() + 60
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                return False
            try:
                psycopg.connect(
                    f"postgresql://luna:{PASSWORD}@{self.address}:{port}/postgres", connect_timeout=5
                ).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.05)
            else:
                return True


@cache
def postgresql_binaries() -> Path | None:
    """Return the newest version's folder of programs, None where there is no server."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    found = shutil.which("postgres")
    folders += [Path(found).resolve().parent] if found else []
    return max(folders, key=lambda path: path.parent.name, default=None)


@contextmanager
def a_postgresql(binaries: Path, address: str = "127.0.0.1") -> Iterator[PostgreSql]:
    """Run a server."""
    # Not below pytest's own folder, which nobody but root may enter.
    with tempfile.TemporaryDirectory(prefix="luna-postgresql-") as folder:
        server = PostgreSql(binaries, Path(folder), address)
        server.start()
        try:
            yield server
        finally:
            if server.is_running:
                server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    binaries = postgresql_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL: install it (Debian: postgresql)")
    with a_postgresql(binaries) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def log_database(request: pytest.FixtureRequest, tmp_path: Path) -> LogDatabase:
    if request.param == "sqlite":
        return LogDatabase(f"sqlite:///{tmp_path}/folder/logs.db")
    server: PostgreSql = request.getfixturevalue("postgresql")
    if not server.is_running:
        server.start()
    return LogDatabase(server.create_database(), server)
