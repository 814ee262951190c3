"""From a stream of the queue to what is done about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from luna_processor.errors import UnsuitableStream
from luna_processor.selection.bestshot import SHOT_SPACING_S, BodyFilters, FaceFilters
from luna_processor.selection.liveness import LivenessPolicy
from luna_processor.selection.primary import PrimaryPolicy
from luna_processor.selection.sending import SendingPolicy
from luna_processor.selection.yaws import YawPolicy
from luna_processor.streams.health import HealthPolicy
from luna_processor.streams.plan import Kinds, Platform, StreamPlan, make_plan
from luna_processor.vision.view import Region
from luna_streams.rest import v1, v2
from luna_streams.stream import SourceType
from support.processor_builders import STREAM_ID
from support.streams_server import ACCOUNT, HANDLER, stream_v1, stream_v2

PLATFORM = Platform("http://platform:5000", 6, min_body_detections=5)


def plan_v2(body: dict[str, Any] | None = None, platform: Platform = PLATFORM, **analytics: Any) -> StreamPlan:
    stream = body or stream_v2("rtsp://cam/1", kind="tcp", **analytics)
    return make_plan(v2.queued_stream({**stream, "stream_id": STREAM_ID, "version": 3}), platform)


def plan_v1(body: dict[str, Any]) -> StreamPlan:
    return make_plan(v1.queued_stream({**body, "stream_id": STREAM_ID, "version": 1}), PLATFORM)


def test_defaults_are_the_documented_ones() -> None:
    plan = plan_v2()
    [analytics] = plan.analytics
    assert (plan.stream_id, plan.version, plan.name) == (STREAM_ID, 3, "cam")
    assert plan.source.is_endless
    assert plan.source.timeout_s is None
    assert plan.source.health == HealthPolicy(10, 3600, 5)
    assert analytics.face_filters == FaceFilters(0.5187, 40, 40, 30)
    assert analytics.sending == SendingPolicy(min_body_detections=5)
    assert analytics.droi.is_whole
    assert analytics.target.url == f"http://platform:5000/6/handlers/{HANDLER}/events"
    assert analytics.target.account_id == ACCOUNT


@pytest.mark.parametrize("name", ["face_bestshots_to_send", "body_bestshots_to_send"])
def test_more_shots_than_can_be_held_are_refused(name: str) -> None:
    assert plan_v2(sending={"bestshot_settings": {name: 100}})
    with pytest.raises(UnsuitableStream, match="more than 100 best shots to send are not supported"):
        plan_v2(sending={"bestshot_settings": {name: 101}})


def test_pictures_of_a_folder_may_all_be_shots_of_one_set() -> None:
    pictures = stream_v2("/pictures", kind="images")
    pictures["data"]["mask"] = "%d.jpg"
    assert plan_v2(pictures).analytics[0].sending.shot_spacing_s == 0
    assert plan_v2().analytics[0].sending.shot_spacing_s == SHOT_SPACING_S


def test_parameters_reach_their_place() -> None:
    body = stream_v2(
        "rtsp://cam/1",
        kind="tcp",
        droi={"x": 10, "y": 10, "width": 50, "height": 50, "mode": "percent"},
        filtering={
            "min_score_face": 0.7,
            "min_score_body": 0.6,
            "min_body_size_threshold": 90.5,
            "detection_yaw_threshold": 20,
            "detection_roll_threshold": 10,
        },
        sending={
            "time_period_of_searching": 4,
            "silent_period": -1,
            "type": "frames",
            "bestshot_settings": {"type": 1, "face_bestshots_to_send": 3, "body_bestshots_to_send": 2},
            "body": {"send_only_full_set": False, "delete_track_after_sending": True},
        },
        healthcheck={"max_error_count": 2, "period": 60, "retry_delay": 1, "timeout": 1500},
    )
    body["data"] |= {"roi": [1, 2, 3, 4], "rotation": 90, "endless": False, "real_time_mode_fps": 12}
    plan = plan_v2(body)
    [analytics] = plan.analytics
    assert plan.roi == Region(1, 2, 3, 4)
    assert plan.rotation == 90
    assert not plan.source.is_endless
    assert plan.source.pace_fps == 12
    assert plan.source.timeout_s == 1.5
    assert plan.source.health == HealthPolicy(2, 60, 1)
    assert analytics.droi == Region(10, 10, 50, 50, is_percent=True)
    assert analytics.face_filters == FaceFilters(0.7, 20, 40, 10)
    assert analytics.body_filters == BodyFilters(0.6, 90.5)
    assert analytics.sending == SendingPolicy(3, 2, 4, -1, "frames", False, 5, True)


@pytest.mark.parametrize(
    ("mode", "type_", "kinds"),
    [
        (1, 1, Kinds.FACES),
        (1, 3, Kinds.FACES),
        (1, 4, Kinds.FACES),
        (2, 2, Kinds.BODIES),
        (2, 3, Kinds.BODIES),
        (2, 4, Kinds.BODIES),
        (3, 1, Kinds.FACES),
        (3, 2, Kinds.BODIES),
        (3, 3, Kinds.TOGETHER),
        (3, 4, Kinds.SEPARATELY),
    ],
)
def test_mode_and_type_say_together_what_is_sent(mode: int, type_: int, kinds: Kinds) -> None:
    [analytics] = plan_v2(mode=mode, sending={"bestshot_settings": {"type": type_}}).analytics
    assert (analytics.mode, analytics.kinds) == (mode, kinds)


@pytest.mark.parametrize(("mode", "full_frames"), [(1, Kinds.TOGETHER), (2, Kinds.TOGETHER), (3, Kinds.FACES)])
def test_full_frame_settings_are_for_humans_only(mode: int, full_frames: Kinds) -> None:
    [analytics] = plan_v2(mode=mode, sending={"full_frame_settings": 1}).analytics
    assert analytics.full_frames is full_frames


def test_of_several_healthchecks_that_of_the_first_enabled_analytics_counts() -> None:
    body = stream_v2("rtsp://cam/1", kind="tcp")
    first = body["data"]["analytics"][0]
    body["data"]["analytics"] = [
        first | {"enabled": False, "healthcheck": {"max_error_count": 1}},
        first | {"healthcheck": {"max_error_count": 2, "timeout": 700}},
        first | {"healthcheck": {"max_error_count": 3}},
    ]
    source = plan_v2(body).source
    assert (source.health.max_error_count, source.timeout_s) == (2, 0.7)


def test_v1_streams_name_their_platform() -> None:
    plan = plan_v1(stream_v1("/clip.mp4", "http://other:5000/"))
    [analytics] = plan.analytics
    assert analytics.target.url == f"http://other:5000/6/handlers/{HANDLER}/events"
    assert not plan.source.is_endless


def test_credentials_are_used_and_never_shown() -> None:
    body = stream_v2("rtsp://user:secret@cam/1", kind="tcp")
    body["data"]["analytics"][0]["event_handler"]["authorization"] = {"token": "jwt-secret"}
    plan = plan_v2(body)
    assert plan.source.reference == "rtsp://user:secret@cam/1"
    assert plan.source.shown_as == "rtsp://cam/1"
    assert plan.analytics[0].target.token == "jwt-secret"
    assert "secret" not in repr(plan)


def test_each_enabled_analytics_keeps_its_own_token() -> None:
    body = stream_v2("rtsp://cam/1", kind="tcp")
    first = body["data"]["analytics"][0]
    second = {**first, "event_handler": {**first["event_handler"], "authorization": {"token": "two"}}}
    body["data"]["analytics"] = [{**first, "enabled": False}, second]
    [analytics] = plan_v2(body).analytics
    assert analytics.target.token == "two"


@pytest.mark.parametrize(
    ("analytics", "text"),
    [
        pytest.param({"mode": 1, "sending": {"bestshot_settings": {"type": 2}}}, "mode 1", id="bodies of faces"),
        pytest.param({"mode": 2, "sending": {"bestshot_settings": {"type": 1}}}, "mode 2", id="faces of bodies"),
        pytest.param({"liveness": {"use_mask_liveness_filtration": True}}, "liveness model", id="liveness"),
        pytest.param({"liveness": {"use_flying_faces_liveness_filtration": True}}, "liveness model", id="flying faces"),
        pytest.param({"filtering": {"yaw_number": 101}}, "yaw_number", id="yaw number"),
        pytest.param({"enabled": False}, "no analytics", id="nothing enabled"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(analytics: Any, text: Any) -> None:
    with pytest.raises(UnsuitableStream, match=text):
        plan_v2(**analytics)


def test_gate_yaws_and_liveness_reach_their_place() -> None:
    checks = {
        "use_flying_faces_liveness_filtration": True,
        "liveness_mode": 1,
        "number_of_liveness_checks": 10,
        "liveness_threshold": 0.4,
        "livenesses_weights": [0.45, 0.5],
        "mask_backgrounds_count": 300,
    }
    [analytics] = plan_v2(
        platform=replace(PLATFORM, liveness_checks=frozenset({"flying_faces"})),
        filtering={"yaw_number": 5, "yaw_collection_mode": True, "mouth_occlusion_threshold": 0.3},
        primary_track_policy={
            "use_primary_track_policy": True,
            "best_shot_min_size": 50,
            "best_shot_proper_size": 90,
        },
        liveness=checks,
    ).analytics
    assert analytics.yaws == YawPolicy(5, True)
    assert analytics.face_filters.max_mouth_cover == 0.3
    assert analytics.primary == PrimaryPolicy(50, 90)
    assert analytics.liveness == LivenessPolicy({"flying_faces": 0.5}, 1, 10, 0.4, 300)


def test_of_three_weights_of_v1_the_first_is_ignored() -> None:
    body = stream_v1("/clip.mp4", "http://other:5000")
    body["policies"] = {
        "liveness": {
            "use_mask_liveness_filtration": True,
            "livenesses_weights": [9.0, 0.7, 0.8],
            "liveness_threshold": 0.6,
        }
    }
    platform = replace(PLATFORM, liveness_checks=frozenset({"mask"}))
    [analytics] = make_plan(v1.queued_stream({**body, "stream_id": STREAM_ID, "version": 1}), platform).analytics
    assert analytics.liveness is not None
    assert analytics.liveness.weights == {"mask": 0.7}


def test_liveness_that_nobody_could_pass_is_refused() -> None:
    with pytest.raises(UnsuitableStream, match=r"\(0\) do not exceed liveness_threshold 0\.6"):
        plan_v2(
            platform=replace(PLATFORM, liveness_checks=frozenset({"mask"})),
            liveness={"use_mask_liveness_filtration": True, "liveness_threshold": 0.6},
        )


def test_a_model_for_one_check_is_none_for_the_other() -> None:
    with pytest.raises(UnsuitableStream, match=r"task liveness_mask .*--extra-models-dir"):
        plan_v2(
            platform=replace(PLATFORM, liveness_checks=frozenset({"flying_faces"})),
            liveness={"use_mask_liveness_filtration": True, "livenesses_weights": [1, 0]},
        )


@pytest.mark.parametrize("mode", [2, 3])
def test_what_is_for_faces_only_has_no_effect_on_bodies(mode: int) -> None:
    [analytics] = plan_v2(
        mode=mode,
        sending={"bestshot_settings": {"type": 2}},
        primary_track_policy={"use_primary_track_policy": True},
        liveness={"use_mask_liveness_filtration": True},
    ).analytics
    assert (analytics.primary, analytics.liveness) == (None, None)


def test_a_gate_made_of_single_pictures_is_refused() -> None:
    body = stream_v2("folder", kind="images", primary_track_policy={"use_primary_track_policy": True})
    body["data"]["mask"] = "%04d.jpg"
    with pytest.raises(UnsuitableStream, match="not intended for sources of type images"):
        plan_v2(body)


def test_what_is_said_of_the_source_reaches_its_place() -> None:
    body = stream_v2("/pictures", kind="images")
    body["data"] |= {"mask": "%04d.jpg", "ffmpeg_threads_number": 3, "preferred_program_stream_frame_width": 1280}
    source = plan_v2(body).source
    assert (source.kind, source.mask, source.thread_count, source.preferred_width) == ("images", "%04d.jpg", 3, 1280)
    assert not source.is_live
    assert plan_v2(stream_v2("udp://239.0.0.1:5000", kind="udp")).source.is_live


@pytest.mark.parametrize(
    ("event_format", "resource"),
    [("events", "events"), ("stream_events", "stream_events"), ("stream_events_6_18", "stream_events")],
)
def test_the_setting_says_which_resource_of_a_handler_is_posted_to(event_format: Any, resource: str) -> None:
    [analytics] = plan_v2(platform=Platform("http://platform:5000/", 6, event_format=event_format)).analytics
    assert analytics.target.url == f"http://platform:5000/6/handlers/{HANDLER}/{resource}"
    assert analytics.target.format == event_format


@pytest.mark.parametrize("event_format", ["events", "stream_events"])
def test_a_webhook_is_sent_cloudevents_whatever_handlers_are_sent(event_format: Any) -> None:
    hook = a_webhook("https://hook:8443/a?b=c", authorization={"token": "jwt"})
    [analytics] = plan_v2(hook, platform=Platform(None, 6, event_format=event_format)).analytics
    target = analytics.target
    assert (target.format, target.url, target.token) == ("cloudevents", "https://hook:8443/a?b=c", "jwt")
    assert (target.origin, target.account_id) == ("https://hook:8443", ACCOUNT)


def test_a_token_is_sent_without_the_line_end_that_files_have() -> None:
    [analytics] = plan_v2(a_webhook(authorization={"token": "jwt\n"})).analytics
    assert analytics.target.token == "jwt"


@pytest.mark.parametrize("token", ["one\ntwo", "tökén", "a\x00b"])
def test_a_token_that_no_header_can_hold_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(UnsuitableStream, match="characters that no HTTP header can hold") as refused:
        plan_v2(a_webhook(authorization={"token": token}))
    assert token not in str(refused.value)


@pytest.mark.parametrize(
    "store", ["odd", "file:///frames", "http://", "http://[::1", "http://a:b", "http://a b/6/images"]
)
def test_a_frame_store_that_is_no_address_is_refused(store: str) -> None:
    with pytest.raises(UnsuitableStream, match="frame_store"):
        plan_v2(a_webhook(frame_store=store))


def a_webhook(url: str = "http://hook", **fields: Any) -> dict[str, Any]:
    return stream_v2("/clip.mp4", event_handler={"type": "cloudevents", "url": url} | fields)


@pytest.mark.parametrize(
    ("kind", "mode", "converts_full_frames", "longest_side"),
    [
        ("tcp", "full", False, 0),
        ("tcp", "scale", True, 480),
        ("tcp", "auto", True, 0),
        ("tcp", "auto", False, 480),
        ("videofile", "scale", True, 480),
        ("images", "scale", True, 0),
    ],
)
def test_frames_are_processed_in_full_or_scaled(
    kind: SourceType, mode: str, converts_full_frames: bool, longest_side: int
) -> None:
    body = stream_v2("rtsp://cam/1" if kind == "tcp" else "/media", kind=kind)
    body["data"] |= {"frame_processing_mode": mode} | ({"mask": "%d.jpg"} if kind == "images" else {})
    platform = replace(PLATFORM, scaled_side=480, converts_full_frames=converts_full_frames)
    assert plan_v2(body, platform).longest_side == longest_side


@pytest.mark.parametrize(
    ("platform", "text"), [(Platform(None, 6), "platform-origin"), (Platform("ftp://x", 6), "ftp://x")]
)
def test_a_stream_without_a_platform_says_so(platform: Any, text: Any) -> None:
    with pytest.raises(UnsuitableStream, match=text):
        plan_v2(platform=platform)
