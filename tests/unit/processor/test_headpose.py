"""Angles from logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from luna_processor.vision import headpose
from luna_processor.vision.detections import ShapeError


def logits(count: int, peak: int, sharpness: float = 50.0) -> np.ndarray:
    values = np.zeros(count, np.float32)
    values[peak] = sharpness
    return values


@pytest.mark.parametrize(
    ("yaw_bin", "pitch_bin", "roll_bin", "expected"),
    [
        pytest.param(60, 33, 33, (0, 0, 0), id="straight"),
        pytest.param(70, 43, 23, (30, 30, -30), id="turned"),
        pytest.param(0, 0, 65, (-180, -99, 96), id="extremes"),
    ],
)
def test_the_bin_that_stands_out_is_the_angle(yaw_bin: Any, pitch_bin: Any, roll_bin: Any, expected: Any) -> None:
    pose = headpose.decode([logits(120, yaw_bin), logits(66, pitch_bin), logits(66, roll_bin)])
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx(expected, abs=0.01)


def test_two_bins_alike_give_the_angle_between() -> None:
    both = logits(120, 60) + logits(120, 61)
    assert headpose.decode([both, logits(66, 33), logits(66, 33)]).yaw == pytest.approx(1.5, abs=0.01)


def test_large_logits_do_not_overflow() -> None:
    pose = headpose.decode([logits(120, 60, 1e6), logits(66, 33, 1e6), logits(66, 33, 1e6)])
    assert pose.yaw == pytest.approx(0)


def test_the_crop_is_normalized_per_channel() -> None:
    grey = np.full((224, 224, 3), 124, np.uint8)
    mean = headpose.to_input(grey).mean(axis=(0, 1))
    assert mean == pytest.approx([0.0056, 0.1352, 0.3574], abs=1e-3)


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        pytest.param([logits(120, 60), logits(66, 33)], "yaw, pitch and roll", id="two outputs"),
        pytest.param([logits(66, 33)] * 3, "yaw, pitch and roll", id="other bins"),
        pytest.param([logits(120, 60, np.nan), logits(66, 33), logits(66, 33)], "no numbers", id="no number"),
    ],
)
def test_what_is_no_pose_is_refused(outputs: Any, text: str) -> None:
    """A pose that is no number would let no face pass, and nobody would know why."""
    with pytest.raises(ShapeError, match=text):
        headpose.decode(outputs)
