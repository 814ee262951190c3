"""Where events wait on disk: a SQLite database in a folder of its own, which one process holds at a time.

SQLite in WAL mode does what a spool needs and what is hard to do right by hand: several changes become durable together
or not at all, a torn tail of the log is recognised by its checksums and cut off, and what is freed is used again.
Decision 11 tells what else was measured.

Every transaction is synchronised with the disk before `write` returns, so that what was written outlives a SIGKILL and
a power failure. Events are read back only with their own checksum right: SQLite has none for pages at rest.
On a full disk no event is taken that could not be taken out again: see `Reserve`.
Without a folder everything is the same, in memory, and ends with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from luna_processor.delivery.spool_records import (
    Change,
    ForgetRun,
    NoteFrames,
    Run,
    SetRun,
    SettleEvent,
    StoredEvent,
    StoreEvent,
)
from luna_processor.delivery.spool_reserve import Reserve
from luna_processor.delivery.spool_salvage import salvage
from luna_processor.errors import StartupError

log = logging.getLogger(__name__)

_FORM: Final = 1
"""Of the tables; another one is set aside."""
_PAGE_BYTES: Final = 16384
"""Larger than SQLite's default, since most rows are pictures: a third less CPU at 500 KB."""
_LOG_BYTES: Final = 4 * 2**20
"""Of the log, after which its pages are moved into the database, and what it is cut back to."""
_MARGIN_BYTES: Final = 2 * 2**20
"""For the log of a transaction that only takes things out; twice what the writer puts into one."""
_SHRINK_BYTES: Final = 32 * 2**20
"""A database that holds nothing is made small again from here on."""
_KEPT_RUNS: Final = 10_000
"""Streams whose runs are remembered; beyond, the oldest are forgotten."""
_DATABASE, _LOCK, _RESERVE, _ASIDE = "events.db", "lock", "reserve", "events.damaged"
_LOG_SUFFIXES: Final = ("-wal", "-shm")

_TABLES: Final = """
CREATE TABLE event (
    number INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, stream_id TEXT NOT NULL, version INTEGER NOT NULL,
    origin TEXT NOT NULL, made_at_s REAL NOT NULL, shot_count INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL, image_origins TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE run (
    stream_id TEXT PRIMARY KEY, version INTEGER NOT NULL, number INTEGER NOT NULL, began_at_s REAL
) STRICT;
CREATE TABLE settled (request_id TEXT PRIMARY KEY, stream_id TEXT NOT NULL, loss TEXT) STRICT;
CREATE INDEX settled_stream ON settled (stream_id);
"""


class SpoolFailed(Exception):
    """The disk does not take or give something; the text says why."""


class SpoolDamaged(SpoolFailed):
    """What was written is not there any more; another try is of no use."""


class Spool:
    """The database; used by any thread.

    Args:
        folder: where it is kept, made if need be; None for memory.

    Raises:
        StartupError: if the folder cannot be used, or another process does.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._use = threading.Lock()
        self._lock_file = None if folder is None else _hold(folder)
        try:
            self._database = _connect(folder)
        except BaseException:
            if self._lock_file is not None:
                self._lock_file.close()
            raise
        self._reserve = None if folder is None else Reserve(folder / _RESERVE)

    def waiting(self) -> list[StoredEvent]:
        """Return what waits, in the order it came."""
        fields = "number, request_id, stream_id, version, origin, made_at_s, shot_count, size_bytes, image_origins"
        with self._access() as database:
            rows = database.execute(f"SELECT {fields} FROM event ORDER BY number").fetchall()  # noqa: S608  fixed names
        return [StoredEvent(*(*row[:-1], _origins_in(row[-1], shot_count=row[6]))) for row in rows]

    def runs(self) -> list[Run]:
        """Return the latest run of every stream that is remembered."""
        with self._access() as database:
            rows = database.execute("SELECT stream_id, version, number, began_at_s FROM run").fetchall()
        return [Run(*row) for row in rows]

    def settled(self) -> list[tuple[str, str, str | None]]:
        """Return what the unfinished runs have behind them: stream, request id, and why it was lost if it was."""
        with self._access() as database:
            return database.execute("SELECT stream_id, request_id, loss FROM settled").fetchall()

    def read(self, number: int) -> bytes:
        """Return the body of an event that waits.

        Raises:
            SpoolDamaged: if it is not what was written.
            SpoolFailed: if the disk does not give it.
        """
        with self._access() as database:
            row = database.execute("SELECT body, checksum FROM event WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise SpoolDamaged("it is not in the spool any more")
        if zlib.crc32(row[0]) != row[1]:
            raise SpoolDamaged("its checksum is wrong: the disk did not keep it")
        return bytes(row[0])

    def write(self, changes: Sequence[Change]) -> None:
        """Make changes durable, all of them or none.

        Raises:
            SpoolFailed: if the disk does not take them; nothing has changed then.
        """
        new_bytes = sum(len(change.body) for change in changes if isinstance(change, StoreEvent))
        with self._access() as database:
            if new_bytes:
                self._keep_room(database, new_bytes)
            try:
                _transact(database, changes)
            except sqlite3.OperationalError:
                if new_bytes or self._reserve is None:
                    raise  # the reserve is not for what comes
                self._reserve.release()
                _empty_log(database)
                _transact(database, changes)

    def _keep_room(self, database: sqlite3.Connection, new_bytes: int) -> None:
        """Make sure that all of the log could be moved into the database with an event that comes, and then be used.

        Raises:
            OSError: if the disk does not have the room.
        """
        if self.folder is None or self._reserve is None:
            return
        try:
            self._reserve.hold(_log_bytes(self.folder) + new_bytes + _MARGIN_BYTES)
            return
        except OSError:
            _empty_log(database)
        self._reserve.hold(_log_bytes(self.folder) + new_bytes + _MARGIN_BYTES)

    def shrink(self) -> None:
        """Give the room of a spool that holds no event back to the disk, if it is worth it.

        Raises:
            SpoolFailed: if that does not work; everything is as before.
        """
        with self._access() as database:
            pages: int = database.execute("PRAGMA page_count").fetchone()[0]
            if pages * _PAGE_BYTES >= _SHRINK_BYTES and not database.execute("SELECT 1 FROM event LIMIT 1").fetchone():
                database.execute("VACUUM")
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                if self._reserve is not None:
                    self._reserve.release()

    def close(self) -> None:
        """Let another process have it."""
        with self._use:
            self._database.close()
        if self._lock_file is not None:
            self._lock_file.close()

    @contextlib.contextmanager
    def _access(self) -> Iterator[sqlite3.Connection]:
        with self._use:
            try:
                yield self._database
            except sqlite3.OperationalError as e:  # the disk: full, broken, gone
                raise SpoolFailed(str(e)) from e
            except OSError as e:  # the same, of the reserve: a disk that became read-only does not even let go of it
                raise SpoolFailed(e.strerror or str(e)) from e
            except sqlite3.Error as e:
                raise SpoolDamaged(str(e)) from e


def _origins_in(text: str, shot_count: int) -> tuple[str | None, ...]:
    """Return where the frames of an event were stored; that has no checksum, and is forgotten if it is unclear."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return tuple(found) if isinstance(found, list) and len(found) == shot_count else (None,) * shot_count


def _transact(database: sqlite3.Connection, changes: Sequence[Change]) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        for change in changes:
            _apply(database, change)
        database.execute("COMMIT")
    except BaseException:  # one that stayed open would be the last that the disk takes
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _empty_log(database: sqlite3.Connection) -> None:
    """Move the log into the database and cut it off, if there is the room for that."""
    with contextlib.suppress(sqlite3.OperationalError):
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _log_bytes(folder: Path) -> int:
    log_file = folder / f"{_DATABASE}-wal"
    return log_file.stat().st_size if log_file.exists() else 0


def _apply(database: sqlite3.Connection, change: Change) -> None:
    match change:
        case StoreEvent(event, body):
            values = (event.number, event.request_id, event.stream_id, event.version, event.origin, event.made_at_s)
            rest = (event.shot_count, event.size_bytes, zlib.crc32(body), json.dumps(event.image_origins), body)
            database.execute("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, *rest))
        case NoteFrames(number, origins):
            database.execute("UPDATE event SET image_origins = ? WHERE number = ?", (json.dumps(origins), number))
        case SettleEvent(event, loss, is_remembered):
            database.execute("DELETE FROM event WHERE number = ?", (event.number,))
            if is_remembered:
                settled = (event.request_id, event.stream_id, loss)
                database.execute("INSERT OR IGNORE INTO settled VALUES (?, ?, ?)", settled)
        case SetRun(run, forgets_settled):
            if forgets_settled:
                database.execute("DELETE FROM settled WHERE stream_id = ?", (run.stream_id,))
            known = (run.stream_id, run.version, run.number, run.began_at_s)
            database.execute("INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?)", known)
        case ForgetRun(stream_id):
            database.execute("DELETE FROM settled WHERE stream_id = ?", (stream_id,))
            database.execute("DELETE FROM run WHERE stream_id = ?", (stream_id,))


def _hold(folder: Path) -> BinaryIO:
    """Make the folder, lock it for this process, and return what holds the lock.

    Raises:
        StartupError: if that does not work.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)  # it holds tokens and pictures of people
        file = os.fdopen(os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    except OSError as e:
        raise StartupError(
            f"the spool folder {folder} cannot be used: {e.strerror}; name one that belongs to this user by --spool-dir"
        ) from e
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        file.close()
        raise StartupError(
            f"the spool folder {folder} is used by another processor; give each one a --spool-dir of its own"
        ) from e
    except OSError as e:  # a network file system without locks
        file.close()
        raise StartupError(f"the spool folder {folder} cannot be locked: {e.strerror}; use a local disk") from e
    return file


def _connect(folder: Path | None) -> sqlite3.Connection:
    """Open the database; one that is damaged or of another form is set aside, and a new one begun.

    Raises:
        StartupError: if the disk does not let it be opened.
    """
    if folder is None:
        return _open(":memory:")
    path = folder / _DATABASE
    try:
        return _open(str(path))
    except sqlite3.OperationalError as e:  # not damaged: full, read-only, no permission
        raise StartupError(f"the spool {path} cannot be opened: {e}") from e
    except sqlite3.DatabaseError as e:
        aside = _set_aside(folder)
        database = _connect(folder)
        log.error("the spool %s is damaged: %s; it is kept as %s, and a new one is begun", path, e, aside)
        _read_back(aside, database)
        return database


def _read_back(aside: Path, database: sqlite3.Connection) -> None:
    """Take over from a damaged database what can still be read of it; one that gave something is of no more use."""
    try:
        count = salvage(aside, _FORM, database)
    except sqlite3.Error as e:  # a disk that is full, say: what was set aside stays there
        log.error("not all could be read back from %s: %s", aside, e)
        return
    if count:
        log.warning("%d events that waited could be read back from %s, which is removed", count, aside)
        for suffix in ("", *_LOG_SUFFIXES):
            aside.with_name(aside.name + suffix).unlink(missing_ok=True)


def _open(name: str) -> sqlite3.Connection:
    """Open a database and make the tables it lacks.

    Raises:
        sqlite3.DatabaseError: if it is damaged or of another form.
    """
    mask = os.umask(0o077)  # SQLite's files are as private as the folder
    try:
        database = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
        try:
            database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            database.execute("PRAGMA locking_mode = EXCLUSIVE")  # no file of shared memory: the folder is ours alone
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute(f"PRAGMA wal_autocheckpoint = {_LOG_BYTES // _PAGE_BYTES}")
            database.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
            _prepare(database)
        except sqlite3.Error:
            database.close()
            raise
    finally:
        os.umask(mask)
    return database


def _prepare(database: sqlite3.Connection) -> None:
    """Make the tables of a new database, or look whether an old one is whole."""
    form = database.execute("PRAGMA user_version").fetchone()[0]
    if form == 0:
        database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_FORM}; COMMIT;")
    elif form != _FORM:
        raise sqlite3.DatabaseError(f"it is of form {form}, not {_FORM}")
    elif (fault := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(str(fault))
    try:
        _forget_old(database)
    except sqlite3.OperationalError as e:  # on a full disk; there is time
        log.warning("the spool could not be tidied up: %s", e)


def _forget_old(database: sqlite3.Connection) -> None:
    """Take out runs beyond those that are kept, and what was settled in runs that are over."""
    database.execute(
        "DELETE FROM run WHERE stream_id IN (SELECT stream_id FROM run ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
        (_KEPT_RUNS,),
    )
    database.execute("DELETE FROM settled WHERE stream_id NOT IN (SELECT stream_id FROM run WHERE began_at_s NOT NULL)")


def _set_aside(folder: Path) -> Path:
    """Move a database that cannot be used out of the way, with its log, over the last one that was."""
    aside = folder / _ASIDE
    (folder / _DATABASE).replace(aside)
    for suffix in _LOG_SUFFIXES:
        aside.with_name(aside.name + suffix).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (folder / f"{_DATABASE}{suffix}").replace(folder / f"{_ASIDE}{suffix}")
    return aside
