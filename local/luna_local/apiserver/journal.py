"""The journal: committed versions on disk, so that a restart keeps the state.

One file, ``objects.jsonl``: a header, then one line per commit (the object, or its removal). Reading it from the top
gives the state; the last line of an object wins. When the file has grown to several times the size of the state it is
rewritten, in a thread, from the immutable records, while commits go on.

What survives what:
    * A killed process (``kill -9``) loses nothing: every line is handed to the kernel before the commit is answered.
    * A power cut may lose the last second: the file is synced to disk once a second when it has changed, not per
      commit, because a local API server need not wait for a disk 3,000 times a second. resourceVersions are reserved
      in synced blocks, and after an unclean end counting goes on above the reservation, so a version that a client has
      seen is never given out a second time for something else.
    * A line cut short (by either, or by a full disk) is dropped at the next start and a log line says so. A broken line
      anywhere else stops the start: it is not ours to guess.
    * A full disk refuses writes with 503 and leaves the state as it was.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from luna_local.apiserver.documents import Document
from luna_local.apiserver.errors import ApiError, storage_failed
from luna_local.apiserver.resources import ResourceKey
from luna_local.apiserver.store import DELETED, Change, Record

_LOG = logging.getLogger(__name__)

FORMAT = 1
SYNC_INTERVAL_S = 1.0
# Versions reserved at a time; one synced write per so many commits.
RESERVED_VERSIONS = 100_000
# Rewrite when the file is this many times larger than the state, but never below the smaller bound.
GROWTH_FACTOR = 4
SMALLEST_REWRITE_BYTES = 16 * 2**20


class DataFolderError(Exception):
    """The data folder cannot be used; the text says why and what to do."""


class Journal:
    """The open journal of one data folder. Use `open_journal`."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder
        self._path = folder / "objects.jsonl"
        self._lock = lock
        self._file = -1
        self._size = 0
        self._live_bytes = 0
        self._reserved = 0
        self._dirty = False
        self.trouble = ""
        """Why the last commit could not be saved; "" when it was."""
        # Lines committed while a rewrite is under way, for the new file.
        self._meanwhile: list[bytes] | None = None

    # --- reading --------------------------------------------------------------------------------------------------

    def load(self, restore: Callable[[ResourceKey, Document, bytes], None]) -> int:
        """Hand every object to `restore`; return the resourceVersion to go on from (0 when there was no journal).

        Raises:
            DataFolderError: when the file is broken elsewhere than in its last line, or of another format.
        """
        objects: dict[tuple[ResourceKey, str, str], tuple[Document, bytes]] = {}
        version, reserved, is_clean, good_bytes = 0, 0, False, 0
        for end, line in self._lines():
            kind = line.get("op")
            is_clean = kind == "end"
            if kind == "start" and line["format"] != FORMAT:
                raise DataFolderError(f"{self._path}: written by another version (format {line['format']})")
            if kind in ("reserve", "end", "start"):
                reserved = max(reserved, line["version"])
                version = max(version, line["version"]) if kind != "reserve" else version
            elif kind in ("put", "delete"):
                version = max(version, self._replay(line, objects))
            good_bytes = end
        self._open(good_bytes)
        for (resource, _, _), (document, raw) in objects.items():
            self._live_bytes += len(raw)
            restore(resource, document, raw)
        return version if is_clean else max(version, reserved)

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        if not self._path.exists():
            return
        offset = 0
        with self._path.open("rb") as file:
            for number, text in enumerate(file, 1):
                try:
                    line = orjson.loads(text) if text.endswith(b"\n") else None
                except orjson.JSONDecodeError:
                    line = None
                if line is None:
                    if file.read(1):
                        raise DataFolderError(
                            f"{self._path}: line {number} is broken; restore the folder from a copy, "
                            f"or delete the file to start empty"
                        )
                    _LOG.warning("%s: dropped the last line (%d), which was cut short", self._path, number)
                    return
                offset += len(text)
                yield offset, line

    @staticmethod
    def _replay(line: dict[str, Any], objects: dict[tuple[ResourceKey, str, str], tuple[Document, bytes]]) -> int:
        group, plural = line["resource"]
        if line["op"] == "delete":
            objects.pop(((group, plural), line["namespace"], line["name"]), None)
            return int(line["version"])
        document = line["object"]
        metadata = document["metadata"]
        place = ((group, plural), metadata.get("namespace") or "", metadata["name"])
        objects[place] = (document, orjson.dumps(document))
        return int(metadata["resourceVersion"])

    # --- writing --------------------------------------------------------------------------------------------------

    def begin(self, version: int) -> None:
        """Note that a server goes on from `version`, and reserve versions above it."""
        self._write(_line(op="start", format=FORMAT, version=version))
        self._reserve(version)

    def append(self, resource: ResourceKey, change: Change) -> None:
        """Save a commit (see `store.Log`)."""
        if change.record.version > self._reserved:
            self._reserve(change.record.version)
        self._write(_commit_line(resource, change))
        before = len(change.before.raw) if change.before else 0
        self._live_bytes += (0 if change.type == DELETED else len(change.record.raw)) - before

    def _reserve(self, version: int) -> None:
        self._write(_line(op="reserve", version=version + RESERVED_VERSIONS))
        self._sync()
        self._reserved = version + RESERVED_VERSIONS

    def _write(self, line: bytes) -> None:
        """Write a whole line or nothing."""
        try:
            written = os.write(self._file, line)
            if written != len(line):
                written += os.write(self._file, line[written:])
            if written != len(line):
                raise OSError("the disk took only a part of it")
        except OSError as error:
            os.ftruncate(self._file, self._size)
            self.trouble = error.strerror or str(error)
            raise storage_failed(self.trouble) from error
        self.trouble = ""
        self._size += len(line)
        self._dirty = True
        if self._meanwhile is not None:
            self._meanwhile.append(line)

    def _open(self, size: int) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.ftruncate(self._file, size)
        self._size = size

    def _sync(self) -> None:
        self._dirty = False
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise storage_failed(error.strerror or str(error)) from error

    # --- upkeep ---------------------------------------------------------------------------------------------------

    async def keep(self, records: Callable[[], list[tuple[ResourceKey, Record]]]) -> None:
        """Sync once a second and rewrite the file when it has grown too large, until cancelled."""
        while True:
            await asyncio.sleep(SYNC_INTERVAL_S)
            try:
                if self._size > max(SMALLEST_REWRITE_BYTES, GROWTH_FACTOR * self._live_bytes):
                    await self._rewrite(records())
                elif self._dirty:
                    self._dirty = False
                    await asyncio.to_thread(os.fdatasync, self._file)
            except OSError as error:
                _LOG.error("%s: cannot be synced: %s", self._path, error.strerror)

    async def _rewrite(self, records: list[tuple[ResourceKey, Record]]) -> None:
        new_path = self._path.with_suffix(".new")
        head = _line(op="start", format=FORMAT, version=0) + _line(op="reserve", version=self._reserved)
        self._meanwhile = []
        try:
            size = await asyncio.to_thread(_write_snapshot, new_path, head, records)
            tail = b"".join(self._meanwhile)
            with new_path.open("ab") as file:
                file.write(tail)
                file.flush()
                os.fdatasync(file.fileno())
            new_path.replace(self._path)
        finally:
            self._meanwhile = None
            new_path.unlink(missing_ok=True)
        os.close(self._file)
        self._open(size + len(tail))
        _sync_folder(self._folder)

    def close(self, version: int) -> None:
        """Note a clean end and let go of the folder."""
        try:
            self._write(_line(op="end", version=version))
            self._sync()
        except ApiError as error:
            # Nothing is lost: the next start takes this for a power cut and counts on above the reservation.
            _LOG.warning("%s: %s", self._path, error.message)
        finally:
            self.release()

    def release(self) -> None:
        """Let go of the folder as it is."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1


def open_journal(folder: Path) -> Journal:
    """Take possession of a data folder, making it if need be.

    Raises:
        DataFolderError: when it cannot be written, or another server uses it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataFolderError(f"{folder}: cannot be used as a data folder: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise DataFolderError(
            f"{folder}: in use by another server (process {owner}); stop it or choose another folder"
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return Journal(folder, lock)


def _line(**fields: Any) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _commit_line(resource: ResourceKey, change: Change) -> bytes:
    record = change.record
    if change.type == DELETED:
        namespace, name = record.key
        return _line(op="delete", resource=resource, namespace=namespace, name=name, version=record.version)
    return _put_line(resource, record)


def _put_line(resource: ResourceKey, record: Record) -> bytes:
    return b'{"op":"put","resource":%s,"object":%s}\n' % (orjson.dumps(resource), record.raw)


def _write_snapshot(path: Path, head: bytes, records: list[tuple[ResourceKey, Record]]) -> int:
    with path.open("wb") as file:
        path.chmod(0o600)
        file.write(head)
        for resource, record in records:
            file.write(_put_line(resource, record))
        file.flush()
        os.fdatasync(file.fileno())
        return file.tell()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
