"""Examples that several operations share: bodies of new streams, and what would be answered to them.

The answers are rendered as those of the service are, so they cannot be wrong in form.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from luna_api_shim.storage.rendering import RENDERERS
from luna_streams import lifecycle
from luna_streams.credentials import Credentials
from luna_streams.policies import Preview, PreviewUrl, VideoInfo
from luna_streams.rest.v2 import StreamToBeCreatedV2
from luna_streams.stream import ReadableState, Stream, StreamState

Json = dict[str, Any]

STREAM: Final = "019a2b1c-4d7e-7c3a-9b21-5f0e8d6c4a10"
ANOTHER: Final = "019a2b1c-52f0-7d11-8c64-0a9b7e3d2f58"
GROUP: Final = "a7d8fd45-0c1e-453d-ac05-3e594054b813"
ACCOUNT: Final = "8950722f-3fd4-4223-b48f-03f95f0e8dfb"
WORKER: Final = "http://10.0.3.7:34569/api/1/streams/preview"
TIME: Final = datetime(2026, 3, 30, 12, 40, tzinfo=UTC)

_HANDLER: Final = "12484e2d-1b7e-4f66-9e5c-2d8a0b6f3c71"
_PLATFORM: Final = "http://luna-platform:5000"
_HANDLER_V1: Final = {"origin": _PLATFORM, "api_version": 6, "bestshot_handler": {"handler_id": _HANDLER}}
_HANDLER_V2: Final = {
    "type": "luna_handler",
    "handler_id": _HANDLER,
    "frame_store": None,
    "authorization": {"account_id": ACCOUNT},
}
V1_BODIES: Final[dict[str, Json]] = {
    "camera": {
        "account_id": ACCOUNT,
        "name": "front door",
        "data": {"type": "tcp", "reference": "rtsp://camera-1.example.org:554/main", "rotation": 90},
        "event_handler": _HANDLER_V1 | {"frame_store": f"{_PLATFORM}/6/images"},
        "policies": {"filtering": {"min_score": 0.6}, "sending": {"number_of_bestshots_to_send": 2}},
        "location": {
            "city": "Porto",
            "street": "Rua das Flores",
            "geo_position": {"longitude": -8.61, "latitude": 41.14},
        },
        "autorestart": {"restart": 1, "attempt_count": 5, "delay": 30},
        "group_name": "entrances",
    },
    "file": {
        "account_id": ACCOUNT,
        "data": {"type": "videofile", "reference": "/recordings/monday.mp4"},
        "event_handler": _HANDLER_V1,
    },
    "pictures": {
        "account_id": ACCOUNT,
        "data": {"type": "images", "reference": "/recordings/monday", "mask": "frame_%05d.jpg"},
        "event_handler": _HANDLER_V1,
    },
}
V2_BODIES: Final[dict[str, Json]] = {
    "camera": {
        "account_id": ACCOUNT,
        "name": "front door",
        "data": {
            "type": "tcp",
            "reference": "rtsp://camera-1.example.org:554/main",
            "rotation": 90,
            "analytics": [
                {
                    "mode": 3,
                    "event_handler": _HANDLER_V2,
                    "droi": {"x": 10.0, "y": 0.0, "width": 80.0, "height": 100.0, "mode": "percent"},
                    "filtering": {"min_score_face": 0.6},
                }
            ],
        },
        "location": V1_BODIES["camera"]["location"],
        "autorestart": V1_BODIES["camera"]["autorestart"],
        "group_name": "entrances",
    },
    "file": {
        "account_id": ACCOUNT,
        "data": V1_BODIES["file"]["data"] | {"analytics": [{"mode": 1, "event_handler": _HANDLER_V2}]},
    },
    "pictures": {
        "account_id": ACCOUNT,
        "data": V1_BODIES["pictures"]["data"] | {"analytics": [{"mode": 2, "event_handler": _HANDLER_V2}]},
    },
}

VIDEO_INFO: Final = VideoInfo(width=1920, height=1080, frame_rate=25, bit_rate=4_000_000, gop_size=50, start_time=TIME)
PREVIEW: Final = Preview(
    live=PreviewUrl(url=f"{WORKER}/{STREAM}"), last_frame=PreviewUrl(url=f"{WORKER}/last/{STREAM}")
)


def stream(status: ReadableState) -> tuple[Json, Json]:
    """Return the stream of the first example in both versions."""
    spec = StreamToBeCreatedV2.from_rest(json.dumps(V2_BODIES["camera"])).to_submission("secret").spec
    spec = spec.model_copy(update={"groups": ("entrances",)})
    told: Json = {"status": status}
    if status != StreamState.PENDING:
        told |= {"video_info": VIDEO_INFO, "preview": PREVIEW}
    record = lifecycle.create(spec, TIME).record.model_copy(update=told)
    kept = Stream(namespace="", name=STREAM, uid="", resource_version="", create_time=TIME, spec=spec)
    first, second = (RENDERERS[api](kept, STREAM, record, Credentials()) for api in (1, 2))
    return first, second


def streams(status: ReadableState) -> tuple[Json, Json]:
    """Return a list of that stream in both versions."""
    first, second = stream(status)
    return {"streams": [first]}, {"streams": [second]}
