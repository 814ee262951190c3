"""A bound for request bodies, whatever their Content-Length says."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from luna_local.inbox.errors import error_response, too_large

DEFAULT_MAX_BYTES = 64 * 1024 * 1024
# A client reads the refusal only after it has sent its body; so much more of it is taken and thrown away.
_DISCARDED_FACTOR = 8


class BodyLimit:
    """Reads each body as a whole before the application sees the request; a larger one is answered with 413."""

    def __init__(self, app: ASGIApp, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chunks: list[bytes] = []
        size, more = 0, True
        while more and size <= self._max_bytes * _DISCARDED_FACTOR:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunk, more = message.get("body", b""), message.get("more_body", False)
            size += len(chunk)
            chunks.append(chunk)
            if size > self._max_bytes:
                chunks.clear()
        if size <= self._max_bytes:
            await self._app(scope, _Replay(b"".join(chunks), receive), send)
            return
        response = error_response(too_large(self._max_bytes))
        response.headers["Connection"] = "close"
        await response(scope, receive, send)


class _Replay:
    """Gives the application the body in one piece, then what the server says (that the client went away)."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
