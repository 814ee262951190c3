"""HTTP below the application: what cannot be parsed is refused in the documented form, too.

uvicorn answers such requests itself, in plain text, before the application hears of them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from luna_api_shim.errors import BadRequest
from luna_api_shim.http.replies import error_body, error_form
from luna_api_shim.http.request_ids import HEADER, request_id

LONGEST_HEAD: Final = 256 * 1024
"""Bytes of a request's first line and headers; the parser itself would collect them without end."""
_TOO_LONG: Final = "the headers are too long"


class DocumentedHttp(HttpToolsProtocol):
    """One connection of a client."""

    _is_in_head = False
    _head_bytes = 0
    """Of the lines of the head that are complete."""
    _open_bytes = 0
    """Of a head that has not ended yet, from the second piece that was received."""

    def data_received(self, data: bytes) -> None:
        """Feed the parser; refuse a head that does not end."""
        was_in_head = self._is_in_head
        super().data_received(data)
        if not (was_in_head and self._is_in_head):
            self._open_bytes = 0
            return
        self._open_bytes += len(data)
        if self._open_bytes > LONGEST_HEAD and not self.transport.is_closing():
            self._refuse(_TOO_LONG)

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a whole header.

        Raises:
            ValueError: the head is too long; the parser stops, and calls `send_400_response`.
        """
        self._head_bytes += len(name) + len(value) + len(": \r\n")
        if self._head_bytes > LONGEST_HEAD:
            raise ValueError(_TOO_LONG)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note that it ended."""
        self._is_in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(_TOO_LONG if self._head_bytes > LONGEST_HEAD else "it cannot be parsed")

    def _refuse(self, message: str) -> None:
        error = BadRequest(message)
        form = error_form(error)
        body = orjson.dumps(error_body(form, str(error)))
        head = (
            f"HTTP/1.1 {form.status} {HTTPStatus(form.status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"{HEADER.lower()}: {request_id(None)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
