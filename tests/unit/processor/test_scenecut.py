"""Cuts, and what only looks like one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from luna_processor.vision.scenecut import SceneCuts

ROWS, COLUMNS = 384, 640


def scene(seed: int, contrast: float = 60) -> np.ndarray:
    """Return a picture of large blotches, float (H, W, 3)."""
    rng = np.random.default_rng(seed)
    blotches: np.ndarray = (
        rng.normal(0, contrast, (8, 12)).repeat(ROWS // 8, 0).repeat(COLUMNS // 12 + 1, 1)[:, :COLUMNS]
    )
    return np.stack([blotches + 120] * 3, axis=2)


def picture(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def cuts(pictures: Any) -> list[int]:
    detector = SceneCuts()
    return [number for number, shown in enumerate(pictures) if detector.is_cut(shown)]


def test_another_scene_is_a_cut_at_its_first_picture() -> None:
    assert cuts([picture(scene(1))] * 10 + [picture(scene(2))] * 10) == [10]


def test_two_cuts_are_two() -> None:
    assert cuts([picture(scene(n // 5)) for n in range(15)]) == [5, 10]


def test_a_cut_is_seen_while_something_large_passes() -> None:
    passing = [scene(1) for _ in range(12)]
    for t, values in enumerate(passing):
        values[:, 60 * t % COLUMNS : 60 * t % COLUMNS + 200] = 10
    assert cuts([*map(picture, passing), *[picture(scene(2))] * 3]) == [12]


@pytest.mark.parametrize(
    "pictures",
    [
        pytest.param([picture(np.roll(scene(1), 12 * t, axis=1)) for t in range(30)], id="pan"),
        pytest.param([picture(scene(1) + (80 if t % 7 == 3 else 0)) for t in range(30)], id="flash"),
        pytest.param([picture(scene(1) * (0.4 + 0.02 * t)) for t in range(30)], id="fade in"),
        pytest.param([picture(scene(1, contrast=2))] * 5 + [picture(scene(2, contrast=2))] * 5, id="grey walls"),
        pytest.param([picture(scene(t)) for t in range(3, 4)], id="single picture"),
    ],
)
def test_no_cut(pictures: Any) -> None:
    assert cuts(pictures) == []


def test_noise_every_frame_is_no_row_of_cuts() -> None:
    assert len(cuts([picture(scene(n)) for n in range(30)])) <= 4


def test_tiny_pictures_are_compared_too() -> None:
    dark, bright = np.zeros((3, 5, 3), np.uint8), np.full((3, 5, 3), 255, np.uint8)
    assert cuts([dark, bright]) == []
