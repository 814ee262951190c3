"""Frames that lie "on a device", for machines without one: NV12 in numpy arrays, which DALI takes on the CPU, too."""

from __future__ import annotations

import functools

import numpy as np
from av.video.frame import VideoFrame

from luna_processor.engines.preparation import Colours, DevicePlanes
from luna_processor.sources.cuda import device_planes
from luna_processor.vision.view import Picture
from support.frames import ArrayFrame

PADDING = 32
"""Pixels at the end of each row that belong to no picture, as a decoder's memory has them."""


def some_planes(width: int = 64, height: int = 36, quarter_turns: int = 0) -> DevicePlanes:
    """Return planes of a black frame."""
    luma = np.full((height, width, 1), 16, np.uint8)
    chroma = np.full(((height + 1) // 2, (width + 1) // 2, 2), 128, np.uint8)
    return DevicePlanes(luma, chroma, width, height, Colours(), quarter_turns)


def planes_of_picture(rgb: Picture, quarter_turns: int = 0) -> DevicePlanes:
    """Return a picture (H, W, 3) as a decoder would leave it, rows padded with what would be seen if it were read."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format="nv12")
    luma, chroma = (_padded(frame, index, channels) for index, channels in ((0, 1), (1, 2)))
    return device_planes(frame, (luma, chroma), quarter_turns)


class DeviceArrayFrame(ArrayFrame):
    """A frame whose planes lie beside its picture."""

    @functools.cached_property
    def planes(self) -> DevicePlanes:
        return planes_of_picture(self.picture)


def _padded(frame: VideoFrame, index: int, channels: int) -> np.ndarray:
    plane = frame.planes[index]
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size // channels, channels)
    width = plane.width
    return np.pad(rows[:, :width], ((0, 0), (0, PADDING), (0, 0)), constant_values=255)
