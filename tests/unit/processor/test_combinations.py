"""Parameters in any combination, on films at random: what must hold whatever is asked for."""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from luna_processor.delivery.events import ShotEvent
from luna_processor.vision.headpose import HeadPose
from luna_processor.vision.view import Picture
from support.films import FPS, HEIGHT, WIDTH, Film, body, empty, face, two_faces
from support.streams_server import stream_v2

HANDLERS = ("0b7a6a52-1e0e-4d0c-8c2f-3b6c1de1a001", "0b7a6a52-1e0e-4d0c-8c2f-3b6c1de1a002")
PICTURES: dict[str, Picture] = {
    "face": face(),
    "soft face": face(noise=5),
    "near face": face(y=40, height=150),
    "two faces": two_faces(80, 110),
    "body": body(),
    "human": body(head=True),
    "aside": body(x=20, head=True),
    "empty": empty(),
}


@dataclass(frozen=True)
class Scene:
    """What some frames show."""

    picture: str
    count: int
    yaw: float
    cover: float
    liveness: float


scenes = st.lists(
    st.builds(
        Scene,
        st.sampled_from(sorted(PICTURES)),
        st.integers(1, 12),
        st.sampled_from([0.0, 12.0, 30.0, 60.0]),
        st.sampled_from([0.0, 0.4, 0.9]),
        st.sampled_from([0.1, 0.9]),
    ),
    min_size=1,
    max_size=5,
)
modes_and_types = st.sampled_from([(1, 1), (1, 3), (2, 2), (2, 4), (3, 1), (3, 2), (3, 3), (3, 4)])
periods = st.sampled_from([-1, 0, 1, 5, 10])
counts = st.integers(0, 3)
drois = st.sampled_from(
    [
        {"x": 0, "y": 0, "width": 0, "height": 0, "mode": "abs"},
        {"x": 60, "y": 0, "width": 200, "height": 240, "mode": "abs"},
        {"x": 0, "y": 0, "width": 60, "height": 100, "mode": "percent"},
    ]
)
filters = st.fixed_dictionaries(
    {
        "min_score_face": st.sampled_from([0.5187, 0.95]),
        "min_score_body": st.sampled_from([0.5, 0.95]),
        "detection_yaw_threshold": st.sampled_from([0, 20, 40, 180]),
        "yaw_number": st.sampled_from([1, 1, 2, 5]),
        "yaw_collection_mode": st.booleans(),
        "mouth_occlusion_threshold": st.sampled_from([0, 0, 0.5]),
        "min_body_size_threshold": st.sampled_from([0, 90, 200]),
    }
)
sendings = st.fixed_dictionaries(
    {
        "time_period_of_searching": periods,
        "silent_period": periods,
        "type": st.just("frames"),
        "body": st.fixed_dictionaries(
            {"send_only_full_set": st.booleans(), "delete_track_after_sending": st.booleans()}
        ),
        "full_frame_settings": st.integers(1, 4),
    }
)
gates = st.fixed_dictionaries(
    {
        "use_primary_track_policy": st.booleans(),
        "best_shot_min_size": st.sampled_from([0, 70, 100]),
        "best_shot_proper_size": st.sampled_from([0, 100, 140]),
    }
)
checks = st.fixed_dictionaries(
    {
        "use_mask_liveness_filtration": st.booleans(),
        "use_flying_faces_liveness_filtration": st.booleans(),
        "liveness_mode": st.integers(0, 2),
        "number_of_liveness_checks": st.sampled_from([0, 1, 5, 50]),
        "liveness_threshold": st.just(0.4),
        "livenesses_weights": st.just([0.5, 0.5]),
        "mask_backgrounds_count": st.sampled_from([0, 3]),
    }
)


@st.composite
def analytics(draw: st.DrawFn) -> dict[str, Any]:
    """Return one that is not refused, as REST takes it, without its handler."""
    mode, type_ = draw(modes_and_types)
    shots = {"type": type_, "face_bestshots_to_send": draw(counts), "body_bestshots_to_send": draw(counts)}
    return {
        "mode": mode,
        "droi": draw(drois),
        "filtering": draw(filters),
        "sending": draw(sendings) | {"bestshot_settings": shots},
        "primary_track_policy": draw(gates),
        "liveness": draw(checks),
    }


def events(shown: list[Scene], *wanted: dict[str, Any]) -> list[ShotEvent]:
    """Return what analytics send of a film; each has its handler."""
    stream = stream_v2("/clip.mp4")
    plain = stream["data"]["analytics"][0]
    stream["data"]["analytics"] = []
    for each, handler_id in zip(wanted, HANDLERS, strict=False):
        item = copy.deepcopy(plain | each)
        item["event_handler"] = plain["event_handler"] | {"handler_id": handler_id}
        stream["data"]["analytics"].append(item)
    film = Film()
    film.use(stream)
    for scene in shown:
        film.pose.pose, film.mouth.cover = HeadPose(scene.yaw, 0, 0), scene.cover
        film.mask.score = film.flying_faces.score = scene.liveness
        film.show([PICTURES[scene.picture]] * scene.count)
    film.pipeline.finish()
    return film.sink.events


def told(event: ShotEvent) -> tuple[object, ...]:
    """Return what an event says, without what must differ from run to run."""
    return tuple(
        (
            round((shot.pts_s or 0) * FPS),
            shot.kind,
            tuple(shot.face.box_xyxy) if shot.face else None,
            tuple(shot.body.box_xyxy) if shot.body else None,
            shot.jpeg,
        )
        for shot in event.shots
    )


@settings(max_examples=60, deadline=None)
@given(scenes, analytics())
def test_nothing_is_sent_that_the_parameters_exclude(shown: list[Scene], wanted: dict[str, Any]) -> None:
    by_frame = [scene for scene in shown for _ in range(scene.count)]
    filtering, sending = wanted["filtering"], wanted["sending"]
    settings_, gate = sending["bestshot_settings"], wanted["primary_track_policy"]
    region = _pixels(wanted["droi"])
    sent = events(shown, wanted)
    for event in sent:
        assert event.shots
        limits = max(1, settings_["face_bestshots_to_send"]), max(1, settings_["body_bestshots_to_send"])
        assert sum(shot.face is not None for shot in event.shots) <= limits[0]
        assert sum(shot.body is not None for shot in event.shots) <= limits[1]
        for shot in event.shots:
            scene = by_frame[round((shot.pts_s or 0) * FPS)]
            if shot.face:
                assert wanted["mode"] != 2
                assert settings_["type"] != 2
                assert shot.face.score >= filtering["min_score_face"]
                assert abs(scene.yaw) <= filtering["detection_yaw_threshold"]
                assert not filtering["mouth_occlusion_threshold"] or scene.cover <= 0.5
                assert _is_inside(shot.face.box_xyxy, region)
                if gate["use_primary_track_policy"]:
                    assert shot.face.box_xyxy[3] - shot.face.box_xyxy[1] >= gate["best_shot_min_size"]
            if shot.body:
                assert wanted["mode"] != 1
                assert settings_["type"] != 1
                assert shot.body.score >= filtering["min_score_body"]
                width, height = shot.body.box_xyxy[2:] - shot.body.box_xyxy[:2]
                assert math.sqrt(width * height) >= filtering["min_body_size_threshold"]
                assert _is_inside(shot.body.box_xyxy, region)
        if sending["body"]["send_only_full_set"] and settings_["type"] in (2, 4):
            bodies = [shot for shot in event.shots if shot.body]
            assert len(bodies) in (0, limits[1])
    if sending["silent_period"] == -1 or (sending["time_period_of_searching"] == -1 and not _is_gate(wanted)):
        per_track = Counter((event.track_id, event.shots[0].kind) for event in sent)
        assert all(count == 1 for count in per_track.values())


@settings(max_examples=40, deadline=None)
@given(scenes, analytics(), analytics())
def test_what_an_analytics_sends_does_not_depend_on_others(
    shown: list[Scene], one: dict[str, Any], other: dict[str, Any]
) -> None:
    alone = [told(event) for event in events(shown, one)]
    beside = [told(event) for event in events(shown, one, other) if HANDLERS[0] in event.target.url]
    assert beside == alone


@settings(max_examples=40, deadline=None)
@given(analytics(), st.integers(8, 40))
def test_a_person_who_passes_every_filter_is_sent_whatever_is_combined(wanted: dict[str, Any], count: int) -> None:
    wanted = copy.deepcopy(wanted)
    wanted["filtering"] |= {"min_score_face": 0.5, "min_score_body": 0.5, "min_body_size_threshold": 0}
    wanted["filtering"] |= {"yaw_number": min(wanted["filtering"]["yaw_number"], 5)}
    wanted["droi"] = {"x": 0, "y": 0, "width": 0, "height": 0, "mode": "abs"}
    wanted["primary_track_policy"] |= {"best_shot_min_size": 30}
    wanted["sending"]["bestshot_settings"] |= {"body_bestshots_to_send": 1}
    assert events([Scene("human", count, 0.0, 0.0, 0.9)], wanted)


def _is_gate(wanted: dict[str, Any]) -> bool:
    return bool(wanted["primary_track_policy"]["use_primary_track_policy"])


def _pixels(region: dict[str, Any]) -> tuple[float, float, float, float]:
    if not region["width"]:
        return 0, 0, WIDTH, HEIGHT
    across, down = (WIDTH / 100, HEIGHT / 100) if region["mode"] == "percent" else (1, 1)
    left, top = region["x"] * across, region["y"] * down
    return left, top, left + region["width"] * across, top + region["height"] * down


def _is_inside(box_xyxy: Any, region: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = (float(side) for side in box_xyxy)
    return left >= region[0] and top >= region[1] and right <= region[2] and bottom <= region[3]
