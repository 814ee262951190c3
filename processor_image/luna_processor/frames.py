"""Frames and their source as the rest of the processor sees them: the ports that each way of decoding fills.

A frame is a moment and a picture that is converted only as far as it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from luna_processor.sources.variants import Variant
from luna_processor.vision.view import Picture


class Frame(Protocol):
    """One frame of a source, upright as a player would show it. May be used by several threads."""

    @property
    def number(self) -> int:
        """Position in the source, from 0; frames that are dropped count."""

    @property
    def pts_s(self) -> float:
        """Seconds since the first frame of the source (of this connection, if live)."""

    @property
    def captured_at(self) -> datetime:
        """When it was decoded, UTC."""

    @property
    def is_keyframe(self) -> bool:
        """Whether it was compressed by itself."""

    @property
    def is_damaged(self) -> bool:
        """Whether parts of the picture were lost on the way."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    def rgb(self) -> Picture:
        """Return the picture, uint8 (H, W, 3)."""

    def scaled_rgb(self, width: int, height: int) -> Picture:
        """Return the picture stretched to this size, uint8 (height, width, 3)."""

    def luma(self) -> Picture:
        """Return the brightness, uint8 (H, W), as the source has it: 16 to 235 with most; not to be written to."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known about an open source."""

    width: int
    height: int
    frame_rate: float
    """Frames per second; 0 if the source does not say."""
    bit_rate: int
    """Bits per second; 0 if the source does not say."""
    duration_s: float | None
    """None for a live source."""
    gop_size: int = 0
    """Frames between the last two keyframes; 0 until two were seen."""
    codec: str = ""
    """As FFmpeg names it, for example h264."""
    container: str = ""
    """As FFmpeg names it, for example mpegts; empty where there is none."""
    variants: tuple[Variant, ...] = ()
    """The videos of a source that has several, in its order."""
    variant: Variant | None = None
    """The one that is read."""
    comes_in_pieces: bool = False
    """Whether seconds of video arrive at once, and frames are handed on faster than they were taken."""
    is_sent_whole: bool = False
    """Whether the sender waits for whoever reads, so that no frame need be dropped."""
    remark: str | None = None
    """What a person should know of a source that was read to its end all the same, in one sentence."""


class Source(Protocol):
    """An open source of frames. One thread reads it to its end, or closes it before; it is opened once only."""

    @property
    def info(self) -> SourceInfo:
        """What is known by now; width and height are certain once there is a frame."""

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order of display, until the end; may be called once.

        Raises:
            SourceFailed: if reading fails, nothing can be decoded, or a file ends too early.
            UnsuitableSource: if what is in it does not fit the stream, or changes its size.
        """

    def close(self) -> None:
        """Release the connection or file."""
