"""Requests and responses: the thin layer between ASGI and the routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl

import orjson

from luna_local.apiserver import protobuf
from luna_local.apiserver.documents import decode_json, decode_yaml
from luna_local.apiserver.errors import ApiError, bad_request, too_large, unsupported_media_type

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# kube-apiserver's own bound.
MOST_BODY_BYTES = 3 * 2**20
_READ_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
# A client that takes nothing for so long is gone.
SEND_TIMEOUT_S = 60.0


class ClientGoneError(Exception):
    """The client closed the connection, or takes nothing any more."""


class Request:
    """One HTTP request."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: dict[str, str] = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self._receive = receive

    def header(self, name: str) -> str:
        """Return a header (its name in lower case), or an empty text."""
        return self.headers.get(name, "")

    def flag(self, name: str) -> bool:
        """Return a yes-or-no parameter."""
        return self.query.get(name, "").lower() in ("true", "1", "t")

    @property
    def media_type(self) -> str:
        """The type of the body, without parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            ApiError: 413 when it is too large.
        """
        parts, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > MOST_BODY_BYTES:
                raise too_large(MOST_BODY_BYTES)
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)

    async def document(self) -> Any:
        """Return what the body says: JSON, YAML or one of the protobuf kinds; None if it is empty.

        Raises:
            ApiError: 400, 413 or 415.
        """
        media_type, raw = self.media_type, await self.body()
        if not raw:
            return None
        if media_type == "application/vnd.kubernetes.protobuf":
            return protobuf.decode(raw)
        if media_type == "application/yaml":
            return decode_yaml(raw)
        if media_type in ("", "application/json"):
            return decode_json(raw)
        raise unsupported_media_type(media_type, _READ_TYPES)

    async def mapping(self) -> dict[str, Any]:
        """Return the body, which must be an object; an empty one if there is no body.

        Raises:
            ApiError: as `document`, 400 when it is something else.
        """
        found = await self.document()
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise bad_request("the body of the request is not an object")
        return found

    async def until_gone(self) -> None:
        """Return when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class Response:
    """A whole answer."""

    def __init__(
        self,
        body: Any,
        code: int = 200,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        warnings: list[str] | None = None,
    ) -> None:
        self._body = body if isinstance(body, bytes) else orjson.dumps(body)
        self._code = code
        self._headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(self._body)).encode()),
            *((name.encode(), value.encode()) for name, value in (headers or {}).items()),
            *((b"warning", _warning(text)) for text in (warnings or [])[:20]),
        ]

    async def send(self, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self._code, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


class Stream:
    """An answer that goes on: its chunks are sent as they come, until they end or the client is gone.

    Args:
        chunks: what to send.
        request: whose connection is watched.
        content_type: of the chunks.
        stopping: set when the server stops; the answer ends then.
    """

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], request: Request, content_type: str, stopping: asyncio.Event
    ) -> None:
        self._chunks = chunks
        self._request = request
        self._content_type = content_type
        self._stopping = stopping

    async def send(self, send: Send) -> None:
        """Send the chunks; return when it is over, for whatever reason."""
        headers = [(b"content-type", self._content_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        pump = asyncio.ensure_future(self._pump(send))
        others = [asyncio.ensure_future(each) for each in (self._request.until_gone(), self._stopping.wait())]
        try:
            await asyncio.wait((pump, *others), return_when=asyncio.FIRST_COMPLETED)
            is_whole = pump.done()
        finally:
            for task in (pump, *others):
                task.cancel()
            results = await asyncio.gather(pump, *others, return_exceptions=True)
        if is_whole and isinstance(results[0], Exception):
            raise results[0]
        if not is_whole and self._stopping.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        async with aclosing(self._chunks):
            async for chunk in self._chunks:
                await _send_in_time(send, {"type": "http.response.body", "body": chunk, "more_body": True})
        await _send_in_time(send, {"type": "http.response.body", "body": b"", "more_body": False})


async def _send_in_time(send: Send, message: Message) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await send(message)
    except TimeoutError as error:
        raise ClientGoneError from error


def _warning(text: str) -> bytes:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    printable = "".join(char if char.isprintable() else "?" for char in quoted)
    return f'299 - "{printable}"'.encode("latin-1", errors="replace")[:1000]


def failure(error: ApiError) -> Response:
    """Return the answer that tells of an error."""
    retry = error.details.get("retryAfterSeconds")
    return Response(error.status(), error.code, headers={"retry-after": str(retry)} if retry else None)
