"""From the tensors of object detectors to boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from luna_processor.detections import ShapeError
from luna_processor.heads import HeadSettings, decode_ssd

SETTINGS = HeadSettings(width=300, height=200, class_index=1, min_score=0.5, max_iou=0.5)


def ssd(*found: tuple[tuple[float, float, float, float], float]) -> list[np.ndarray]:
    """Return the tensors of an SSD with three classes; scores are those of the wanted one."""
    boxes = np.array([[y1, x1, y2, x2] for (x1, y1, x2, y2), _ in found], np.float32).reshape(-1, 1, 4)
    scores = np.full((len(found), 3), 0.99, np.float32)
    scores[:, 1] = [score for _, score in found]
    return [boxes, scores]


def test_an_ssd_gives_boxes_in_pixels_best_first() -> None:
    found = decode_ssd(ssd(((0.1, 0.2, 0.3, 0.4), 0.7), ((0.5, 0.5, 1.0, 1.0), 0.9)), SETTINGS)
    assert found.boxes_xyxy.tolist() == pytest.approx(np.array([[150, 100, 300, 200], [30, 40, 90, 80]]))
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    assert found.landmarks_xy is None


def test_weak_boxes_doubles_and_boxes_outside_are_left_out_and_the_rest_is_cut_at_the_edge() -> None:
    found = decode_ssd(
        ssd(
            ((0.1, 0.1, 0.5, 0.5), 0.9),
            ((0.1, 0.1, 0.5, 0.52), 0.8),
            ((0.6, 0.6, 0.9, 0.9), 0.49),
            ((1.1, 0.1, 1.4, 0.4), 0.9),
            ((0.9, 0.9, 1.2, 1.2), 0.7),
        ),
        SETTINGS,
    )
    assert found.boxes_xyxy.tolist() == pytest.approx(np.array([[30, 20, 150, 100], [270, 180, 300, 200]]))


def test_nothing_found_is_the_empty_set() -> None:
    assert len(decode_ssd(ssd(), SETTINGS)) == 0


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param([np.zeros((5, 4), np.float32)], id="one output"),
        pytest.param([np.zeros((5, 4), np.float32), np.zeros((6, 3), np.float32)], id="other counts"),
        pytest.param([np.zeros((5, 5), np.float32), np.zeros((5, 3), np.float32)], id="no boxes"),
        pytest.param([np.zeros((5, 4), np.float32), np.zeros((5, 1), np.float32)], id="no such class"),
    ],
)
def test_what_is_no_ssd_is_refused(outputs: Any) -> None:
    with pytest.raises(ShapeError):
        decode_ssd(outputs, SETTINGS)
