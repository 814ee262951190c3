"""One try to send an event: its source frames first, then the event itself; what may come of it has names."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

from luna_processor.delivery.events import EventRequest, ShotEvent
from luna_processor.delivery.formats.requests import request_of
from luna_processor.delivery.frame_store import frame_request, image_origin
from luna_processor.delivery.retry_after import parse_retry_after
from luna_processor.http_reason import reason_of
from luna_processor.interface.metrics import Metrics

log = logging.getLogger(__name__)

_RETRIED_STATUSES: Final = (408, 425, 429)
_WHOLE: Final = 6
"""A request as a whole may take this many times as long as one step of it, lest bytes that trickle hold a sender."""
_ANSWER_BYTES: Final = 65_536
"""Of an answer are read, so that the connection can be used again; nobody needs what they say."""
_FRAME_STORE_TIMEOUT_S: Final = 3.0
_STORE_STRIKES: Final = 3
_STORE_REST_S: Final = 15.0
"""A frame store that did not answer so often in a row is left alone so long: events are not to wait for it."""
_KEPT_CONNECTIONS: Final = 20
"""That are open while nothing is sent."""


class Transient(Exception):
    """Worth another try; the text says what went wrong.

    Args:
        reason: the text.
        retry_after_s: how long the platform asked to be left alone; 0 if it did not.
    """

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Refused(Exception):
    """401 or 403."""


class Rejected(Exception):
    """The platform does not take this event and never will; the text says why."""


@dataclass(slots=True)
class _Store:
    """A frame store that takes nothing at present."""

    trouble: str = ""
    """What went wrong last."""
    timeouts: int = 0
    """In a row."""
    rests_until_s: float = 0.0


class Poster:
    """Speaks HTTP with platforms and frame stores.

    Args:
        timeout_s: for one step of a request: to connect, to go on with sending, to go on with answering.
        metrics: what is counted.
    """

    def __init__(self, timeout_s: float, metrics: Metrics) -> None:
        # Lanes bound the connections, each its own: a pool shared by all would let those that hang hold up the others.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=_KEPT_CONNECTIONS)
        self._http = httpx.AsyncClient(timeout=timeout_s, limits=limits, follow_redirects=False)
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._failing_stores: dict[str, _Store] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def post(self, event: ShotEvent, image_origins: tuple[str | None, ...]) -> None:
        """Send an event.

        Raises:
            Transient: if it may be taken later.
            Refused: if the platform does not know whom it comes from.
            Rejected: if it will never be taken.
        """
        request = request_of(event, image_origins)
        with self._metrics.delivery_seconds.time():
            try:
                status, retry_after_s = await self._status_of(request)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as e:
                raise Rejected(f"{request.url} is not an address: {e}") from e
            except httpx.HTTPError as e:
                raise Transient(reason_of(e)) from e
            except TimeoutError as e:
                raise Transient("no answer in time") from e
        if status in (401, 403):
            raise Refused
        if status >= 500 or status in _RETRIED_STATUSES:
            raise Transient(f"status {status}", retry_after_s)
        if not httpx.codes.is_success(status):
            raise Rejected(f"{event.target.origin} answered with status {status}")

    async def _status_of(self, request: EventRequest) -> tuple[int, float]:
        """Send a request; returns the status of the answer, whatever becomes of the rest of it, and its Retry-After."""
        async with (
            asyncio.timeout(_WHOLE * self._timeout_s),
            self._http.stream(
                "POST",
                request.url,
                params=request.params or None,  # an empty mapping would take away the query of the address
                headers=request.headers,
                content=request.content,
                files=request.files or None,
                data=request.data or None,
            ) as answer,
        ):
            with contextlib.suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await _pass_over(answer)
            return answer.status_code, parse_retry_after(answer.headers.get("Retry-After", ""), datetime.now(UTC))

    async def store_frames(self, event: ShotEvent, stored: Iterable[str | None]) -> tuple[str | None, ...]:
        """Store the source frames that are not stored yet.

        Args:
            event: whose frames they are.
            stored: where each is already; None where it is not.

        Returns:
            The same, with what was stored now.
        """
        return tuple(
            [
                origin or await self._store_frame(event, shot.frame_jpeg)
                for origin, shot in zip(stored, event.shots, strict=True)
            ]
        )

    async def _store_frame(self, event: ShotEvent, frame_jpeg: bytes | None) -> str | None:
        """Store a source frame and return its address; None if that fails, which stops nothing."""
        request = None if frame_jpeg is None else frame_request(event, frame_jpeg)
        if request is None:
            return None
        store = self._failing_stores.get(request.url)
        if store is not None and time.monotonic() < store.rests_until_s:
            self._metrics.source_frames.labels("failed").inc()
            return None
        try:
            async with asyncio.timeout(2 * _FRAME_STORE_TIMEOUT_S):
                answer = await self._http.post(
                    request.url, content=request.content, headers=request.headers, timeout=_FRAME_STORE_TIMEOUT_S
                )
            answer.raise_for_status()
            url = image_origin(request.url, answer.json())
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as e:
            self._note_failure(request.url, e)
            return None
        if self._failing_stores.pop(request.url, None) is not None:
            log.info("source frames are stored at %s again", request.url)
        self._metrics.source_frames.labels("stored").inc()
        return url

    def _note_failure(self, url: str, error: Exception) -> None:
        """Count a source frame that was not stored, and say why if that is new: there may be many a second."""
        self._metrics.source_frames.labels("failed").inc()
        store = self._failing_stores.setdefault(url, _Store())
        reason = _store_trouble(error)
        if reason != store.trouble:
            log.warning("source frames are not stored at %s, and events go without them: %s", url, reason)
        store.trouble = reason
        store.timeouts = store.timeouts + 1 if isinstance(error, (httpx.TimeoutException, TimeoutError)) else 0
        if store.timeouts >= _STORE_STRIKES:
            store.rests_until_s = time.monotonic() + _STORE_REST_S


def _store_trouble(error: Exception) -> str:
    """Return in a few words why a frame was not stored; the HTTP client's own take several lines."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"status {error.response.status_code}"
    if isinstance(error, httpx.HTTPError):
        return reason_of(error)
    return "no answer in time" if isinstance(error, TimeoutError) else str(error)


async def _pass_over(answer: httpx.Response) -> None:
    """Read an answer to its end, if that is near."""
    size_bytes = 0
    async for piece in answer.aiter_raw():
        size_bytes += len(piece)
        if size_bytes > _ANSWER_BYTES:
            return
