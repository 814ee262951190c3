"""Builders for tests of the processor: valid values with the one thing a test is about changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from luna_processor.delivery.events import BestShot, BodyData, FaceData, ShotEvent, Target, new_request_id
from luna_processor.vision.headpose import HeadPose
from luna_streams.policies import Location

STREAM_ID = "01890000-0000-7000-8000-000000000001"
HANDLER_ID = "e2c3b1ea-6d0b-4a7d-9b3c-5f4d0b6c7a11"


def a_target(origin: str = "http://127.0.0.1:5000", **changes: Any) -> Target:
    target = Target(
        format="events",
        url=f"{origin.rstrip('/')}/6/handlers/{HANDLER_ID}/events",
        frame_store=None,
        account_id="8950722f-3fd4-4223-b48f-03f95f0e8dfb",
        token=None,
    )
    return replace(target, **changes)


def a_shot(box: tuple[float, float, float, float] = (10, 20, 110, 150), **changes: Any) -> BestShot:
    shot = BestShot(
        jpeg=b"\xff\xd8face",
        frame_jpeg=None,
        face=FaceData(np.array(box, np.float32), 0.9, HeadPose(1.0, 2.0, 3.0)),
        body=None,
        detected_at=datetime.now(UTC),
        pts_s=None,
    )
    return replace(shot, **changes)


def a_body(box: tuple[float, float, float, float] = (0, 10, 130, 400), score: float = 0.8) -> BodyData:
    return BodyData(np.array(box, np.float32), score)


def an_event(**changes: Any) -> ShotEvent:
    """Return an event under a name of its own."""
    event = ShotEvent(
        version=1,
        stream_id=STREAM_ID,
        source="cam",
        location=Location(),
        track_id="6f1d5dbe-0b63-4c6d-9d5b-3a3c0f8f3b11",
        target=a_target(),
        shots=(a_shot(),),
        request_id=new_request_id(datetime(2024, 4, 5, tzinfo=UTC)),
    )
    return replace(event, **changes)
