"""Speak to LUNA Streams as a worker does: take streams from the queue, report about them.

The documented protocol, so a genuine LUNA Streams is as good as ours. What only ours understands (`Prefer: wait`,
`Luna-Worker-Id`, `Luna-Worker-Handlers`, `Luna-Received-Until`, the pod's token) travels in headers that others ignore.
"""

from __future__ import annotations

import functools
import logging
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, get_args

import httpx
from pydantic import Field, SecretStr, ValidationError

from luna_processor.delivery.events import new_request_id
from luna_processor.errors import ReportRefused, ServerUnavailable
from luna_processor.http_reason import reason_of
from luna_processor.server.http_line import HttpLine
from luna_streams.model import INT32_MAX, Model, Uuid
from luna_streams.rest import v1, v2
from luna_streams.rest.messages import FeedbackAnswer, FeedbackItem, FeedbackStreams, QueueFilters
from luna_streams.rest.submission import QueuedStream
from luna_streams.stream import MODE_FACES, EventHandlerType, Mode

log = logging.getLogger(__name__)

FEEDBACK_TIMEOUT_S = 4.0
"""Less than half of the time after which unreported streams are stopped: there is time for a second try."""
_ANSWER_MARGIN_S = 10.0
RECEIVED_HEADER = "Luna-Received-Until"
_FITS_BEARER: Final = re.compile(r"[\x21-\x7e]+")
_HANDLERS: Final = {"Luna-Worker-Handlers": ", ".join(get_args(EventHandlerType))}
"""Tells that streams may deliver to all of these; LUNA Streams itself has only the first."""


@dataclass(frozen=True, slots=True)
class UnreadableStream:
    """A stream the server handed over in a form this worker does not understand."""

    stream_id: str
    version: int
    reason: str


class _StreamName(Model):
    """What a report needs of a stream."""

    stream_id: Uuid
    version: int = Field(ge=1, le=INT32_MAX)


class StreamsApi:
    """Client of one LUNA Streams.

    Args:
        origin: of the server, e.g. http://127.0.0.1:5160.
        api_version: "1" or "2".
        worker_id: names this process.
        token: returns the present token, None where the server asks for none.
        v1_mode: what is looked for in streams of version 1, which has no word for it.
    """

    def __init__(
        self,
        origin: str,
        api_version: str,
        worker_id: str,
        token: Callable[[], SecretStr | None],
        v1_mode: Mode = MODE_FACES,
    ) -> None:
        self.base_url = f"{origin.rstrip('/')}/{api_version}"
        self._queue, self._feedback = HttpLine(self.base_url), HttpLine(self.base_url)
        self._read_stream: Callable[[Any], QueuedStream] = (
            functools.partial(v1.queued_stream, mode=v1_mode) if api_version == "1" else v2.queued_stream
        )
        self._worker_id = worker_id
        self._token = token
        self.received_until: str | None = None
        """When the newest stream was taken that was received, in the server's words; None where it says no such thing.

        A report that was on its way for long is thereby told from one about a later run of the same stream.
        """
        self.answered_at = -math.inf
        """When the server last answered anything but that it does not know us; monotonic seconds."""

    async def take(self, filters: QueueFilters, limit: int, wait_s: float) -> Sequence[QueuedStream | UnreadableStream]:
        """Take up to `limit` streams from the queue; they are in progress here from now on.

        Raises:
            ServerUnavailable: if the server does not answer as it should.
        """
        body, told = await self._post(
            self._queue,
            "/streams/processing/queue",
            {"filters": filters.model_dump(mode="json", exclude_defaults=True), "limit": limit},
            headers=_HANDLERS | ({"Prefer": f"wait={wait_s:g}"} if wait_s else {}),
            timeout_s=wait_s + _ANSWER_MARGIN_S,
        )
        streams = body.get("streams") if isinstance(body, dict) else None
        if not isinstance(streams, list):
            raise ServerUnavailable("LUNA Streams answered the queue request with something else than streams")
        self.received_until = told.get(RECEIVED_HEADER, self.received_until)
        return [stream for body in streams if (stream := self._read(body)) is not None]

    async def report(
        self,
        items: Sequence[FeedbackItem],
        received_until: str | None = None,
        timeout_s: float = FEEDBACK_TIMEOUT_S,
    ) -> FeedbackStreams:
        """Report about streams; returns which of them are to be stopped.

        Args:
            items: the reports.
            received_until: as it was when they were written.
            timeout_s: for the answer.

        Raises:
            ReportRefused: if the server finds the report invalid (400).
            ServerUnavailable: if it does not answer as it should.
        """
        answer, _ = await self._post(
            self._feedback,
            "/streams/processing/feedback",
            {"streams": [item.to_rest() for item in items]},
            headers={RECEIVED_HEADER: received_until} if received_until else {},
            timeout_s=timeout_s,
        )
        try:
            return FeedbackAnswer.from_peer(answer).streams
        except ValidationError as e:
            raise ServerUnavailable(f"LUNA Streams answered the feedback with something else: {_first(e)}") from e

    async def aclose(self) -> None:
        """Close the connections."""
        await self._queue.aclose()
        await self._feedback.aclose()

    def _read(self, body: Any) -> QueuedStream | UnreadableStream | None:
        """Return a stream, or what can be said about it; None where it cannot even be named in a report."""
        try:
            name = _StreamName.from_peer(body)
        except ValidationError as e:
            log.error("LUNA Streams handed over a stream without a usable id and version: %s", _first(e))
            return None
        try:
            return self._read_stream(body)
        except ValidationError as e:
            return UnreadableStream(name.stream_id, name.version, f"stream is not understood: {_first(e)}")

    async def _post(
        self, line: HttpLine, path: str, body: dict[str, Any], *, headers: dict[str, str], timeout_s: float
    ) -> tuple[Any, Mapping[str, str]]:
        """Return the answer's JSON and its headers."""
        try:
            answer = await line.post(
                path,
                timeout_s=timeout_s,
                json=body,
                headers={
                    "Luna-Request-Id": new_request_id(datetime.now(UTC)),
                    "Luna-Worker-Id": self._worker_id,
                    **self._authorization(),
                    **headers,
                },
            )
        except httpx.HTTPError as e:
            raise ServerUnavailable(f"LUNA Streams at {self.base_url} does not answer: {reason_of(e)}") from e
        if answer.status_code != HTTPStatus.UNAUTHORIZED:
            self.answered_at = time.monotonic()
        if answer.status_code == 400:
            raise ReportRefused(f"LUNA Streams refused {path}: {_detail(answer)}")
        if not answer.is_success:
            raise ServerUnavailable(f"LUNA Streams answered {path} with {answer.status_code}: {_detail(answer)}")
        try:
            return answer.json(), answer.headers
        except ValueError as e:
            raise ServerUnavailable(f"LUNA Streams answered {path} with something else than JSON") from e

    def _authorization(self) -> dict[str, str]:
        """Return the header with the present token, if there is one.

        Raises:
            ServerUnavailable: if it cannot be sent: it is read again for the next request.
        """
        try:
            token = self._token()
        except OSError as e:
            raise ServerUnavailable(f"the token file cannot be read: {e.strerror}") from e
        except UnicodeDecodeError as e:
            raise ServerUnavailable("the token file cannot be read: it is no text") from e
        if token is None:
            return {}
        # The HTTP library would quote it in its error.
        if not _FITS_BEARER.fullmatch(token.get_secret_value()):
            raise ServerUnavailable("the token file is empty or holds characters that no token can have")
        return {"Authorization": f"Bearer {token.get_secret_value()}"}


def _detail(answer: httpx.Response) -> str:
    """Return the documented `detail` of an error, or the beginning of the text."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    detail = body.get("detail") if isinstance(body, dict) else None
    return str(detail or answer.text[:200]).strip()


def _first(error: ValidationError) -> str:
    """Return the first fault as `path: message`; values, which may be secret, stay out."""
    fault = error.errors()[0]
    return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
