"""Operations on streams."""

from __future__ import annotations

from typing import Any, Final

from luna_api_shim.errors import BadBody, BadQuery, QuotaExceeded, UnknownGroupName
from luna_api_shim.operations import answers
from luna_api_shim.operations.declaration import Answer, Body, Operation
from luna_api_shim.parameters import (
    ACCOUNT_ID,
    CONTENT_TYPE,
    CREATE_TIME_GTE,
    CREATE_TIME_LT,
    GROUP_NAME,
    NAMES,
    ORDER,
    PAGE,
    PAGE_SIZE,
    REFERENCE,
    STATUSES,
    STREAM_ID,
    STREAM_ID_GTE,
    STREAM_ID_LT,
    STREAM_IDS,
)
from luna_streams.errors import CannotCancel, CannotPause, StreamNotFound
from luna_streams.rest.messages import StreamPatch, StreamsDelete
from luna_streams.rest.v1 import StreamToBeCreatedV1
from luna_streams.rest.v2 import StreamToBeCreatedV2

_TAG: Final = "streams"
_STREAM: Final = "019a2b1c-4d7e-7c3a-9b21-5f0e8d6c4a10"
_ACCOUNT: Final = "8950722f-3fd4-4223-b48f-03f95f0e8dfb"
_HANDLER: Final = "12484e2d-1b7e-4f66-9e5c-2d8a0b6f3c71"
_PLATFORM: Final = "http://luna-platform:5000"
_FILTERS: Final = (
    ACCOUNT_ID,
    STREAM_IDS,
    STREAM_ID_GTE,
    STREAM_ID_LT,
    NAMES,
    REFERENCE,
    STATUSES,
    CREATE_TIME_GTE,
    CREATE_TIME_LT,
    GROUP_NAME,
)
_UNKNOWN: Final = (BadQuery("account_id"), StreamNotFound(_STREAM))

_HANDLER_V1: Final = {"origin": _PLATFORM, "api_version": 6, "bestshot_handler": {"handler_id": _HANDLER}}
_HANDLER_V2: Final = {"handler_id": _HANDLER, "frame_store": None, "authorization": {"account_id": _ACCOUNT}}
_V1: Final[dict[str, Any]] = {
    "camera": {
        "account_id": _ACCOUNT,
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
        "account_id": _ACCOUNT,
        "data": {"type": "videofile", "reference": "/recordings/monday.mp4"},
        "event_handler": _HANDLER_V1,
    },
    "pictures": {
        "account_id": _ACCOUNT,
        "data": {"type": "images", "reference": "/recordings/monday", "mask": "frame_%05d.jpg"},
        "event_handler": _HANDLER_V1,
    },
}
_V2: Final[dict[str, Any]] = {
    "camera": {
        "account_id": _ACCOUNT,
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
        "location": _V1["camera"]["location"],
        "autorestart": _V1["camera"]["autorestart"],
        "group_name": "entrances",
    },
    "file": {
        "account_id": _ACCOUNT,
        "data": _V1["file"]["data"] | {"analytics": [{"mode": 1, "event_handler": _HANDLER_V2}]},
    },
    "pictures": {
        "account_id": _ACCOUNT,
        "data": _V1["pictures"]["data"] | {"analytics": [{"mode": 2, "event_handler": _HANDLER_V2}]},
    },
}
_NEW: Final = Body({1: StreamToBeCreatedV1, 2: StreamToBeCreatedV2}, _V1, _V2)

CREATE: Final = Operation(
    "createStream",
    _TAG,
    "create a stream",
    "Declares a stream. It waits in the queue until a worker takes it; with `status: pause` it waits until it is "
    "resumed. User and password in `reference`, and a token in `authorization`, are kept in a Secret and answered as "
    "they were sent.",
    parameters=(CONTENT_TYPE,),
    body=_NEW,
    answers=(Answer(201, "The stream exists.", answers.CreatedStream, headers={"Location": "Path of the stream."}),),
    errors=(
        BadBody("status", "unexpected value; permitted: 'pending', 'pause'"),
        UnknownGroupName("entrances"),
        QuotaExceeded(),
    ),
)
LIST: Final = Operation(
    "getStreams",
    _TAG,
    "list streams",
    "Lists streams, the oldest first. Within a list of values any may match, and every filter must. Arrays come "
    "separated by commas, as repeated keys, or both.",
    parameters=(*_FILTERS, ORDER, PAGE, PAGE_SIZE),
    answers=(Answer(200, "The streams of this page.", {1: answers.StreamsV1, 2: answers.StreamsV2}),),
    errors=(BadQuery("stream_ids"),),
)
COUNT: Final = Operation(
    "countStreams",
    _TAG,
    "count streams",
    "Counts the streams that a list with the same filters shows.",
    parameters=_FILTERS,
    answers=(Answer(200, "How many there are.", answers.StreamsCount),),
    errors=(BadQuery("stream_ids"),),
)
DELETE_MATCHING: Final = Operation(
    "deleteStreams",
    _TAG,
    "delete several streams",
    "Deletes the streams with one of the ids or one of the names; those that do not exist are passed over. Their log "
    "stays.",
    parameters=(ACCOUNT_ID,),
    body=Body(
        StreamsDelete,
        {"by_id": {"stream_ids": [_STREAM]}, "by_name": {"names": ["front door", "back door"]}},
    ),
    answers=(Answer(204, "None of them exists any more."),),
    errors=(
        BadBody("", "Additional properties are not allowed ('name' was unexpected)"),
        BadQuery("account_id"),
    ),
)
READ: Final = Operation(
    "getStream",
    _TAG,
    "read a stream",
    "Reads a stream by its id: what was asked for, and what became of it.",
    parameters=(STREAM_ID, ACCOUNT_ID),
    answers=(Answer(200, "The stream.", {1: answers.StreamV1, 2: answers.StreamV2}),),
    errors=_UNKNOWN,
)
PATCH: Final = Operation(
    "patchStream",
    _TAG,
    "describe, resume, pause or cancel a stream",
    "Changes the description of a stream, or its status, or both. `pending` puts it into the queue again, `pause` "
    "takes it away from its worker until it is resumed, `cancel` ends it. A file that is being processed cannot be "
    "paused, and what is finished cannot be cancelled. The version stays.",
    parameters=(STREAM_ID, ACCOUNT_ID, CONTENT_TYPE),
    body=Body(
        StreamPatch,
        {"pause": {"status": "pause"}, "describe": {"description": "Repainted in May.", "status": "pending"}},
    ),
    answers=(Answer(204, "The stream is changed."),),
    errors=(
        BadBody("", "at least one field must have a value"),
        CannotPause(_STREAM),
        CannotCancel(_STREAM),
        QuotaExceeded(),
        *_UNKNOWN,
    ),
)
PUT: Final = Operation(
    "putStream",
    _TAG,
    "replace a stream",
    "Gives a stream all its data anew, as if it were created now; what is left out takes its default. The version "
    "grows by one, so the worker that has the stream stops it, and it waits in the queue again.",
    parameters=(STREAM_ID, CONTENT_TYPE),
    body=_NEW,
    answers=(Answer(200, "The stream is replaced.", answers.ReplacedStream),),
    errors=(
        BadBody("data.reference", "field required"),
        UnknownGroupName("entrances"),
        QuotaExceeded(),
        StreamNotFound(_STREAM),
    ),
)
DELETE: Final = Operation(
    "removeStream",
    _TAG,
    "delete a stream",
    "Deletes a stream. The worker that has it is told with its next report. The log stays.",
    parameters=(STREAM_ID, ACCOUNT_ID),
    answers=(Answer(204, "The stream is gone."),),
    errors=_UNKNOWN,
)
