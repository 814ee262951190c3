"""The Image Store: named buckets of images, as LUNA's frame stores use them; a bucket is made on first use.

The oldest images go when they take too much room together.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from pathlib import Path

from luna_local.inbox.errors import not_found
from luna_local.inbox.pictures import Picture

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
DEFAULT_MAX_BYTES = 4 * 1024**3
API_BUCKET = "images"
"""The bucket behind `/6/images`."""


class ImageStore:
    """Images on disk, one file each: `BUCKET/ID.SUFFIX`."""

    def __init__(self, folder: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted((path.stat().st_mtime_ns, path, path.stat().st_size) for path in folder.glob("*/*.*"))
        self._sizes = OrderedDict((path, size) for _, path, size in found)
        self._bytes = sum(self._sizes.values())

    def __len__(self) -> int:
        return len(self._sizes)

    async def put(self, bucket: str, image_id: str, picture: Picture) -> None:
        """Keep an image under an id; one that was there before is replaced.

        Raises:
            InboxError: if the bucket or id is not a plain name.
            OSError: if it cannot be written.
        """
        path = self._folder / _checked(bucket) / f"{_checked(image_id)}.{picture.suffix}"
        await asyncio.to_thread(self._write, path, picture.data)
        for other in path.parent.glob(f"{image_id}.*"):
            if other != path:
                self._forget(other)
        self._bytes += len(picture.data) - self._sizes.pop(path, 0)
        self._sizes[path] = len(picture.data)
        while self._bytes > self._max_bytes and len(self._sizes) > 1:
            self._forget(next(iter(self._sizes)))

    def find(self, bucket: str, image_id: str) -> Path:
        """Return the file of an image.

        Raises:
            InboxError: if there is none.
        """
        for path in (self._folder / _checked(bucket)).glob(f"{_checked(image_id)}.*"):
            return path
        raise not_found()

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f".{path.name}")
        temporary.write_bytes(data)
        temporary.replace(path)

    def _forget(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._bytes -= self._sizes.pop(path, 0)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise not_found()
    return name
