"""Deliver best shots to LUNA PLATFORM, each at least once, or say that it was given up.

Platforms are served side by side: each origin has its own lane, so that one that is down or slow holds up nobody else.
How long an event is tried counts from when it was made: behind a platform that is down, those that wait their turn grow
old too.
Time-outs, connection errors, 5xx and 429 are tried again with back-off and jitter, not before the platform asks for it,
under the same request id; other 4xx are the request's own fault and dropped; 401 and 403 mean that the stream can
deliver nothing at all.

What waits is kept by the outbox, and is sent after a restart of the process, whether its stream is here again or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from luna_processor.delivery.accounts import Account
from luna_processor.delivery.events import ShotEvent
from luna_processor.delivery.lanes import Lane, Pauses, Width
from luna_processor.delivery.outbox import LostEvent, Outbox
from luna_processor.delivery.posting import Poster, Refused, Rejected, Transient
from luna_processor.delivery.runs import RunStart
from luna_processor.delivery.spool import SpoolFailed
from luna_processor.delivery.waiting import WaitingEvent
from luna_processor.interface.metrics import Metrics
from luna_streams.lifecycle import DELIVERY_TROUBLE

log = logging.getLogger(__name__)

AUTHORIZATION_FAILED = "Failed to authorize in Luna Platform"
"""The documented text: LUNA Streams does not restart a stream that failed with it."""
_OVERFLOW = "too many events wait"
_LOOK_FOR_OLD_S = 0.5
"""Events to give up are looked for so often at most: in an outage thousands wait, and each new one wakes the lane."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How hard it is tried."""

    timeout_s: float = 10.0
    """For one step of a request; see `Poster`."""
    give_up_after_s: float = 86_400.0
    """For one event, from when it was made."""
    pauses: Pauses = field(default_factory=Pauses)
    width: Width = field(default_factory=Width)
    """Of events that are on their way to one platform at once."""


@dataclass(slots=True, eq=False)
class _Origin:
    """A platform."""

    lane: Lane[WaitingEvent]
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there may be something to do."""
    trouble: str = ""
    """What went wrong last."""
    look_for_old_at_s: float = 0.0


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
        self._poster = Poster(settings.timeout_s, metrics)
        self._origins: dict[str, _Origin] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        """A sender per platform, and the tries that it began."""
        self._trying: set[WaitingEvent] = set()
        """What is on its way at this moment."""
        self._is_closed = False
        outbox.start(self._hand_over)

    # -- for streams, in any thread -------------------------------------------------------------------------------

    def begin_run(self, start: RunStart, *, is_repeatable: bool) -> Account:
        """Return the account of a run that begins; see `Outbox.begin_run`."""
        return self._outbox.begin_run(start, is_repeatable=is_repeatable)

    def submit(self, event: ShotEvent, account: Account, wait_unless: Callable[[], bool] | None) -> bool:
        """Take an event over; see `Outbox.add`. Returns False when it had to be dropped.

        What is dropped because its stream was stopped is no loss: nobody wants it any more, or a worker will find it
        again.
        """
        admission = self._outbox.add(event, account, wait_unless)
        if admission == "known":
            self._metrics.best_shots_known.inc(len(event.shots))
        if admission != "full":
            return admission != "interrupted"
        log.warning("stream %s: event %s is lost: %s", event.stream_id, event.request_id, _OVERFLOW)
        account.lose(_OVERFLOW)
        self._metrics.best_shots.labels("overflow").inc(len(event.shots))
        return False

    def wait_delivered(self, account: Account, unless: Callable[[], bool]) -> bool:
        """Wait until no event of a run is on its way; see `Outbox.wait_empty`."""
        return self._outbox.wait_empty(account, unless)

    def finish_run(self, stream_id: str, version: int) -> None:
        """Say that a run will not go on; see `Outbox.finish_run`."""
        self._outbox.finish_run(stream_id, version)

    def forget_runs(self, stream_id: str) -> None:
        """Say that a stream is gone for good; see `Outbox.forget_runs`."""
        self._outbox.forget_runs(stream_id)

    # -- for the process ------------------------------------------------------------------------------------------

    async def flush(self, grace_s: float) -> None:
        """Wait until everything was delivered, at most `grace_s`."""
        deadline_s = self._loop.time() + grace_s
        while self._outbox.size and self._loop.time() < deadline_s:
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Stop sending; what still waits stays in the spool for the next process, or is lost where there is none."""
        self._is_closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._poster.close()
        if self._outbox.size:
            fate = "wait in the spool for the next start" if self._outbox.is_lasting else "are lost"
            log.warning("%d events were not delivered before the end and %s", self._outbox.size, fate)
        await asyncio.to_thread(self._outbox.close)

    # -- lanes ----------------------------------------------------------------------------------------------------

    def _hand_over(self, events: Sequence[WaitingEvent]) -> None:
        """Take events from any thread into the event loop."""
        if events:
            self._loop.call_soon_threadsafe(self._enqueue, events)

    def _enqueue(self, events: Sequence[WaitingEvent]) -> None:
        if self._is_closed:
            return
        for waiting in events:
            origin = self._origins.get(waiting.stored.origin)
            if origin is None:
                lane: Lane[WaitingEvent] = Lane(self._settings.pauses, random.random, self._settings.width)
                origin = self._origins[waiting.stored.origin] = _Origin(lane)
                self._begin(self._send_all(origin))
            origin.lane.add(waiting)
            origin.news.set()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_all(self, origin: _Origin) -> None:
        """Begin to send what is due, side by side as far as the lane allows."""
        while True:
            origin.news.clear()
            if origin.lane.is_down:
                self._give_up_old(origin)
            while (waiting := origin.lane.pick(self._loop.time())) is not None:
                self._begin(self._send_one(origin, waiting))
            await self._wait(origin)

    async def _send_one(self, origin: _Origin, waiting: WaitingEvent) -> None:
        try:
            await self._send(origin, waiting)
        except Exception:  # a bug in one event must not end the lane; it is logged with its traceback
            log.exception("event %s could not be sent", waiting.stored.request_id)
            origin.lane.dropped()
            self._lose(waiting, "failed", "internal error")
        finally:
            origin.news.set()

    async def _wait(self, origin: _Origin) -> None:
        look_s = origin.lane.next_look_s()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if look_s is None else max(0.0, look_s - self._loop.time())):
                await origin.news.wait()

    async def _send(self, origin: _Origin, waiting: WaitingEvent) -> None:
        """Try to send an event once, and say what came of it."""
        lane = origin.lane
        if waiting.tries:
            self._metrics.delivery_retries.inc()
        try:
            await self._post(waiting)
        except Transient as e:
            lane.failed(waiting, self._loop.time(), e.retry_after_s)
            self._note_trouble(origin, waiting, str(e))
            if self._is_old(waiting):
                lane.take_all(lambda item: item is waiting)
                self._lose(waiting, "given_up", origin.trouble)
            return
        except LostEvent as e:
            lane.dropped()
            self._lose(waiting, "failed", str(e))
        except Refused:
            lane.passed()
            self._on_refused(waiting.stored.stream_id, waiting.stored.version)
            self._lose(waiting, "refused", AUTHORIZATION_FAILED)
        except Rejected as e:
            lane.passed()
            self._lose(waiting, "rejected", str(e))
        else:
            lane.passed()
            self._note_success(waiting.account)
            self._settle(waiting, "sent", None)

    async def _post(self, waiting: WaitingEvent) -> None:
        self._trying.add(waiting)
        try:
            event = await asyncio.to_thread(self._outbox.load, waiting)
            origins = await self._poster.store_frames(event, waiting.image_origins)
            if origins != waiting.image_origins:
                self._outbox.note_frames(waiting, origins)
            await self._poster.post(event, origins)
        except SpoolFailed as e:
            raise Transient(f"the spool cannot be read: {e}") from e
        finally:
            self._trying.discard(waiting)

    def _note_success(self, account: Account) -> None:
        """Say that nothing is in the way, unless other events of the run still wait for another try.

        With two handlers of which one fails, the text would come and go with every event otherwise.
        """
        if account.trouble is None:
            return
        waiting = itertools.chain.from_iterable(origin.lane.failing for origin in self._origins.values())
        if not any(event.account is account and event.tries for event in itertools.chain(self._trying, waiting)):
            account.meet(None)

    def _note_trouble(self, origin: _Origin, waiting: WaitingEvent, reason: str) -> None:
        """Tell every stream that is concerned: when a platform is down, all that wait for it."""
        origin.trouble = f"{DELIVERY_TROUBLE} to {waiting.stored.origin}: {reason}"
        concerned = {waiting.account: waiting.stored.stream_id}
        if origin.lane.is_down:
            concerned |= {other.account: other.stored.stream_id for other in origin.lane}
        for account, stream_id in concerned.items():
            if account.meet(origin.trouble):
                log.warning("stream %s: %s", stream_id, origin.trouble)

    def _give_up_old(self, origin: _Origin) -> None:
        """Give up what has waited for too long, tried or not: nothing else would come of it."""
        now_s = self._loop.time()
        if now_s < origin.look_for_old_at_s:
            return
        origin.look_for_old_at_s = now_s + _LOOK_FOR_OLD_S
        for waiting in origin.lane.take_all(self._is_old):
            self._lose(waiting, "given_up", origin.trouble)

    def _is_old(self, waiting: WaitingEvent) -> bool:
        return waiting.age_s >= self._settings.give_up_after_s

    def _lose(self, waiting: WaitingEvent, outcome: str, reason: str) -> None:
        log.warning("stream %s: event %s is lost: %s", waiting.stored.stream_id, waiting.stored.request_id, reason)
        waiting.account.lose(reason)
        self._settle(waiting, outcome, reason)

    def _settle(self, waiting: WaitingEvent, outcome: str, loss: str | None) -> None:
        self._metrics.best_shots.labels(outcome).inc(waiting.stored.shot_count)
        self._outbox.settle(waiting, loss)
