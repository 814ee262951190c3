"""Operations on streams."""

from __future__ import annotations

from typing import Final

from luna_api_shim.errors import BadBody, BadQuery, QuotaExceeded, UnknownGroupName
from luna_api_shim.http.parameters import (
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
from luna_api_shim.operations import answers, examples
from luna_api_shim.operations.declaration import Answer, Body, Operation
from luna_api_shim.operations.examples import STREAM
from luna_streams.errors import CannotCancel, CannotPause, StreamNotFound
from luna_streams.rest.messages import StreamPatch, StreamsDelete
from luna_streams.rest.v1 import StreamToBeCreatedV1
from luna_streams.rest.v2 import StreamToBeCreatedV2
from luna_streams.stream import StreamState

_TAG: Final = "streams"
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
_UNKNOWN: Final = (BadQuery("account_id"), StreamNotFound(STREAM))

_NEW: Final = Body({1: StreamToBeCreatedV1, 2: StreamToBeCreatedV2}, examples.V1_BODIES, examples.V2_BODIES)

CREATE: Final = Operation(
    "createStream",
    _TAG,
    "create a stream",
    "Declares a stream. It waits in the queue until a worker takes it; with `status: pause` it waits until it is "
    "resumed. User and password in `reference`, and a token in `authorization`, are kept in a Secret and answered as "
    "they were sent.",
    parameters=(CONTENT_TYPE,),
    body=_NEW,
    answers=(
        Answer(
            201,
            "The stream exists.",
            answers.CreatedStream,
            {"stream_id": STREAM, "version": 1},
            headers={"Location": "Path of the stream."},
            links={"stream_id": ("getStream", "patchStream", "putStream", "removeStream")},
        ),
    ),
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
    answers=(
        Answer(
            200,
            "The streams of this page.",
            {1: answers.StreamsV1, 2: answers.StreamsV2},
            *examples.streams(StreamState.IN_PROGRESS),
        ),
    ),
    errors=(BadQuery("stream_ids"),),
)
COUNT: Final = Operation(
    "countStreams",
    _TAG,
    "count streams",
    "Counts the streams that a list with the same filters shows.",
    parameters=_FILTERS,
    answers=(Answer(200, "How many there are.", answers.StreamsCount, {"streams_count": 4}),),
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
        {"by_id": {"stream_ids": [STREAM]}, "by_name": {"names": ["front door", "back door"]}},
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
    answers=(
        Answer(
            200, "The stream.", {1: answers.StreamV1, 2: answers.StreamV2}, *examples.stream(StreamState.IN_PROGRESS)
        ),
    ),
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
        CannotPause(STREAM),
        CannotCancel(STREAM),
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
    answers=(
        Answer(
            200,
            "The stream is replaced.",
            answers.ReplacedStream,
            {"stream_id": STREAM, "version": 2},
            links={"stream_id": ("getStream", "patchStream", "removeStream")},
        ),
    ),
    errors=(
        BadBody("data.reference", "field required"),
        UnknownGroupName("entrances"),
        QuotaExceeded(),
        StreamNotFound(STREAM),
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
