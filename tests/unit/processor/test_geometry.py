"""Stored pictures become pictures as they are seen."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame

from luna_processor.sources.geometry import Geometry, stretch_of
from luna_processor.sources.pyav import Pictures, PyAvFrame

STORED = np.arange(6, dtype=np.uint8).reshape(2, 3)


@pytest.mark.parametrize(
    ("aspect", "stretch"),
    [
        pytest.param(Fraction(16, 15), 16 / 15, id="PAL 4:3"),
        pytest.param(Fraction(8, 9), 8 / 9, id="NTSC 4:3"),
        pytest.param(Fraction(4, 3), 4 / 3, id="1440x1080"),
        pytest.param(Fraction(1), 1, id="square"),
        pytest.param(Fraction(1281, 1280), 1, id="rounded"),
        pytest.param(None, 1, id="unknown"),
        pytest.param(Fraction(0), 1, id="zero"),
        pytest.param(Fraction(-2), 1, id="negative"),
        pytest.param(Fraction(1, 1000), 1, id="nonsense"),
    ],
)
def test_samples_that_are_not_square_stretch_the_width(aspect: Fraction | None, stretch: float) -> None:
    assert stretch_of(aspect, 720, 576) == pytest.approx(stretch)


def test_nothing_is_stretched_beyond_the_largest_picture_or_to_nothing() -> None:
    assert stretch_of(Fraction(4), 7680, 4320) == 1
    assert stretch_of(Fraction(1, 4), 1, 100) == 1


@pytest.mark.parametrize(
    ("is_mirrored", "turns", "seen"),
    [
        (False, 0, [[0, 1, 2], [3, 4, 5]]),
        (False, 1, [[3, 0], [4, 1], [5, 2]]),
        (False, 2, [[5, 4, 3], [2, 1, 0]]),
        (False, 3, [[2, 5], [1, 4], [0, 3]]),
        (True, 0, [[3, 4, 5], [0, 1, 2]]),
        (True, 1, [[0, 3], [1, 4], [2, 5]]),
        (True, 2, [[2, 1, 0], [5, 4, 3]]),
        (True, 3, [[5, 2], [4, 1], [3, 0]]),
    ],
)
def test_a_picture_is_mirrored_and_then_turned(is_mirrored: bool, turns: int, seen: list[list[int]]) -> None:
    geometry = Geometry(is_mirrored=is_mirrored, quarter_turns=turns)
    assert geometry.upright(STORED).tolist() == seen
    assert geometry.size(3, 2) == (len(seen[0]), len(seen))


@pytest.mark.parametrize("turns", [0, 1])
def test_a_stretched_frame_has_one_size_in_all_its_forms(turns: int) -> None:
    stored = VideoFrame.from_ndarray(np.zeros((48, 60, 3), np.uint8), format="rgb24").reformat(format="yuv420p")
    frame = PyAvFrame(0, 0.0, stored, Pictures(), Geometry(4 / 3, quarter_turns=turns))
    size = (80, 48) if turns == 0 else (48, 80)
    assert (frame.width, frame.height) == size
    assert frame.rgb().shape == (size[1], size[0], 3)
    assert frame.luma().shape == (size[1], size[0])
    assert frame.scaled_rgb(20, 10).shape == (10, 20, 3)
    assert frame.planes is None
