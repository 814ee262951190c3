"""The decoder against maps whose faces are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.vision import centerface
from luna_processor.vision.detections import ShapeError, box_areas


def maps(rows: int = 16, columns: int = 24) -> list[np.ndarray]:
    return [np.zeros((channels, rows, columns), np.float32) for channels in (1, 2, 2, 10)]


def put_face(
    outputs: list[np.ndarray],
    row: int,
    column: int,
    score: float = 0.9,
    height: float = 40.0,
    width: float = 32.0,
    offset: tuple[float, float] = (0.0, 0.0),
) -> None:
    heat_map, log_size, offsets, landmarks = outputs
    heat_map[0, row, column] = score
    log_size[:, row, column] = np.log(height / 4), np.log(width / 4)
    offsets[:, row, column] = offset
    landmarks[:, row, column] = [0.3, 0.3, 0.3, 0.7, 0.5, 0.5, 0.8, 0.35, 0.8, 0.65]  # y, x of each point


def test_a_face_has_its_box_around_the_middle_of_its_cell() -> None:
    outputs = maps()
    put_face(outputs, 8, 10)
    found = centerface.decode(outputs, 0.5, 0.3)
    assert found.boxes_xyxy.tolist() == [pytest.approx([42 - 16, 34 - 20, 42 + 16, 34 + 20])]
    assert found.scores.tolist() == [pytest.approx(0.9)]


def test_the_offset_moves_the_box_by_parts_of_a_cell_y_first() -> None:
    outputs = maps()
    put_face(outputs, 8, 10, offset=(0.25, -0.5))
    found = centerface.decode(outputs, 0.5, 0.3)
    assert (found.boxes_xyxy[0, 0] + 16, found.boxes_xyxy[0, 1] + 20) == pytest.approx((40, 35))


def test_landmarks_are_relative_to_the_box() -> None:
    outputs = maps()
    put_face(outputs, 8, 10)
    landmarks = centerface.decode(outputs, 0.5, 0.3).landmarks_xy
    assert landmarks is not None
    left_eye, right_eye, *_ = landmarks[0]
    assert left_eye.tolist() == pytest.approx([26 + 0.3 * 32, 14 + 0.3 * 40])
    assert right_eye.tolist() == pytest.approx([26 + 0.7 * 32, 14 + 0.3 * 40])


def test_cells_below_the_threshold_are_no_faces() -> None:
    outputs = maps()
    put_face(outputs, 8, 10, score=0.49)
    assert len(centerface.decode(outputs, 0.5, 0.3)) == 0


def test_neighbouring_cells_of_one_face_give_one_face_the_strongest() -> None:
    outputs = maps()
    put_face(outputs, 8, 10, score=0.7)
    put_face(outputs, 8, 11, score=0.9)
    found = centerface.decode(outputs, 0.5, 0.3)
    assert found.scores.tolist() == [pytest.approx(0.9)]


def test_two_faces_come_strongest_first() -> None:
    outputs = maps()
    put_face(outputs, 3, 4, score=0.6, height=16, width=16)
    put_face(outputs, 12, 20, score=0.8, height=16, width=16)
    assert centerface.decode(outputs, 0.5, 0.3).scores.tolist() == pytest.approx([0.8, 0.6])


def test_a_picture_full_of_noise_stays_affordable() -> None:
    outputs = maps(96, 160)
    outputs[0][:] = np.linspace(0.5, 1, 96 * 160, dtype=np.float32).reshape(1, 96, 160)
    assert len(centerface.decode(outputs, 0.5, 0.3)) <= centerface.MAX_CANDIDATES


def test_maps_of_another_network_are_refused() -> None:
    outputs = maps()
    for others in ([*outputs[:3], outputs[3][:4]], outputs[:3], [outputs[0][0], *outputs[1:]]):
        with pytest.raises(ShapeError, match="CenterFace"):
            centerface.decode(others, 0.5, 0.3)


def test_a_face_of_a_size_that_is_garbage_is_a_number_all_the_same() -> None:
    outputs = maps()
    put_face(outputs, 8, 10)
    outputs[1][:, 8, 10] = 80.0
    found = centerface.decode(outputs, 0.5, 0.3)
    assert box_areas(found.boxes_xyxy).tolist() == [pytest.approx((4 * np.e**10) ** 2, rel=1e-3)]


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize(
    "which", [pytest.param(n, id=name) for n, name in enumerate(("heat", "size", "offset", "marks"))]
)
def test_answers_of_a_broken_network_are_refused(which: int, number: float) -> None:
    outputs = maps()
    put_face(outputs, 8, 10)
    outputs[which][:, 8, 10] = number
    with pytest.raises(ShapeError, match="no number"):
        centerface.decode(outputs, 0.5, 0.3)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1280, 720, (640, 384)),
        (1920, 1080, (640, 384)),
        (720, 1280, (384, 640)),
        (640, 640, (640, 640)),
        (641, 3, (640, 32)),
    ],
)
def test_input_sizes(width: Any, height: Any, expected: Any) -> None:
    assert centerface.input_size(width, height, 640) == expected


@given(st.integers(1, 8000), st.integers(1, 8000), st.integers(32, 1024))
def test_input_sizes_are_multiples_of_32_and_keep_the_longest_side(width: Any, height: Any, longest: Any) -> None:
    size = centerface.input_size(width, height, longest)
    assert all(side % 32 == 0 and side >= 32 for side in size)
    assert longest <= max(size) < longest + 32


def test_a_picture_becomes_channels_first_without_scaling() -> None:
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[5, 6] = 10, 20, 255
    tensor = centerface.to_input(picture)
    assert tensor.shape == (3, 32, 64)
    assert tensor.dtype == np.float32
    assert tensor[:, 5, 6].tolist() == [10, 20, 255]
