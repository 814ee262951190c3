"""Operations on the log of streams."""

from __future__ import annotations

from typing import Final

from luna_api_shim.errors import BadQuery
from luna_api_shim.http.parameters import (
    ACCOUNT_ID,
    LOG_TARGETS,
    LOG_TIME_GTE,
    LOG_TIME_LT,
    PAGE,
    PAGE_SIZE,
    STATUSES,
    STREAM_IDS,
)
from luna_api_shim.operations import answers
from luna_api_shim.operations.declaration import Answer, Operation
from luna_api_shim.operations.examples import STREAM

_TAG: Final = "streams logs"
_ENTRY: Final = {
    "stream_id": STREAM,
    "status": "failure",
    "error": "Connection refused",
    "video_info": None,
    "log_time": "2026-03-30T12:41:07.250000Z",
    "version": 1,
    "preview": None,
}

LIST: Final = Operation(
    "getStreamsLogs",
    _TAG,
    "read the log",
    "Lists every status that streams took, the newest first, also those that last only a moment (`restart`, "
    "`handler_lost`) and the end of streams that are gone (`deleted`).",
    parameters=(ACCOUNT_ID, STREAM_IDS, STATUSES, LOG_TARGETS, LOG_TIME_LT, LOG_TIME_GTE, PAGE, PAGE_SIZE),
    answers=(Answer(200, "The entries of this page.", answers.Logs, {"logs": [_ENTRY]}),),
    errors=(BadQuery("log_time__lt"),),
)
DELETE: Final = Operation(
    "deleteStreamsLogs",
    _TAG,
    "delete old entries of the log",
    "Deletes the entries from before a time, or all of them; the last entry of each stream is kept.",
    parameters=(LOG_TIME_LT,),
    answers=(Answer(200, "How many are gone.", answers.DeletedLogs, {"deleted_count": 310}),),
    errors=(BadQuery("log_time__lt"),),
)
