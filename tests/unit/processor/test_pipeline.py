"""From frames to events, with a detector that finds red rectangles."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from luna_processor.vision.headpose import HeadPose
from luna_processor.vision.view import Picture
from support.films import FPS, HEIGHT, INFO, WIDTH, Film, body, empty, face, two_faces
from support.frames import EPOCH
from support.processor_builders import STREAM_ID
from support.streams_server import stream_v2


def test_a_track_sends_its_best_shot_when_it_ends() -> None:
    film = Film()
    film.show(face(x=100 + t) for t in range(10))
    assert film.sink.events == []
    film.show(empty() for _ in range(40))
    [event] = film.sink.events
    assert event.stream_id == STREAM_ID
    assert event.source == "cam"
    assert film.stats.tracks_total == 1


def test_the_end_of_the_source_ends_its_tracks() -> None:
    film = Film()
    film.show(face() for _ in range(5))
    film.pipeline.finish()
    assert len(film.sink.events) == 1


def test_two_faces_are_two_events_under_two_track_ids() -> None:
    film = Film()
    both = face(x=40)
    both[:, 160:] = face(x=200)[:, 160:]
    film.show(both for _ in range(5))
    film.pipeline.finish()
    assert len({event.track_id for event in film.sink.events}) == 2
    assert len({event.request_id for event in film.sink.events}) == 2


def test_the_sharper_moment_is_chosen_and_its_time_is_sent() -> None:
    film = Film()
    film.show([face(noise=1)] * 10 + [face(noise=40)] * 5 + [face(noise=1)] * 10)
    film.pipeline.finish()
    [shot] = film.sink.events[0].shots
    assert shot.pts_s == pytest.approx(10 / FPS)
    assert (shot.detected_at - EPOCH).total_seconds() == pytest.approx(10 / FPS)


def test_a_live_source_has_no_seconds_from_its_start() -> None:
    film = Film(info=replace(INFO, duration_s=None), kind="tcp")
    film.show(face() for _ in range(5))
    film.pipeline.finish()
    assert film.sink.events[0].shots[0].pts_s is None


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize(
    "roi",
    [
        None,
        {"x": 80, "y": 60, "width": 200, "height": 150, "mode": "abs"},
        {"x": 25, "y": 25, "width": 50, "height": 50, "mode": "percent"},
    ],
)
def test_boxes_are_in_pixels_of_the_frame_whatever_roi_and_rotation(rotation: Any, roi: Any) -> None:
    film = Film(rotation=rotation, **({"roi": roi} if roi else {}))
    film.show(face(x=100, y=80) for _ in range(5))
    film.pipeline.finish()
    assert film.boxes() == [(100, 80, 140, 140)]


def test_the_picture_of_a_rotated_face_is_upright() -> None:
    film = Film(rotation=90)
    film.show(face(width=60, height=20) for _ in range(5))
    film.pipeline.finish()
    width, height = Image.open(io.BytesIO(film.sink.events[0].shots[0].jpeg)).size
    assert height > width


def test_a_face_outside_the_roi_does_not_exist() -> None:
    film = Film(roi={"x": 200, "y": 0, "width": 100, "height": 200, "mode": "abs"})
    film.show(face(x=100) for _ in range(5))
    film.pipeline.finish()
    assert film.sink.events == []
    assert film.stats.tracks_total == 0


def test_a_face_outside_the_droi_is_followed_but_not_sent_until_it_is_wholly_inside() -> None:
    film = Film(analytics={"droi": {"x": 150, "y": 0, "width": 160, "height": 240, "mode": "abs"}})
    film.show(face(x=100 + 4 * t) for t in range(20))
    film.pipeline.finish()
    [(left, *_)] = film.boxes()
    assert left >= 150
    assert film.stats.tracks_total == 1


def test_the_droi_belongs_to_the_frame_also_under_rotation_and_roi() -> None:
    droi = {"x": 90, "y": 70, "width": 60, "height": 80, "mode": "abs"}
    roi = {"x": 50, "y": 50, "width": 200, "height": 150, "mode": "abs"}
    film = Film(rotation=90, roi=roi, analytics={"droi": droi})
    film.show(face(x=100, y=80) for _ in range(5))
    film.pipeline.finish()
    assert film.boxes() == [(100, 80, 140, 140)]


def test_a_track_whose_head_never_looks_at_the_camera_sends_nothing() -> None:
    film = Film()
    film.pose.pose = HeadPose(50, 0, 0)
    film.show(face() for _ in range(10))
    film.pipeline.finish()
    assert film.sink.events == []
    assert film.stats.tracks_total == 1


def test_angles_are_measured_for_candidates_only() -> None:
    film = Film()
    film.show(face() for _ in range(30))
    assert film.pose.calls == 1


def test_a_score_below_the_filter_is_never_sent() -> None:
    film = Film(analytics={"filtering": {"min_score_face": 0.95}})
    film.show(face() for _ in range(10))
    film.pipeline.finish()
    assert film.sink.events == []


def test_a_flicker_of_one_frame_sends_nothing() -> None:
    film = Film()
    film.show([face()] + [empty()] * 30)
    film.pipeline.finish()
    assert film.sink.events == []


def test_who_is_in_one_picture_of_a_folder_only_is_sent() -> None:
    stream = stream_v2("/pictures", kind="images")
    stream["data"]["mask"] = "%d.jpg"
    film = Film()
    film.use(stream)
    film.show([empty(), face(), empty()])
    film.pipeline.finish()
    assert len(film.sink.events) == 1


def test_periods_send_while_the_track_goes_on() -> None:
    film = Film(analytics={"sending": {"time_period_of_searching": 1, "silent_period": 1, "type": "sec"}})
    film.show(face() for _ in range(5 * FPS))
    assert len(film.sink.events) == 2
    assert len({event.track_id for event in film.sink.events}) == 1


def test_a_period_ends_though_nobody_is_seen_at_that_moment() -> None:
    film = Film(analytics={"sending": {"time_period_of_searching": 1}})
    film.show([face()] * 20 + [empty()] * 10)
    assert len(film.sink.events) == 1


def test_several_best_shots_are_one_event() -> None:
    film = Film(analytics={"sending": {"bestshot_settings": {"type": 1, "face_bestshots_to_send": 3}}})
    film.show(face() for _ in range(FPS))
    film.pipeline.finish()
    [event] = film.sink.events
    assert len(event.shots) == 3


def test_a_cut_ends_the_track_though_a_face_stays_at_its_place() -> None:
    other_scene = empty()
    other_scene[:, ::2] = 250
    other_scene[: HEIGHT // 2] = 0
    other_scene[80:140, 100:140] = face()[80:140, 100:140]
    film = Film()
    film.show([face()] * 10 + [other_scene] * 10)
    film.pipeline.finish()
    assert len({event.track_id for event in film.sink.events}) == 2


def test_damaged_frames_carry_the_track_but_are_never_sent() -> None:
    film = Film()
    film.show([face()] * 5, is_damaged=True)
    film.pipeline.finish()
    assert film.stats.tracks_total == 1
    assert film.sink.events == []


@pytest.mark.parametrize("store", [None, "http://store/1/buckets/frames/images"])
def test_the_source_frame_is_kept_only_for_a_frame_store(store: Any) -> None:
    film = Film()
    body = stream_v2("/clip.mp4")
    body["data"]["analytics"][0]["event_handler"]["frame_store"] = store
    film.use(body)
    film.show(face() for _ in range(5))
    film.pipeline.finish()
    frame = film.sink.events[0].shots[0].frame_jpeg
    if store is None:
        assert frame is None
    else:
        assert frame is not None
        assert Image.open(io.BytesIO(frame)).size == (WIDTH, HEIGHT)


def test_each_analytics_decides_for_itself() -> None:
    body = stream_v2("/clip.mp4")
    first = body["data"]["analytics"][0]
    body["data"]["analytics"].append(first | {"filtering": {"min_score_face": 0.95}})
    body["data"]["analytics"].append(first)
    film = Film()
    film.use(body)
    film.show(face() for _ in range(5))
    film.pipeline.finish()
    assert len(film.sink.events) == 2
    assert len({event.track_id for event in film.sink.events}) == 1
    assert len({event.request_id for event in film.sink.events}) == 2
    assert film.pose.calls == 1, "one face of one frame is measured once"


def test_the_sent_picture_shows_the_face_with_a_margin() -> None:
    film = Film()
    film.show(face(x=100, y=80, width=40, height=60) for _ in range(5))
    film.pipeline.finish()
    picture = np.asarray(Image.open(io.BytesIO(film.sink.events[0].shots[0].jpeg)))
    assert picture.shape[:2] == (108, 72)
    assert picture[54, 36, 0] > 200
    assert picture[5, 5].tolist() == pytest.approx([90, 90, 90], abs=12)


@pytest.mark.parametrize(
    ("threshold", "cover", "count"),
    [
        pytest.param(0.5, 0.4, 1, id="covered less than permitted"),
        pytest.param(0.5, 0.5, 1, id="covered as far as permitted"),
        pytest.param(0.5, 0.6, 0, id="covered too far"),
        pytest.param(0.0, 1.0, 1, id="zero switches the filter off"),
    ],
)
def test_a_covered_mouth_is_no_best_shot(threshold: float, cover: float, count: int) -> None:
    film = Film(analytics={"filtering": {"mouth_occlusion_threshold": threshold}})
    film.mouth.cover = cover
    film.show(face() for _ in range(10))
    film.pipeline.finish()
    assert len(film.sink.events) == count


def test_mouths_are_measured_only_where_they_are_filtered_by() -> None:
    film = Film()
    film.show(face() for _ in range(10))
    film.pipeline.finish()
    assert film.mouth.calls == 0


# -- bodies -----------------------------------------------------------------------------------------------------------


def test_bodies_are_followed_and_sent_like_faces() -> None:
    film = Film(analytics={"mode": 2})
    film.show(body(x=60 + t) for t in range(10))
    film.pipeline.finish()
    [event] = film.sink.events
    [shot] = event.shots
    assert shot.face is None
    assert shot.body is not None
    assert shot.body.box_xyxy[2:].tolist() == [*(shot.body.box_xyxy[:2] + np.array([70, 150]))]
    assert film.stats.tracks_total == 1
    assert film.faces.calls == 0, "nobody asked for faces"


def test_nobody_looks_for_bodies_where_no_analytics_wants_them() -> None:
    film = Film()
    film.show(face() for _ in range(3))
    assert film.bodies.calls == 0


@pytest.mark.parametrize(
    ("filtering", "count"),
    [
        pytest.param({"min_body_size_threshold": 102}, 1, id="large enough: sqrt(70 x 150) = 102.5"),
        pytest.param({"min_body_size_threshold": 103}, 0, id="too small"),
        pytest.param({"min_score_body": 0.95}, 0, id="too doubtful"),
        pytest.param({"min_score_face": 0.95}, 1, id="that is for faces"),
    ],
)
def test_bodies_have_filters_of_their_own(filtering: Any, count: int) -> None:
    film = Film(analytics={"mode": 2, "filtering": filtering})
    film.show(body() for _ in range(10))
    film.pipeline.finish()
    assert len(film.sink.events) == count


def test_a_body_outside_the_droi_is_not_sent() -> None:
    film = Film(analytics={"mode": 2, "droi": {"x": 100, "y": 0, "width": 220, "height": 240, "mode": "abs"}})
    film.show(body(x=85) for _ in range(10))
    film.pipeline.finish()
    assert film.sink.events == []


@pytest.mark.parametrize(("is_needed", "count"), [(True, 0), (False, 1)])
def test_bodies_wait_for_a_full_set_unless_told_otherwise(is_needed: bool, count: int) -> None:
    sending = {"body": {"send_only_full_set": is_needed}, "bestshot_settings": {"body_bestshots_to_send": 3}}
    film = Film(analytics={"mode": 2, "sending": sending})
    film.show(body() for _ in range(8))
    film.pipeline.finish()
    assert len(film.sink.events) == count


# -- humans -----------------------------------------------------------------------------------------------------------


def humans(**sending: Any) -> Film:
    return Film(analytics={"mode": 3, "sending": sending})


def test_a_human_is_one_event_with_face_and_body_of_one_frame() -> None:
    film = humans()
    film.show(body(head=True) for _ in range(10))
    film.pipeline.finish()
    [event] = film.sink.events
    [shot] = event.shots
    assert shot.face is not None
    assert shot.body is not None
    assert shot.kind == "human"
    assert film.stats.tracks_total == 1
    width, height = Image.open(io.BytesIO(shot.jpeg)).size
    assert (width, height) == (84, 180), "the body with its margin"


@pytest.mark.parametrize(
    ("type_", "kinds"),
    [
        pytest.param(1, [["face"]], id="faces only"),
        pytest.param(2, [["body"]], id="bodies only"),
        pytest.param(3, [["human"]], id="together"),
        pytest.param(4, [["face"], ["body"]], id="separately"),
    ],
)
def test_the_type_says_what_is_sent_of_a_human(type_: int, kinds: Any) -> None:
    film = humans(bestshot_settings={"type": type_})
    film.show(body(head=True) for _ in range(10))
    film.pipeline.finish()
    assert [[shot.kind for shot in event.shots] for event in film.sink.events] == kinds
    assert len({event.track_id for event in film.sink.events}) == 1
    assert len({event.request_id for event in film.sink.events}) == len(kinds)


@pytest.mark.parametrize(
    ("pictures", "kind"),
    [pytest.param([body()] * 10, "body", id="no face"), pytest.param([face()] * 10, "face", id="no body")],
)
def test_a_human_of_whom_only_a_part_is_seen_is_sent_by_that_part(pictures: list[Picture], kind: str) -> None:
    film = humans()
    film.show(pictures)
    film.pipeline.finish()
    assert [shot.kind for event in film.sink.events for shot in event.shots] == [kind]


def test_a_human_goes_on_while_the_face_is_turned_away() -> None:
    film = humans()
    film.show([body(head=True)] * 10 + [body()] * 60 + [body(head=True)] * 10)
    film.pipeline.finish()
    assert len(film.sink.events) == 1
    assert film.stats.tracks_total == 1


def test_several_best_shots_of_a_human_are_filled_up_with_bodies_of_other_frames() -> None:
    film = humans(bestshot_settings={"type": 3, "face_bestshots_to_send": 1, "body_bestshots_to_send": 3})
    film.show(body(head=True) for _ in range(2 * FPS))
    film.pipeline.finish()
    [event] = film.sink.events
    assert [shot.kind for shot in event.shots] == ["human", "body", "body"]
    assert len({shot.pts_s for shot in event.shots}) == 3


def test_a_body_whose_set_is_not_full_is_left_out_of_the_event() -> None:
    film = humans(bestshot_settings={"type": 3, "body_bestshots_to_send": 3})
    film.show(body(head=True) for _ in range(8))
    film.pipeline.finish()
    assert [shot.kind for shot in film.sink.events[0].shots] == ["face"]


def test_the_picture_of_a_face_whose_body_is_left_out_shows_the_face_and_stores_no_frame_of_a_body() -> None:
    shots = {"type": 3, "body_bestshots_to_send": 3}
    stream = stream_v2("/clip.mp4", mode=3, sending={"full_frame_settings": 2, "bestshot_settings": shots})
    stream["data"]["analytics"][0]["event_handler"]["frame_store"] = "http://store/1/buckets/frames/images"
    film = Film()
    film.use(stream)
    film.show(body(head=True) for _ in range(8))
    film.pipeline.finish()
    [shot] = film.sink.events[0].shots
    assert Image.open(io.BytesIO(shot.jpeg)).size == (54, 72), "30 x 40 pixels with 40 % on each side"
    assert shot.frame_jpeg is None


@pytest.mark.parametrize(
    ("full_frames", "stored"),
    [
        pytest.param(1, {"face"}, id="faces"),
        pytest.param(2, {"body"}, id="bodies"),
        pytest.param(3, {"face", "body"}, id="both"),
        pytest.param(4, {"face", "body"}, id="each"),
    ],
)
def test_source_frames_are_stored_of_what_is_asked_for(full_frames: int, stored: set[str]) -> None:
    film = Film()
    stream = stream_v2(
        "/clip.mp4", mode=3, sending={"full_frame_settings": full_frames, "bestshot_settings": {"type": 4}}
    )
    stream["data"]["analytics"][0]["event_handler"]["frame_store"] = "http://store/1/buckets/frames/images"
    film.use(stream)
    film.show(body(head=True) for _ in range(10))
    film.pipeline.finish()
    shots = [shot for event in film.sink.events for shot in event.shots]
    assert {shot.kind for shot in shots if shot.frame_jpeg is not None} == stored


def test_a_source_frame_that_goes_out_with_several_events_is_encoded_once() -> None:
    stream = stream_v2("/clip.mp4", mode=1)
    [analytics] = stream["data"]["analytics"]
    analytics["event_handler"]["frame_store"] = "http://store/1/buckets/frames/images"
    stream["data"]["analytics"] = [analytics, analytics]
    film = Film()
    film.use(stream)
    film.show(face() for _ in range(8))
    film.pipeline.finish()
    first, second = (event.shots[0].frame_jpeg for event in film.sink.events)
    assert first is not None
    assert first is second
    assert not film.pipeline._frame_jpegs, "nor is it kept longer than its frame"


def test_analytics_of_every_mode_share_one_search_and_decide_for_themselves() -> None:
    stream = stream_v2("/clip.mp4")
    first = stream["data"]["analytics"][0]
    stream["data"]["analytics"] = [first | {"mode": mode} for mode in (1, 2, 3)]
    film = Film()
    film.use(stream)
    film.show(body(head=True) for _ in range(10))
    film.pipeline.finish()
    assert sorted(event.shots[0].kind for event in film.sink.events) == ["body", "face", "human"]
    assert (film.faces.calls, film.bodies.calls) == (10, 10)
    assert film.stats.tracks_total == 1, "a human counts once"


# -- primary track ----------------------------------------------------------------------------------------------------

GATE = {"use_primary_track_policy": True, "best_shot_min_size": 70, "best_shot_proper_size": 140}


def gate(**analytics: Any) -> Film:
    return Film(analytics={"primary_track_policy": GATE, **analytics})


def test_only_the_nearest_face_is_sent() -> None:
    film = gate()
    film.show(two_faces(80, 110) for _ in range(10))
    film.pipeline.finish()
    assert [box[0] for box in film.boxes()] == [200]


def test_a_face_that_is_too_far_away_is_not_sent() -> None:
    film = gate()
    film.show(face(height=69) for _ in range(10))
    film.pipeline.finish()
    assert film.sink.events == []


def test_a_face_that_comes_near_is_sent_at_once_and_once() -> None:
    film = gate()
    film.show(face(y=40, height=80 + 2 * t) for t in range(29))
    assert film.sink.events == []
    film.show(face(y=40, height=140 + t) for t in range(20))
    assert len(film.sink.events) == 1
    film.pipeline.finish()
    assert len(film.sink.events) == 1


def test_the_next_in_line_is_not_sent_because_the_first_one_blinked() -> None:
    film = gate()
    second = face(x=200, y=40, width=60, height=145)
    film.show([two_faces(158, 145)] * 2 + [second] * 2 + [two_faces(158, 145)] * 6)
    assert [box[0] for box in film.boxes()] == [20]


def test_the_next_in_line_is_sent_when_the_first_has_gone() -> None:
    film = gate()
    film.show(two_faces(80, 110) for _ in range(10))
    film.show(face(x=20, y=40, width=60, height=90) for _ in range(60))
    film.pipeline.finish()
    assert sorted(box[0] for box in film.boxes()) == [20, 200]


def test_the_primary_track_policy_has_no_effect_on_bodies() -> None:
    film = gate(mode=2)
    film.show(body(height=60) for _ in range(10))
    film.pipeline.finish()
    assert len(film.sink.events) == 1


# -- yaws that go with nothing ----------------------------------------------------------------------------------------


def yaws(number: int, *, collects: bool, shown: list[float]) -> Film:
    film = Film(analytics={"filtering": {"yaw_number": number, "yaw_collection_mode": collects}})
    film.pose.yaws = shown
    film.show(face(noise=40 if index == 0 else 10) for index in range(len(shown)))
    film.pipeline.finish()
    return film


@pytest.mark.parametrize("collects", [False, True])
@pytest.mark.parametrize(
    ("number", "shown", "frames"),
    [
        pytest.param(3, [35, 0, 0], {1, 2}, id="the best frame is turned"),
        pytest.param(3, [0, 0, 0], {0}, id="it goes with the others"),
        pytest.param(1, [35, 0, 0], {0}, id="one frame compares nothing"),
    ],
)
def test_a_frame_whose_yaw_goes_with_nothing_is_not_sent(
    collects: bool, number: int, shown: list[float], frames: set[int]
) -> None:
    [event] = yaws(number, collects=collects, shown=shown).sink.events
    pts_s = event.shots[0].pts_s
    assert pts_s is not None
    assert round(pts_s * FPS) in frames


@pytest.mark.parametrize(("collects", "count"), [(True, 0), (False, 1)])
def test_collecting_sends_nothing_before_all_frames_are_there(collects: bool, count: int) -> None:
    assert len(yaws(6, collects=collects, shown=[0] * 5).sink.events) == count


def test_a_frame_that_was_passed_over_is_sent_when_a_better_one_turns_out_to_be_turned() -> None:
    [event] = yaws(3, collects=False, shown=[0, 20, 40]).sink.events
    pts_s = event.shots[0].pts_s
    assert pts_s is not None
    assert round(pts_s * FPS) == 1, "the best frame (0) and the last are 20 degrees from the mean"


def test_what_was_compared_in_one_period_is_not_sent_in_the_next() -> None:
    film = Film(
        analytics={"filtering": {"yaw_number": 3}, "sending": {"time_period_of_searching": 10, "type": "frames"}}
    )
    film.show([face()] * 11 + [face(noise=5)] * 10)
    assert [round((event.shots[0].pts_s or 0) * FPS) for event in film.sink.events] == [0, 11]


def test_yaws_beyond_the_threshold_are_not_compared() -> None:
    film = yaws(3, collects=False, shown=[60, 0, 0, 60])
    assert len(film.sink.events) == 1


# -- liveness ---------------------------------------------------------------------------------------------------------

LIVENESS = {
    "use_mask_liveness_filtration": True,
    "use_flying_faces_liveness_filtration": True,
    "liveness_mode": 0,
    "number_of_liveness_checks": 5,
    "liveness_threshold": 0.6,
    "livenesses_weights": [0.45, 0.5],
    "mask_backgrounds_count": 0,
}


@pytest.mark.parametrize(
    ("mask", "flying_faces", "count"),
    [(0.9, 0.9, 1), (0.1, 0.9, 0), (0.9, 0.1, 0)],
)
def test_photos_are_not_sent(mask: float, flying_faces: float, count: int) -> None:
    film = Film(analytics={"liveness": LIVENESS})
    film.mask.score, film.flying_faces.score = mask, flying_faces
    film.show(face() for _ in range(20))
    film.pipeline.finish()
    assert len(film.sink.events) == count
    assert (film.mask.calls, film.flying_faces.calls) == (5, 5)
    assert film.stats.tracks_total == 1


def test_a_check_that_is_switched_off_is_not_made() -> None:
    film = Film(analytics={"liveness": LIVENESS | {"use_mask_liveness_filtration": False, "liveness_threshold": 0.4}})
    film.mask.score = 0.0
    film.show(face() for _ in range(10))
    film.pipeline.finish()
    assert len(film.sink.events) == 1
    assert film.mask.calls == 0


def test_the_last_frames_before_sending_may_decide() -> None:
    film = Film(analytics={"liveness": LIVENESS | {"liveness_mode": 1}})
    film.show(face() for _ in range(10))
    film.mask.score = film.flying_faces.score = 0.0
    film.show(face() for _ in range(5))
    film.pipeline.finish()
    assert film.sink.events == []


@pytest.mark.parametrize(("background", "count"), [(10, 1), (100, 0)])
def test_the_mask_check_means_nothing_before_the_background_is_known(background: int, count: int) -> None:
    film = Film(analytics={"liveness": LIVENESS | {"mask_backgrounds_count": background}})
    film.show(empty() for _ in range(20))
    film.show(face() for _ in range(20))
    film.pipeline.finish()
    assert len(film.sink.events) == count


def test_a_face_that_came_near_is_sent_when_its_liveness_is_decided() -> None:
    film = gate(liveness=LIVENESS | {"number_of_liveness_checks": 8})
    film.show(face(y=40, height=150) for _ in range(8))
    assert film.sink.events == []
    film.show(face(y=40, height=150) for _ in range(4))
    assert len(film.sink.events) == 1


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("checks", [0, 1, 50])
@pytest.mark.parametrize("period", [-1, 1])
@pytest.mark.parametrize("height", [80, 150])
def test_a_person_is_sent_whatever_gate_and_liveness_are_combined(
    mode: int, checks: int, period: int, height: int
) -> None:
    film = gate(
        liveness=LIVENESS | {"liveness_mode": mode, "number_of_liveness_checks": checks},
        sending={"time_period_of_searching": period},
    )
    film.show(face(y=40, height=height) for _ in range(30))
    film.pipeline.finish()
    assert len(film.sink.events) >= 1
