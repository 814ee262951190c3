"""Pictures of decoded frames: the brightness that is there already, and no threads of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

from luna_processor.sources.pyav import Pictures, PyAvFrame

HEIGHT, WIDTH = 48, 70
"""A width that no decoder's rows end at: planes are padded."""


def decoded(pixel_format: str) -> VideoFrame:
    """Return a frame with a ramp of brightness."""
    ramp = np.tile(np.linspace(30, 220, WIDTH, dtype=np.uint8), (HEIGHT, 1))
    picture = np.repeat(ramp[..., None], 3, axis=2)
    return VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)


def a_frame(pixel_format: str) -> PyAvFrame:
    return PyAvFrame(0, 0.0, decoded(pixel_format), Pictures())


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12"])
def test_brightness_is_the_plane_of_the_decoder(pixel_format: str) -> None:
    frame = decoded(pixel_format)
    luma = PyAvFrame(0, 0.0, frame, Pictures()).luma()
    assert luma.shape == (HEIGHT, WIDTH)
    assert np.shares_memory(luma, np.asarray(memoryview(frame.planes[0])))


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuyv422", "rgb24", "gbrp"])
def test_brightness_is_converted_where_no_plane_of_bytes_holds_it(pixel_format: str) -> None:
    luma = a_frame(pixel_format).luma()
    assert luma.shape == (HEIGHT, WIDTH)
    assert np.diff(luma.astype(int).mean(axis=0)).min() >= -1  # the ramp


def test_a_conversion_starts_no_threads() -> None:
    before = len(list(Path("/proc/self/task").iterdir()))
    frame = PyAvFrame(0, 0.0, decoded("yuv420p"), pictures := Pictures())
    frame.scaled_rgb(1280, 720)
    frame.rgb()
    assert len(list(Path("/proc/self/task").iterdir())) <= before, pictures
