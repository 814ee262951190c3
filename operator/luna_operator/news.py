"""What kopf gets to see of the API server's answers: what the operator does not know already.

Most of what a watch tells an operator is the echo of its own writes, and the list that kopf begins with was read a
moment before. Of each object kopf makes a task, a dozen objects and a call into our thread: in a profile its thread had
two thirds of the time of the process. Therefore its session leaves out of lists and watches what is known already.

What is not understood here goes to kopf as it is. Deletions always do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any, Final, cast

import aiohttp
import orjson

Json = dict[str, Any]
IsKnown = Callable[[Json], bool]
"""Tells whether an object is known in this version or a newer one; called in kopf's thread."""

_GATHERING_S: Final = 0.025
"""How long changes are kept back: the echo of a write is often faster than the answer, which makes it known."""


def leaving_out(is_known: Callable[[str, Json], bool], on_list: Callable[[str], None]) -> aiohttp.ClientMiddlewareType:
    """Return what leaves known objects out of the answers of a session that lists and watches.

    Args:
        is_known: takes the path of the collection, too.
        on_list: called with the path of a collection when the first page of a list is here: what is listed from then
            on is newer.
    """

    async def leave_out(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        response = await send(request)
        if request.method == "GET" and response.status == HTTPStatus.OK:
            path, query = request.url.path, request.url.query
            if "watch" not in query and "continue" not in query:
                on_list(path)
            news = _News(response.content, lambda obj: is_known(path, obj))
            response.content = cast(aiohttp.StreamReader, news)
        return response

    return leave_out


class _News:
    """The body of an answer, without what is known; the rest of its methods are those of the body.

    Args:
        body: as it comes from the server: one list if it is read whole, one event per line if it is read in chunks.
        is_known: see above.
    """

    def __init__(self, body: aiohttp.StreamReader, is_known: IsKnown) -> None:
        self._body = body
        self._is_known = is_known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    async def read(self, n: int = -1) -> bytes:
        """Read the list."""
        return without_known(await self._body.read(n), self._is_known)

    async def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        """Yield whole lines of the watch, as they come."""
        rest = b""
        async for chunk in self._body.iter_chunked(n):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            if lines:
                await asyncio.sleep(_GATHERING_S)
                if news := [line for line in lines if not is_known_event(line, self._is_known)]:
                    yield b"\n".join([*news, b""])


def without_known(body: bytes, is_known: IsKnown) -> bytes:
    """Return a list without the objects that are known."""
    try:
        page = orjson.loads(body)
        items = [item for item in page["items"] if not is_known(item)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body
    return orjson.dumps({**page, "items": items})


def is_known_event(line: bytes, is_known: IsKnown) -> bool:
    """Tell whether an event of a watch tells nothing new."""
    try:
        event = orjson.loads(line)
        return event["type"] in ("ADDED", "MODIFIED") and is_known(event["object"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False
