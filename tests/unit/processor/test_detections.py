"""Struct of arrays, overlap and non-maximum suppression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.vision.detections import Detections, ShapeError, iou_matrix, suppress_overlaps


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


corner = st.floats(-50, 50, width=32)
side = st.floats(0, 60, width=32)
any_box = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        pytest.param((0, 0, 10, 10), (0, 0, 10, 10), 1.0, id="same"),
        pytest.param((0, 0, 10, 10), (10, 0, 20, 10), 0.0, id="touching"),
        pytest.param((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3, id="half"),
        pytest.param((0, 0, 10, 10), (2, 2, 4, 4), 0.04, id="inside"),
        pytest.param((0, 0, 0, 0), (0, 0, 0, 0), 0.0, id="points"),
        pytest.param((10, 10, 0, 0), (0, 0, 10, 10), 0.0, id="turned inside out"),
    ],
)
def test_overlap_of_two_boxes(left: Any, right: Any, expected: Any) -> None:
    assert iou_matrix(boxes(left), boxes(right))[0, 0] == pytest.approx(expected)


@given(st.lists(any_box, max_size=8), st.lists(any_box, max_size=8))
def test_overlap_is_symmetric_and_between_0_and_1(left: Any, right: Any) -> None:
    overlaps = iou_matrix(boxes(*left), boxes(*right))
    assert overlaps.shape == (len(left), len(right))
    assert ((overlaps >= 0) & (overlaps <= 1.0001)).all()
    assert np.allclose(overlaps, iou_matrix(boxes(*right), boxes(*left)).T)


@given(st.lists(st.tuples(any_box, st.floats(0, 1, width=32)), max_size=10))
def test_suppression_keeps_no_two_overlapping_boxes_and_drops_none_without_reason(rows: Any) -> None:
    all_boxes = boxes(*(box for box, _ in rows))
    scores = np.array([score for _, score in rows], np.float32)
    kept = suppress_overlaps(all_boxes, scores, 0.3)
    overlaps = iou_matrix(all_boxes, all_boxes)
    for position, index in enumerate(kept):
        assert all(overlaps[index, other] <= 0.3 for other in kept[:position])
    for index in set(range(len(rows))) - set(kept.tolist()):
        stronger = [other for other in kept if scores[other] >= scores[index]]
        assert any(overlaps[index, other] > 0.3 for other in stronger)
    assert (np.diff(scores[kept]) <= 0).all()


def test_arrays_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ShapeError, match="do not fit"):
        Detections(boxes((0, 0, 1, 1)), np.zeros(2, np.float32), np.zeros((1, 5, 2), np.float32))


def test_scaling_moves_boxes_and_landmarks_alike() -> None:
    found = Detections(boxes((1, 2, 3, 4)), np.ones(1, np.float32), np.full((1, 5, 2), 2, np.float32))
    scaled = found.scaled(2, 10)
    assert scaled.boxes_xyxy.tolist() == [[2, 20, 6, 40]]
    assert scaled.landmarks_xy is not None
    assert scaled.landmarks_xy[0, 0].tolist() == [4, 20]
