"""Deliver best shots to LUNA PLATFORM, each at least once, or say that it was given up.

Platforms are served side by side: each origin has its own lane, so that one that is down or slow holds up nobody else.
How long an event is tried counts from when it was made: behind a platform that is down, those that wait their turn grow
old too, and each is tried once at least.
Time-outs, connection errors, 5xx and 429 are tried again with back-off and jitter under the same request id; other 4xx
are the request's own fault and dropped; 401 and 403 mean that the stream can deliver nothing at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import stamina

from luna_processor.events import ShotEvent
from luna_processor.formats.requests import request_of
from luna_processor.frame_store import frame_request, image_origin
from luna_processor.http_reason import reason_of
from luna_processor.metrics import Metrics
from luna_processor.outbox import Account, Outbox
from luna_streams.lifecycle import DELIVERY_TROUBLE

log = logging.getLogger(__name__)

AUTHORIZATION_FAILED = "Failed to authorize in Luna Platform"
"""The documented text: LUNA Streams does not restart a stream that failed with it."""
_RETRIED_STATUSES = (408, 425, 429)
_FRAME_STORE_TIMEOUT_S = 3.0
_ONE_TRY_S = 0.001
"""Time for an event that is too old already: enough to begin one try, not two."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How hard it is tried."""

    timeout_s: float = 10.0
    """For one request."""
    give_up_after_s: float = 300.0
    """For one event, from when it was made; each is tried once at least."""
    first_pause_s: float = 0.5
    longest_pause_s: float = 15.0
    senders_per_origin: int = 4


class _Transient(Exception):
    """Worth another try; the text says what went wrong."""


class _Refused(Exception):
    """401 or 403."""


class _Rejected(Exception):
    """The platform does not take this event and never will."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    """An event on its way, whose it is, and until when it is tried (by the event loop's clock)."""

    event: ShotEvent
    account: Account
    until_s: float


class Delivery:
    """Sends events; made and closed inside the event loop, fed by any thread.

    Args:
        settings: time-outs and pauses.
        outbox: where events wait.
        metrics: what is counted.
        on_refused: called in the event loop with id and version of a stream whose authorization was refused.
    """

    def __init__(
        self, settings: DeliverySettings, outbox: Outbox, metrics: Metrics, on_refused: Callable[[str, int], None]
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._metrics = metrics
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self._http = httpx.AsyncClient(timeout=settings.timeout_s, follow_redirects=False)
        self._lanes: dict[str, asyncio.Queue[_Parcel]] = {}
        self._senders: set[asyncio.Task[None]] = set()

    def submit(self, event: ShotEvent, account: Account, wait_unless: Callable[[], bool] | None) -> bool:
        """Take an event over, from any thread; see `Outbox.add`. Returns False when it had to be dropped."""
        if not self._outbox.add(event, account, wait_unless):
            _lose(event, account, "too many events wait")
            self._metrics.best_shots.labels("overflow").inc(len(event.shots))
            return False
        parcel = _Parcel(event, account, self._loop.time() + self._settings.give_up_after_s)
        self._loop.call_soon_threadsafe(self._enqueue, parcel)
        return True

    def wait_delivered(self, account: Account, unless: Callable[[], bool]) -> bool:
        """Wait, in a thread, until no event of a run is on its way; see `Outbox.wait_empty`."""
        return self._outbox.wait_empty(account, unless)

    async def flush(self, grace_s: float) -> None:
        """Wait until everything was delivered, at most `grace_s`."""
        deadline_s = self._loop.time() + grace_s
        while self._outbox.size and self._loop.time() < deadline_s:
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Stop sending; what still waits is lost and said so."""
        if self._outbox.size:
            log.warning("%d events were not delivered before the end", self._outbox.size)
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        await self._http.aclose()

    def _enqueue(self, parcel: _Parcel) -> None:
        origin = parcel.event.target.origin
        lane = self._lanes.get(origin)
        if lane is None:
            lane = self._lanes[origin] = asyncio.Queue()
            for _ in range(self._settings.senders_per_origin):
                self._senders.add(asyncio.create_task(self._send_all(lane)))
        lane.put_nowait(parcel)

    async def _send_all(self, lane: asyncio.Queue[_Parcel]) -> None:
        while True:
            parcel = await lane.get()
            event, account = parcel.event, parcel.account
            try:
                outcome = await self._deliver(parcel)
                self._metrics.best_shots.labels(outcome).inc(len(event.shots))
            except Exception:  # a bug in one event must not end the lane; it is logged with its traceback
                log.exception("event %s could not be sent", event.request_id)
                _lose(event, account, "internal error")
                self._metrics.best_shots.labels("failed").inc(len(event.shots))
            finally:
                self._outbox.done(event, account)

    async def _deliver(self, parcel: _Parcel) -> str:
        """Send an event until it is accepted or given up; returns the outcome as the metrics name it."""
        event, account = parcel.event, parcel.account
        origins = await self._store_frames(event)
        settings = self._settings
        attempts = stamina.retry_context(
            on=_Transient,
            attempts=None,
            timeout=max(_ONE_TRY_S, parcel.until_s - self._loop.time()),
            wait_initial=settings.first_pause_s,
            wait_max=settings.longest_pause_s,
            wait_jitter=settings.first_pause_s,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    if attempt.num > 1:
                        self._metrics.delivery_retries.inc()
                    await self._post(parcel, origins)
        except _Refused:
            self._on_refused(event.stream_id, event.version)
            return "refused"
        except _Rejected as e:
            _lose(event, account, str(e))
            return "rejected"
        except _Transient as e:
            _lose(event, account, str(e))
            return "given_up"
        account.meet(None)
        return "sent"

    async def _post(self, parcel: _Parcel, image_origins: tuple[str | None, ...]) -> None:
        event = parcel.event
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
                raise _Rejected(f"{request.url} is not an address: {e}") from e
            except httpx.HTTPError as e:
                raise _in_trouble(parcel, reason_of(e)) from e
        if answer.status_code in (401, 403):
            raise _Refused
        if answer.status_code >= 500 or answer.status_code in _RETRIED_STATUSES:
            raise _in_trouble(parcel, f"status {answer.status_code}")
        if not answer.is_success:
            raise _Rejected(f"{event.target.origin} answered with status {answer.status_code}")

    async def _store_frames(self, event: ShotEvent) -> tuple[str | None, ...]:
        return tuple([await self._store_frame(event, shot.frame_jpeg) for shot in event.shots])

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


def _lose(event: ShotEvent, account: Account, reason: str) -> None:
    log.warning("stream %s: event %s is lost: %s", event.stream_id, event.request_id, reason)
    account.lose(reason)


def _in_trouble(parcel: _Parcel, reason: str) -> _Transient:
    text = f"{DELIVERY_TROUBLE} to {parcel.event.target.origin}: {reason}"
    if parcel.account.meet(text):
        log.warning("stream %s: %s", parcel.event.stream_id, text)
    return _Transient(text)
