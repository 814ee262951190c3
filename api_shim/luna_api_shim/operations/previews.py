"""Operations that show pictures of a stream."""

from __future__ import annotations

from typing import Final

from luna_api_shim.errors import BadQuery, NoPreview, PreviewFailed
from luna_api_shim.http.parameters import ACCOUNT_ID, STREAM_ID
from luna_api_shim.operations.declaration import Answer, Operation
from luna_api_shim.operations.examples import STREAM
from luna_streams.errors import StreamNotFound

_TAG: Final = "preview"

FRAME: Final = Operation(
    "previewFrameProxy",
    _TAG,
    "get the last frame",
    "Fetches the last frame of a stream from the worker that processes it.",
    parameters=(STREAM_ID, ACCOUNT_ID),
    answers=(Answer(200, "The picture.", texts={"image/jpeg": "One JPEG."}),),
    errors=(
        BadQuery("account_id"),
        StreamNotFound(STREAM),
        NoPreview(STREAM),
        PreviewFailed("Connection refused"),
    ),
)
LIVE: Final = Operation(
    "previewLiveProxy",
    _TAG,
    "watch live",
    "Passes on the live picture of a stream from the worker that processes it, as long as the client listens.",
    parameters=(STREAM_ID, ACCOUNT_ID),
    answers=(
        Answer(
            200, "Pictures without end.", texts={"multipart/x-mixed-replace": "MotionJPEG: one JPEG after another."}
        ),
    ),
    errors=(
        BadQuery("account_id"),
        StreamNotFound(STREAM),
        NoPreview(STREAM),
        PreviewFailed("Connection refused"),
    ),
)
