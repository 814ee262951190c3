"""Operations for workers: the queue and the feedback."""

from __future__ import annotations

from typing import Final

from luna_api_shim.errors import BadBody, BadQuery, BadToken, QueryIncomplete
from luna_api_shim.http.parameters import (
    CONTENT_TYPE,
    LIMIT,
    NAMES,
    QUEUE_GROUP_IDS,
    QUEUE_GROUP_NAMES,
    STREAM_IDS,
)
from luna_api_shim.operations import answers, examples
from luna_api_shim.operations.declaration import Answer, Body, Operation
from luna_api_shim.operations.examples import ANOTHER, STREAM
from luna_streams.rest.messages import FeedbackRequest, QueueRequest
from luna_streams.stream import StreamState

_TAG: Final = "queue"
_REPORT: Final = {"stream_id": STREAM, "version": 1, "error": None, "video_info": None}

LOOK: Final = Operation(
    "getStreamsQueue",
    _TAG,
    "look at the queue",
    "Shows the streams that wait for a worker, those that wait longest first, and leaves them where they are.",
    parameters=(LIMIT, STREAM_IDS, NAMES, QUEUE_GROUP_IDS, QUEUE_GROUP_NAMES),
    answers=(
        Answer(
            200,
            "The head of the queue.",
            {1: answers.QueueV1, 2: answers.QueueV2},
            *examples.streams(StreamState.PENDING),
        ),
    ),
    errors=(BadQuery("limit"), QueryIncomplete("limit")),
)
TAKE: Final = Operation(
    "getStreamsFromQueue",
    _TAG,
    "take streams from the queue",
    "Gives a worker up to `limit` streams that wait, and makes them `in_progress`: no other worker gets them. Within a "
    "filter any value may match, and every filter that is not empty must. From then on the worker reports each stream "
    "at least every few seconds; a stream of which nothing is heard for 20 s is given to another worker.\n\n"
    "A header `Prefer: wait=N` lets the request wait up to N seconds for the first stream.",
    parameters=(CONTENT_TYPE,),
    body=Body(
        QueueRequest,
        {
            "any": {"filters": {}, "limit": 8},
            "of_groups": {"filters": {"group_names": ["entrances", "lobby"]}, "limit": 2},
        },
    ),
    answers=(
        Answer(
            200,
            "The streams that now are the worker's.",
            {1: answers.TakenStreamsV1, 2: answers.TakenStreamsV2},
            *examples.streams(StreamState.IN_PROGRESS),
        ),
    ),
    errors=(BadBody("filters", "field required"), BadToken()),
)
FEEDBACK: Final = Operation(
    "postStreamsFeedback",
    _TAG,
    "report on streams",
    "Tells how the streams of a worker are doing. What the answer lists as `modified` was changed by somebody else "
    "meanwhile, or deleted, or given to another worker: the worker stops it at once and reports it no more.",
    parameters=(CONTENT_TYPE,),
    body=Body(
        FeedbackRequest,
        {
            "at_work": {
                "streams": [
                    _REPORT
                    | {
                        "status": "in_progress",
                        "video_info": examples.VIDEO_INFO.model_dump(mode="json", exclude_none=True),
                        "preview": examples.PREVIEW.to_rest(),
                    }
                ]
            },
            "failed": {"streams": [_REPORT | {"status": "failure", "error": "Connection refused"}]},
        },
    ),
    answers=(
        Answer(
            200,
            "Which streams go on, and which do not.",
            answers.FeedbackResult,
            {
                "streams": {
                    "modified": [{"stream_id": ANOTHER, "status": "not_found", "version": 0}],
                    "unmodified": [{"stream_id": STREAM, "status": "in_progress", "version": 1}],
                }
            },
        ),
    ),
    errors=(
        BadBody("streams", "field required"),
        BadBody("streams.0.preview.live.url", "URL host invalid"),
        BadToken(),
    ),
)
