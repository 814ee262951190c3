"""The folder that an analysis fills. What stands in it is valid at every moment, whenever the process ends."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from luna_processor.errors import StartupError

VIDEO: Final = "annotated.mp4"
FRAMES: Final = "frames"
TRACKS: Final = "tracks.json"
SHOTS: Final = "shots.json"
PICTURES: Final = "shots"
EVENTS: Final = "events.jsonl"
SUMMARY: Final = "summary.json"
OURS: Final = (VIDEO, FRAMES, TRACKS, SHOTS, PICTURES, EVENTS, SUMMARY)
"""Everything that an analysis writes."""


def prepare(folder: Path, *, overwrite: bool) -> None:
    """Make the folder, empty of what an earlier analysis left; other files in it stay.

    Raises:
        StartupError: if it holds something and may not be overwritten, or cannot be written.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise StartupError(f"{folder} is not a folder")
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise StartupError(f"{folder} is not empty; name another folder, or --overwrite to replace what is in it")
        folder.mkdir(parents=True, exist_ok=True)
        for name in OURS:
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        (folder / PICTURES).mkdir()
    except OSError as e:
        raise StartupError(f"{folder} cannot be written: {e.strerror}") from e


class GrowingList:
    """A JSON array in a file that is whole after each item.

    Args:
        path: of the file.

    Raises:
        OSError: if it cannot be written; so does `append`.
    """

    _END: Final = b"\n]\n"

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb", buffering=0)
        self._file.write(b"[" + self._END)
        self._size = 1
        self.count = 0

    def append(self, item: Mapping[str, Any]) -> None:
        """Add an item."""
        text = json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()
        piece = (b",\n" if self.count else b"\n") + text
        self._file.seek(self._size)
        try:
            write_all(self._file, piece + self._END)
        except OSError:
            # A full disk: leave what was whole before. Its last bytes stood here already, so they need no new room.
            self._file.seek(self._size)
            write_all(self._file, self._END)
            self._file.truncate()
            raise
        self._size += len(piece)
        self.count += 1

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class Lines:
    """A file of JSON lines.

    Args:
        path: of the file.

    Raises:
        OSError: if it cannot be written; so does `append`.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb", buffering=0)
        self.count = 0

    def append(self, item: Mapping[str, Any]) -> None:
        """Add a line."""
        size = self._file.tell()
        try:
            write_all(self._file, json.dumps(item, ensure_ascii=False).encode() + b"\n")
        except OSError:
            self._file.truncate(size)
            raise
        self.count += 1

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write to a file without a buffer, which may take less than it is given.

    Raises:
        OSError: if it cannot be written.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
