"""One try to send an event: its source frames first, then the event itself; what may come of it has names."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import httpx

from luna_processor.delivery.events import ShotEvent
from luna_processor.delivery.formats.requests import request_of
from luna_processor.delivery.frame_store import frame_request, image_origin
from luna_processor.http_reason import reason_of
from luna_processor.interface.metrics import Metrics

log = logging.getLogger(__name__)

_RETRIED_STATUSES: Final = (408, 425, 429)
_FRAME_STORE_TIMEOUT_S: Final = 3.0


class Transient(Exception):
    """Worth another try; the text says what went wrong."""


class Refused(Exception):
    """401 or 403."""


class Rejected(Exception):
    """The platform does not take this event and never will; the text says why."""


class Poster:
    """Speaks HTTP with platforms and frame stores.

    Args:
        timeout_s: for one request.
        metrics: what is counted.
    """

    def __init__(self, timeout_s: float, metrics: Metrics) -> None:
        self._http = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False)
        self._metrics = metrics

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
                answer = await self._http.post(
                    request.url,
                    params=request.params or None,  # an empty mapping would take away the query of the address
                    headers=request.headers,
                    content=request.content,
                    files=request.files or None,
                    data=request.data or None,
                )
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as e:
                raise Rejected(f"{request.url} is not an address: {e}") from e
            except httpx.HTTPError as e:
                raise Transient(reason_of(e)) from e
        if answer.status_code in (401, 403):
            raise Refused
        if answer.status_code >= 500 or answer.status_code in _RETRIED_STATUSES:
            raise Transient(f"status {answer.status_code}")
        if not answer.is_success:
            raise Rejected(f"{event.target.origin} answered with status {answer.status_code}")

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
        try:
            answer = await self._http.post(
                request.url, content=request.content, headers=request.headers, timeout=_FRAME_STORE_TIMEOUT_S
            )
            answer.raise_for_status()
            url = image_origin(request.url, answer.json())
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as e:
            log.warning("stream %s: source frame not stored at %s: %s", event.stream_id, request.url, e)
            self._metrics.source_frames.labels("failed").inc()
            return None
        self._metrics.source_frames.labels("stored").inc()
        return url
