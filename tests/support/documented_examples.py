"""The request examples of the API document, kept here so that they are replayed where there is no copy of it.

The four of each version differ in few places. Tokens are shortened; `tests/contract/test_documented_examples.py`
compares the rest with the document.
"""

from __future__ import annotations

import copy
from typing import Any, Final

Json = dict[str, Any]

GROUP: Final = "hd_stream_2"
TOKEN: Final = "eyJ0eXAiOiJKV1QiLC"

_WHOLE: Final = {"x": 0, "y": 0, "width": 0, "height": 0, "mode": "abs"}
_LOCATION: Final = {
    "city": "Moscow",
    "area": "Central",
    "district": "Basmanny",
    "street": "Podsosensky lane",
    "house_number": "23 bldg.3",
    "geo_position": {"longitude": 36.616, "latitude": 55.752},
}
_SOURCES: Final[dict[str, Json]] = {
    "type_tcp_udp": {"type": "tcp", "reference": "rtsp://some_stream_address"},
    "type_tcp_udp_usb": {"type": "tcp", "reference": "/dev/video0"},
    "type_videofile": {"type": "videofile", "reference": "/example/path/to/video/video.mp4"},
    "type_images": {"type": "images", "reference": "/example/path/to/images/", "mask": "example1_%04d.jpg"},
}
_DESCRIPTIONS: Final = {
    "type_tcp_udp": "Stream with tcp stream type",
    "type_tcp_udp_usb": "Stream with tcp stream type with usb device",
    "type_videofile": "Stream with videofile stream type",
    "type_images": "Stream with images stream type",
}
_V1: Final[Json] = {
    "account_id": "557d54ec-29ad-4f3c-93b4-c9092ef12515",
    "name": "Stream 1",
    "event_handler": {
        "origin": "http://127.0.0.1:5000",
        "api_version": 6,
        "bestshot_handler": {"handler_id": "ee4c42b6-23ae-410e-a2aa-a4220e64ba4b"},
        "detection_handler": {"handler_id": "426542d6-5509-4e5b-8a01-e2abd5c0a8c6"},
        "frame_store": "http://127.0.0.1:5020/1/buckets/frames/images",
        "authorization": {"token": TOKEN},
    },
    "policies": {
        "sending": {
            "time_period_of_searching": -1,
            "silent_period": 0,
            "type": "sec",
            "number_of_bestshots_to_send": 1,
            "send_only_full_set": True,
            "delete_track_after_sending": False,
        },
        "primary_track_policy": {
            "use_primary_track_policy": False,
            "best_shot_min_size": 70,
            "best_shot_proper_size": 140,
        },
        "liveness": {
            "use_shoulders_liveness_filtration": False,
            "use_mask_liveness_filtration": False,
            "use_flying_faces_liveness_filtration": False,
            "liveness_mode": 0,
            "number_of_liveness_checks": 10,
            "liveness_threshold": 0.6,
            "livenesses_weights": [0.05, 0.45, 0.5],
            "mask_backgrounds_count": 300,
        },
        "filtering": {
            "min_score": 0.5187,
            "detection_yaw_threshold": 40,
            "detection_pitch_threshold": 40,
            "detection_roll_threshold": 30,
            "yaw_number": 1,
            "yaw_collection_mode": False,
            "mouth_occlusion_threshold": 0.1,
            "min_body_size_threshold": 0.1,
        },
        "frame_processing_mode": "auto",
        "real_time_mode_fps": 0,
        "ffmpeg_threads_number": 0,
        "healthcheck": {"max_error_count": 10, "period": 3600, "retry_delay": 5, "timeout": 123},
    },
    "location": _LOCATION,
    "autorestart": {"restart": 0, "attempt_count": 10, "delay": 60},
    "status": "pending",
    "group_name": GROUP,
}
_ANALYTICS: Final[Json] = {
    "mode": 3,
    "enabled": True,
    "droi": _WHOLE,
    "filtering": {
        "detection_pitch_threshold": 40,
        "detection_roll_threshold": 30,
        "detection_yaw_threshold": 40,
        "min_body_size_threshold": 250,
        "min_score_face": 0.5187,
        "min_score_body": 0.5,
        "mouth_occlusion_threshold": 0,
        "yaw_collection_mode": False,
        "yaw_number": 1,
    },
    "liveness": {
        "liveness_mode": 1,
        "liveness_threshold": 0.6,
        "livenesses_weights": [0.45, 0.5],
        "mask_backgrounds_count": 300,
        "number_of_liveness_checks": 10,
        "use_flying_faces_liveness_filtration": True,
        "use_mask_liveness_filtration": True,
    },
    "primary_track_policy": {
        "best_shot_min_size": 70,
        "best_shot_proper_size": 140,
        "use_primary_track_policy": False,
    },
    "sending": {
        "body": {"send_only_full_set": True, "delete_track_after_sending": True},
        "silent_period": 0,
        "time_period_of_searching": -1,
        "full_frame_settings": 1,
        "type": "sec",
        "bestshot_settings": {"face_bestshots_to_send": 1, "body_bestshots_to_send": 1},
    },
    "event_handler": {
        "type": "luna_handler",
        "handler_id": "0b61258c-434f-45d6-964f-2131e58cd58c",
        "frame_store": "http://127.0.0.1:5020/1/buckets/frames/images",
        "authorization": {"token": TOKEN},
    },
}
_V2: Final[Json] = {
    "account_id": "d00e78dd-b91e-4686-866c-d69a493e5b5f",
    "name": "http video test stream",
    "description": "http video test stream",
    "location": _LOCATION,
    "group_name": GROUP,
    "status": "pending",
}
_DECODING: Final = {"frame_processing_mode": "auto", "real_time_mode_fps": 0, "ffmpeg_threads_number": 0}


def new_streams(api: int) -> dict[str, Json]:
    """Return the examples of POST /streams by their names."""
    return {name: copy.deepcopy(_new_stream_v1(name) if api == 1 else _new_stream_v2(name)) for name in _SOURCES}


def _new_stream_v1(name: str) -> Json:
    data = _SOURCES[name] | {"roi": _WHOLE, "droi": _WHOLE, "rotation": 0, "preferred_program_stream_frame_width": 800}
    if data["type"] == "tcp":
        data["endless"] = True
    return _V1 | {"description": _DESCRIPTIONS[name], "data": data}


def _new_stream_v2(name: str) -> Json:
    return _V2 | {"data": _SOURCES[name] | _DECODING | {"analytics": [_ANALYTICS], "roi": _WHOLE, "rotation": 0}}


def command_line_sample() -> Json:
    """Return the body of the curl sample of version 2, which has regions as arrays and no group."""
    array = [0, 0, 0, 0]
    sending = _ANALYTICS["sending"]
    settings = {"type": 1, "face_bestshots_to_send": 1, "body_bestshots_to_send": 1}
    handler = _ANALYTICS["event_handler"] | {"frame_store": "http://127.0.0.1:5000/6/images"}
    item = _ANALYTICS | {"mode": 1, "droi": array, "event_handler": handler}
    item |= {"sending": sending | {"bestshot_settings": settings}}
    source = {"type": "tcp", "reference": "rtsp://dev02.vlabs:5554/video"}
    data = source | _DECODING | {"analytics": [item], "roi": array, "rotation": 0}
    body = copy.deepcopy(_V2 | {"data": data})
    del body["group_name"]
    return body


PATCH: Final = {"description": "Cancelled stream description.", "status": "cancel"}
NEW_GROUP: Final = {
    "account_id": "ee4c42b6-23ae-410e-a2aa-a4220e64ba4b",
    "group_name": "stream_group-1",
    "description": "default stream group",
}
GROUP_PATCH: Final = {"description": "old stream group"}
