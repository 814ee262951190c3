"""The command `luna-streams check`: asks a running installation whether it works, as `helm test` does.

It asks the shim and, where it is told of one, the operator whether they are ready, then makes a stream by REST that no
worker takes (paused), reads it and takes it away. Each step is one line; the first that fails ends the check.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from importlib.metadata import version
from typing import Any, Final

import httpx

from luna_api_shim.certificates import trusted

_TIMEOUT_S: Final = 10.0
_RETRY_S: Final = 1.0
_ACCOUNT: Final = "00000000-0000-4000-8000-000000000000"
_HANDLER: Final = "00000000-0000-4000-8000-000000000001"
_NAME: Final = "luna-streams check"


class Failed(Exception):
    """A step did not come to what it should; the text says what came instead."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 if everything works, else 1 after a line that says what does not."""
    arguments = _parser().parse_args(argv)
    try:
        asyncio.run(check(arguments.streams_origin, arguments.operator_origin, arguments.timeout))
    except Failed as e:
        print(f"luna-streams check: {e}", file=sys.stderr)
        return 1
    return 0


async def check(streams_origin: str, operator_origin: str | None, timeout_s: float) -> None:
    """Go through all steps.

    Args:
        streams_origin: address of the shim.
        operator_origin: address of the operator's health port; None leaves it out.
        timeout_s: how long each of them may take to become ready.

    Raises:
        Failed: at the first step that fails.
    """
    async with httpx.AsyncClient(
        base_url=streams_origin, timeout=_TIMEOUT_S, verify=trusted(), trust_env=False
    ) as shim:
        await _until_ready("the shim", f"{streams_origin}/readyz", shim, timeout_s)
        if operator_origin is not None:
            await _until_ready("the operator", f"{operator_origin}/readyz", shim, timeout_s)
        told = await _ask("GET", "/version", shim)
        _say("the REST API is that of LUNA Streams {major}.{minor}.{patch}".format_map(told["Version"]))
        await _try_stream(shim)


async def _try_stream(shim: httpx.AsyncClient) -> None:
    """Make a paused stream, read it, and delete it whatever happened."""
    made = await _ask("POST", "/2/streams", shim, json=STREAM)
    stream_id = made["stream_id"]
    try:
        read = await _ask("GET", f"/2/streams/{stream_id}", shim)
        if (read["name"], read["status"]) != (_NAME, "pause"):
            raise Failed(f"stream {stream_id} was made paused, and is read as {read['status']}")
        _say("a stream was made and read")
    finally:
        await _ask("DELETE", f"/2/streams/{stream_id}", shim)
    _say("and deleted")


async def _until_ready(who: str, url: str, client: httpx.AsyncClient, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            await _ask("GET", url, client)
        except Failed as e:
            if time.monotonic() >= deadline:
                raise Failed(f"{who} is not ready: {e}") from e
            await asyncio.sleep(_RETRY_S)
        else:
            return _say(f"{who} is ready")


async def _ask(method: str, url: str, client: httpx.AsyncClient, json: object = None) -> dict[str, Any]:
    """Send a request; return the body of the answer, empty if it is no JSON object."""
    try:
        answer = await client.request(method, url, json=json)
    except httpx.HTTPError as e:
        raise Failed(f"{method} {url}: {e or type(e).__name__}") from e
    if not answer.is_success:
        raise Failed(f"{method} {url}: {answer.status_code} {answer.text[:500]}")
    if not answer.headers.get("Content-Type", "").startswith("application/json"):
        return {}
    body = answer.json()
    return body if isinstance(body, dict) else {}


def _say(what: str) -> None:
    print(what, flush=True)


STREAM: Final = {
    "account_id": _ACCOUNT,
    "name": _NAME,
    "description": f"made by luna-streams check of {version('luna-streams-operator')}; may be deleted",
    "status": "pause",
    "data": {
        "type": "tcp",
        "reference": "rtsp://camera.invalid/check",
        "analytics": [
            {
                "event_handler": {
                    "handler_id": _HANDLER,
                    "frame_store": None,
                    "authorization": {"account_id": _ACCOUNT},
                }
            }
        ],
    },
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="luna-streams check",
        description="Asks a running installation whether it works: makes a stream that no worker takes, reads it,"
        " deletes it.",
    )
    parser.add_argument("--streams-origin", default="http://127.0.0.1:5160", metavar="URL", help="address of the shim")
    parser.add_argument("--operator-origin", metavar="URL", help="address of the operator's health port")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="to become ready; default 60")
    return parser


if __name__ == "__main__":
    sys.exit(main())
