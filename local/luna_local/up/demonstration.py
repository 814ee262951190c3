"""The demonstration: one stream, made as any client would make it, over the REST API."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

from luna_local.up.errors import UpError

# Made up once; LUNA PLATFORM would know the account and the handler, the inbox takes any.
ACCOUNT_ID = "6d071cca-fda5-4a03-84d5-5bea65904480"
HANDLER_ID = "557d54ec-29ad-4f3c-93b4-c9092ef12515"

_TIMEOUT_S = 30.0


def check_clip(clip: Path) -> None:
    """Find out early whether a video file can be read at all.

    Raises:
        UpError: if it is not there, or may not be read. Whether it is a video is for the processor to say.
    """
    if not clip.is_file():
        raise UpError(f"there is no video file {clip}")
    if not os.access(clip, os.R_OK):
        raise UpError(f"the video file {clip} may not be read by this user")


async def post_stream(rest: str, clip: Path) -> str:
    """Make a stream of a video file; return its id.

    Raises:
        UpError: if the REST API refuses it.
    """
    analytics = {
        "mode": 1,
        "event_handler": {
            "handler_id": HANDLER_ID,
            "frame_store": None,
            "authorization": {"account_id": ACCOUNT_ID},
        },
    }
    body = {
        "account_id": ACCOUNT_ID,
        "name": f"demo {clip.stem}"[:128],
        "data": {"type": "videofile", "reference": str(clip), "analytics": [analytics]},
    }
    try:
        async with httpx.AsyncClient(base_url=rest, timeout=_TIMEOUT_S, trust_env=False) as client:
            answer = await client.post("/2/streams", json=body)
    except httpx.HTTPError as e:
        raise UpError(f"the REST API at {rest} does not answer: {e}") from e
    if answer.status_code != httpx.codes.CREATED:
        raise UpError(f"the REST API refuses the stream of {clip}: {_detail(answer)}")
    stream_id: str = answer.json()["stream_id"]
    return stream_id


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
