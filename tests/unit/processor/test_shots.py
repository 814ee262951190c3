"""What one event about a face and its body holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.delivery.events import FaceData
from luna_processor.selection.sending import DueSet
from luna_processor.selection.shots import Shot, together
from luna_processor.vision.headpose import HeadPose
from support.processor_builders import a_body

FACE = FaceData(np.zeros(4, np.float32), 0.9, HeadPose(0, 0, 0))


def shot(frame: int, kind: str) -> Shot:
    return Shot(
        picture_rgb=np.zeros((2, 2, 3), np.uint8),
        face=None if kind == "body" else FACE,
        face_alone=shot(frame, "face") if kind == "human" else None,
        body=None if kind == "face" else a_body(),
        frame=None,
        frame_number=frame,
        detected_at=datetime(2024, 1, 1, tzinfo=UTC),
        pts_s=0.0,
    )


def told(faces: list[tuple[int, str]], bodies: list[int], body_count: int) -> list[tuple[int, str]]:
    found = DueSet(tuple(shot(*face) for face in faces), tuple(shot(frame, "body") for frame in bodies))
    names = {(True, True): "human", (True, False): "face", (False, True): "body"}
    return [
        (each.frame_number, names[each.face is not None, each.body is not None]) for each in together(found, body_count)
    ]


@pytest.mark.parametrize(
    ("faces", "bodies", "count", "expected"),
    [
        pytest.param([(1, "human")], [1], 1, [(1, "human")], id="one frame shows both"),
        pytest.param([(1, "human")], [7], 1, [(1, "human")], id="the body of the face's frame is enough"),
        pytest.param([(1, "human")], [7, 1, 9], 2, [(1, "human"), (7, "body")], id="filled up, no frame twice"),
        pytest.param([(1, "face")], [7], 1, [(1, "face"), (7, "body")], id="the body was found elsewhere"),
        pytest.param([(1, "human")], [], 1, [(1, "face")], id="no full set of bodies"),
        pytest.param([], [7, 8], 2, [(7, "body"), (8, "body")], id="no face"),
        pytest.param([(1, "human"), (5, "human")], [1], 1, [(1, "human"), (5, "face")], id="no more bodies than asked"),
    ],
)
def test_faces_bring_their_bodies_along(faces: Any, bodies: Any, count: int, expected: Any) -> None:
    assert told(faces, bodies, count) == expected


frames = st.integers(0, 12)


@given(
    st.lists(st.tuples(frames, st.sampled_from(["face", "human"])), max_size=4, unique_by=lambda face: face[0]),
    st.lists(frames, max_size=4, unique=True),
    st.integers(1, 4),
)
def test_every_face_is_told_once_and_no_frame_twice(faces: Any, bodies: Any, count: int) -> None:
    shots = told(faces, bodies, count)
    assert [frame for frame, kind in shots if kind != "body"] == [frame for frame, _ in faces]
    assert len({frame for frame, _ in shots}) == len(shots)
    assert sum(kind != "face" for _, kind in shots) <= count
