"""Room on the disk that is given back when the disk is full, so that what was delivered can still be taken out.

Taking a row out of a SQLite database begins with adding pages to its log. A log that cannot grow, with pages that
cannot be moved into a database that cannot grow either, would keep a full disk full for ever.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_STEP_BYTES: Final = 2**20
"""The reserve grows by whole steps, so that it seldom has to."""


class Reserve:
    """A file that holds nothing but room.

    Args:
        path: of the file; one that is there from before is room, too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size_bytes = path.stat().st_size if path.exists() else 0

    def hold(self, size_bytes: int) -> None:
        """Make sure of so much room at least.

        Raises:
            OSError: if the disk does not have it.
        """
        if self._size_bytes >= size_bytes:
            return
        wanted_bytes = -(-size_bytes // _STEP_BYTES) * _STEP_BYTES
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, wanted_bytes)
            self._size_bytes = wanted_bytes
        except OSError:
            os.ftruncate(file, self._size_bytes)  # some file systems keep the part that they had
            raise
        finally:
            os.close(file)

    def release(self) -> None:
        """Give the room back."""
        self._size_bytes = 0
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
