"""From the tensors of object detectors to boxes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.vision.detections import Detections, ShapeError, iou_matrix
from luna_processor.vision.heads import (
    Head,
    HeadSettings,
    decode_classifier,
    decode_detr,
    decode_rtdetr,
    decode_ssd,
    decode_yolov8,
    decode_yolox,
)

SETTINGS = HeadSettings(width=320, height=192, class_index=1, min_score=0.5, max_iou=0.5)
CLASSES = 3
Found = tuple[tuple[float, float, float, float], float]
"""x1 y1 x2 y2 relative to the picture, and the score of the wanted class."""


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def ssd(*found: Found) -> list[np.ndarray]:
    boxes = np.array([[y1, x1, y2, x2] for (x1, y1, x2, y2), _ in found], np.float32).reshape(-1, 1, 4)
    scores = np.full((len(found), CLASSES), 0.99, np.float32)
    scores[:, 1] = [score for _, score in found]
    return [boxes, scores]


def centred(*found: Found) -> np.ndarray:
    boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def yolov8(*found: Found) -> list[np.ndarray]:
    columns = np.full((4 + CLASSES, len(found)), 0.99, np.float32)
    columns[:4] = (centred(*found) * (320, 192, 320, 192)).T
    columns[5] = [score for _, score in found]
    return [columns]


def yolox(*found: Found) -> list[np.ndarray]:
    """Put each box into the cell of stride 16 that holds its centre."""
    cells = 40 * 24 + 20 * 12 + 10 * 6
    rows = np.zeros((cells, 5 + CLASSES), np.float32)
    for (centre_x, centre_y, width, height), (_, score) in zip(
        centred(*found) * (320, 192, 320, 192), found, strict=True
    ):
        column, row = int(centre_x // 16), int(centre_y // 16)
        offset = (centre_x / 16 - column, centre_y / 16 - row)
        rows[40 * 24 + row * 20 + column] = (
            *offset,
            *np.log((width / 16, height / 16)),
            0.99,
            0.99,
            score / 0.99,
            0.99,
        )
    return [rows]


def detr(*found: Found) -> list[np.ndarray]:
    logits = np.zeros((len(found), CLASSES + 1), np.float32)
    logits[:, 1] = [logit(score) + np.log(CLASSES) for _, score in found]
    return [logits, centred(*found)]


def rtdetr(*found: Found) -> list[np.ndarray]:
    logits = np.full((len(found), CLASSES), 4.0, np.float32)
    logits[:, 1] = [logit(score) for _, score in found]
    return [logits, centred(*found)]


FAMILIES = [
    pytest.param(decode_ssd, ssd, id="ssd"),
    pytest.param(decode_yolov8, yolov8, id="yolov8"),
    pytest.param(decode_yolox, yolox, id="yolox"),
    pytest.param(decode_detr, detr, id="detr"),
    pytest.param(decode_rtdetr, rtdetr, id="rtdetr"),
]


@pytest.mark.parametrize(("decode", "answer"), FAMILIES)
def test_boxes_come_in_pixels_best_first(decode: Head, answer: Callable[..., Any]) -> None:
    found = decode(answer(((0.1, 0.2, 0.3, 0.4), 0.7), ((0.5, 0.5, 1.0, 1.0), 0.9)), SETTINGS)
    expected = [[160, 96, 320, 192], [32, 38.4, 96, 76.8]]
    assert found.boxes_xyxy == pytest.approx(np.array(expected), abs=1e-3)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7], abs=1e-4)
    assert found.landmarks_xy is None


@pytest.mark.parametrize(("decode", "answer"), FAMILIES)
def test_weak_boxes_and_doubles_are_left_out_and_the_rest_is_cut_at_the_edge(
    decode: Head, answer: Callable[..., Any]
) -> None:
    found = decode(
        answer(
            ((0.1, 0.1, 0.5, 0.5), 0.9),
            ((0.1, 0.1, 0.6, 0.52), 0.8),
            ((0.6, 0.1, 0.9, 0.3), 0.49),
            ((0.8, 0.8, 1.1, 1.05), 0.7),
        ),
        SETTINGS,
    )
    assert found.boxes_xyxy == pytest.approx(np.array([[32, 19.2, 160, 96], [256, 153.6, 320, 192]]), abs=1e-3)


def test_boxes_outside_the_picture_are_left_out() -> None:
    assert len(decode_ssd(ssd(((1.1, 0.1, 1.4, 0.4), 0.9)), SETTINGS)) == 0


def test_what_is_no_number_hides_no_other_box() -> None:
    found = decode_ssd(
        ssd(((float("nan"), 0.1, 0.4, 0.4), 0.9), ((0.1, 0.1, 0.5, 0.5), 0.8), ((0.6, 0.6, 0.9, 0.9), float("nan"))),
        SETTINGS,
    )
    assert found.scores.tolist() == pytest.approx([0.8])


@pytest.mark.parametrize(("decode", "answer"), FAMILIES)
def test_nothing_found_is_the_empty_set(decode: Head, answer: Callable[..., Any]) -> None:
    assert len(decode(answer(), SETTINGS)) == 0


def floats(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("decode", "outputs"),
    [
        pytest.param(decode_ssd, [floats(5, 4)], id="ssd: one output"),
        pytest.param(decode_ssd, [floats(5, 4), floats(6, 3)], id="ssd: other counts"),
        pytest.param(decode_ssd, [floats(5, 5), floats(5, 3)], id="ssd: no boxes"),
        pytest.param(decode_ssd, [floats(5, 4), floats(5, 1)], id="ssd: no such class"),
        pytest.param(decode_yolox, [floats(1259, 8)], id="yolox: cells of another size"),
        pytest.param(decode_yolox, [floats(1260, 5)], id="yolox: no classes"),
        pytest.param(decode_yolov8, [floats(4, 100)], id="yolov8: no classes"),
        pytest.param(decode_yolov8, [floats(5, 100)], id="yolov8: no such class"),
        pytest.param(decode_yolov8, [floats(7, 9), floats(7, 9)], id="yolov8: two outputs"),
        pytest.param(decode_detr, [floats(5, 4), floats(6, 4)], id="detr: other counts"),
        pytest.param(decode_rtdetr, [floats(5, 4)], id="rtdetr: one output"),
    ],
)
def test_an_answer_of_another_form_is_refused(decode: Head, outputs: Any) -> None:
    with pytest.raises(ShapeError):
        decode(outputs, SETTINGS)


ANSWERS: list[tuple[Head, tuple[tuple[int, ...], ...]]] = [
    (decode_ssd, ((30, 1, 4), (30, CLASSES))),
    (decode_yolox, ((40 * 24 + 20 * 12 + 10 * 6, 5 + CLASSES),)),
    (decode_yolov8, ((4 + CLASSES, 30),)),
    (decode_detr, ((30, CLASSES + 1), (30, 4))),
    (decode_rtdetr, ((30, CLASSES), (30, 4))),
]


@st.composite
def nonsense(draw: st.DrawFn) -> tuple[Head, list[np.ndarray]]:
    """Return a family and an answer of its form: numbers of any size, and what is none, at random places."""
    decode, shapes = draw(st.sampled_from(ANSWERS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([1.0, 1e3, 1e20, 3e38]))
    outputs = [(rng.uniform(-1, 1, shape) * scale).astype(np.float32) for shape in shapes]
    for output in outputs:
        for number in draw(st.sets(st.sampled_from([np.nan, np.inf, -np.inf]))):
            output[rng.uniform(size=output.shape) < 0.1] = number
    return decode, outputs


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("decode", "shapes"), ANSWERS)
def test_an_answer_of_what_is_no_number_is_an_empty_one(decode: Head, shapes: Any, number: float) -> None:
    assert len(decode([np.full(shape, number, np.float32) for shape in shapes], SETTINGS)) == 0


@given(nonsense())
def test_whatever_a_network_says_boxes_lie_in_the_picture_and_do_not_overlap_much(answer: Any) -> None:
    decode, outputs = answer
    found = Detections.none()
    with contextlib.suppress(ShapeError):  # of scores beyond 1
        found = decode(outputs, SETTINGS)
    assert (found.boxes_xyxy >= 0).all()
    assert (found.boxes_xyxy <= (320, 192, 320, 192)).all()
    assert ((found.scores >= 0.5) & (found.scores <= 1)).all()
    assert (iou_matrix(found.boxes_xyxy, found.boxes_xyxy) - np.eye(len(found)) <= 0.5 + 1e-6).all()
    assert (found.boxes_xyxy[:, 2:] > found.boxes_xyxy[:, :2]).all()


def test_scores_beyond_1_are_those_of_another_family_and_a_little_is_rounding() -> None:
    box = (0.1, 0.1, 0.5, 0.5)
    assert decode_yolov8(yolov8((box, 1.004)), SETTINGS).scores.tolist() == [1.0]
    with pytest.raises(ShapeError, match=r"7\.3 is no score of 0 to 1; its outputs may be logits"):
        decode_yolov8(yolov8((box, 7.3)), SETTINGS)


@pytest.mark.parametrize(
    ("output", "index", "activation", "expected"),
    [
        pytest.param([0.3, 0.7], 1, "none", 0.7, id="probabilities"),
        pytest.param([0.0, 0.0], 0, "softmax", 0.5, id="softmax"),
        pytest.param([1000.0, 0.0], 0, "softmax", 1.0, id="softmax of large logits"),
        pytest.param([0.0], 0, "sigmoid", 0.5, id="sigmoid"),
        pytest.param([-1000.0], 0, "sigmoid", 0.0, id="sigmoid of a large logit"),
    ],
)
def test_a_classifier_gives_the_probability_of_a_class(output: Any, index: int, activation: Any, expected: Any) -> None:
    assert decode_classifier(np.array(output, np.float32), index, activation) == pytest.approx(expected)


def test_a_class_that_is_not_there_and_what_is_no_probability_are_refused() -> None:
    with pytest.raises(ShapeError, match="no class 2 among 2"):
        decode_classifier(np.array([0.3, 0.7], np.float32), 2, "none")
    with pytest.raises(ShapeError, match="activation: softmax or sigmoid"):
        decode_classifier(np.array([-3, 7], np.float32), 1, "none")


@pytest.mark.parametrize("activation", ["none", "softmax", "sigmoid"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_class_that_is_no_number_is_refused(activation: Any, number: float) -> None:
    with pytest.raises(ShapeError, match="no number is no probability"):
        decode_classifier(np.array([number, 0.5], np.float32), 0, activation)
