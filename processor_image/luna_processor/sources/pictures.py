"""A folder of pictures as a source: those that a mask names, in the order of their numbers, each once."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import av.error
from av.video.frame import VideoFrame
from PIL import ExifTags, Image

from luna_processor.errors import SourceFailed
from luna_processor.frames import SourceInfo
from luna_processor.sources.geometry import Geometry, geometry_of
from luna_processor.sources.mask import parse_mask
from luna_processor.sources.memory import MAX_PIXELS, bound_allocations
from luna_processor.sources.pyav import Pictures, PyAvFrame, check_size
from luna_processor.sources.reference import check_no_scheme
from luna_processor.streams.plan import SourcePlan

FRAME_RATE = 25.0
"""Pictures per second that the stream's seconds are reckoned with, as FFmpeg does: files say nothing about it."""
MAX_PICTURE_BYTES = 64 * 1024 * 1024
"""Larger files are no pictures of a camera."""
_FORMATS = "jpeg_pipe,png_pipe,bmp_pipe,webp_pipe,tiff_pipe,mjpeg"
"""What is in a file is seen from its content, not from its name."""


class PictureSource:
    """An open folder; `frames` may be iterated once.

    Args:
        plan: of type images.
        is_stopped: true once nobody wants frames any more.

    Raises:
        UnsuitableStream: if the mask is none, or the reference no folder's path.
        SourceFailed: if the folder cannot be read or holds no such picture.
    """

    def __init__(self, plan: SourcePlan, is_stopped: Callable[[], bool]) -> None:
        self._mask = parse_mask(plan.mask)
        check_no_scheme(plan, "folder")
        self._folder = Path(plan.reference)
        self._is_stopped = is_stopped
        self._numbers = self._find(plan.mask)
        self._pictures = Pictures()
        self._info = SourceInfo(width=0, height=0, frame_rate=FRAME_RATE, bit_rate=0, duration_s=None)

    @property
    def info(self) -> SourceInfo:
        """What is known by now."""
        return self._info

    def frames(self) -> Iterator[PyAvFrame]:
        """Yield the pictures; those that cannot be decoded are passed over and told in `info.remark`.

        Raises:
            SourceFailed: if none can be decoded.
            UnsuitableSource: if one has another size than the first.
        """
        broken_count, frame_count = 0, 0
        first_broken = ""
        for name in map(self._mask.name, self._numbers):
            if self._is_stopped():
                return
            decoded = _decode(self._folder / name)
            if decoded is None:
                first_broken = first_broken or name
                broken_count += 1
                continue
            picture, geometry = decoded
            frame = PyAvFrame(frame_count, frame_count / FRAME_RATE, picture, self._pictures, geometry)
            if frame_count == 0:
                self._info = replace(self._info, width=frame.width, height=frame.height)
            check_size(self._info, frame, where=f" by picture '{name}'")
            yield frame
            frame_count += 1
        if frame_count == 0:
            raise SourceFailed(f"no picture in '{self._folder}' can be decoded, '{first_broken}' was the first")
        if broken_count:
            text = (
                f"{broken_count} of {len(self._numbers)} pictures could not be decoded, '{first_broken}' was the first"
            )
            self._info = replace(self._info, remark=text)

    def close(self) -> None:
        """Do nothing: each picture is closed once it is read."""

    def _find(self, mask: str) -> list[int]:
        try:
            names = [entry.name for entry in os.scandir(self._folder) if entry.is_file()]
        except (OSError, ValueError) as e:
            reason = e.strerror if isinstance(e, OSError) else "its name cannot be one"
            raise SourceFailed(f"folder '{self._folder}' cannot be read: {reason}") from e
        if found := self._mask.numbers(names):
            return found
        raise SourceFailed(
            f"no picture in folder '{self._folder}' fits the mask '{mask}', whose first would be "
            f"'{self._mask.name(0)}' or '{self._mask.name(1)}'"
        )


def _decode(path: Path) -> tuple[VideoFrame, Geometry] | None:
    """Return the picture in a file; None if there is none that can be decoded, or one of too many pixels."""
    bound_allocations()
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PICTURE_BYTES + 1)
        if len(content) > MAX_PICTURE_BYTES:
            return None
        # From memory: FFmpeg would take a % in a file's name for a pattern.
        with av.open(io.BytesIO(content), "r", options={"format_whitelist": _FORMATS}) as container:
            picture = next(container.decode(video=0), None)
    except (OSError, av.error.FFmpegError, IndexError, ValueError):
        return None
    if picture is None or picture.width * picture.height > MAX_PIXELS:
        return None
    return picture, geometry_of(picture, is_mirrored=_is_mirrored(content))


def _is_mirrored(content: bytes) -> bool:
    """Tell whether a photo's mark says that it is seen in a mirror. Source: Exif 2.32, tag 0x0112."""
    try:
        with Image.open(io.BytesIO(content)) as photo:
            return photo.getexif().get(ExifTags.Base.Orientation) in (2, 4, 5, 7)
    except Exception:  # Pillow raises whatever garbage leads to, and FFmpeg has decoded the picture already
        return False
