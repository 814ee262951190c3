"""Events that wait for delivery: bounded, kept in the spool, and known by their names.

Analysing threads add events and the delivery takes them out; neither waits for the disk. What scheduling needs stays in
memory; pictures are in the spool, and in memory only until they are there.

An event goes to the delivery when it was tried to store it. As a rule the spool has it then, so that nothing is sent
that could be forgotten. When the disk takes nothing (full, read-only, broken), events go out all the same, from a
bounded part of memory, and are stored as soon as that works again.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from luna_processor.delivery.accounts import Account
from luna_processor.delivery.event_codec import UnreadableEvent, decode, encode
from luna_processor.delivery.events import ShotEvent
from luna_processor.delivery.runs import Runs, RunStart
from luna_processor.delivery.spool import Spool, SpoolDamaged
from luna_processor.delivery.spool_records import Change, NoteFrames, SettleEvent, StoredEvent
from luna_processor.delivery.spool_writer import SpoolWriter
from luna_processor.delivery.waiting import WaitingEvent

_POLL_S: Final = 0.2
"""How often a waiting thread looks whether its stream was stopped meanwhile."""
_SHARE: Final = 4
"""A platform may have this many times as much waiting as there is room left: alone four fifths of the whole, two of
them four ninths each. One that is down so always leaves room for others. (The "dynamic threshold" by which switches
share their buffers: Choudhury and Hahne, 1998.)"""
_UNSTORED_BYTES: Final = 32 * 2**20
"""Events that the spool does not have yet take this much memory at most."""

Admission = Literal["added", "known", "full", "interrupted"]
"""What became of an event: it waits, is known to its run, found no room, or its stream was stopped meanwhile."""


class LostEvent(Exception):
    """An event cannot be read back from the spool; the text says why."""


class Outbox:
    """Counts, bounds and keeps the events on their way.

    Args:
        spool: where they are kept; closed with the outbox.
        capacity_bytes: of all of them together.
    """

    def __init__(self, spool: Spool, capacity_bytes: int) -> None:
        self._spool = spool
        self.capacity_bytes = capacity_bytes
        """What waits may take so much."""
        self._changed = threading.Condition()
        self._runs = Runs(spool.runs(), spool.settled())
        self._waiting: dict[str, WaitingEvent] = {}
        """By request id, the oldest first."""
        self._bytes: Counter[str] = Counter()
        """By the origin of the platform."""
        self._unstored_bytes = 0
        self._is_closed = False
        self._on_ready: Callable[[Sequence[WaitingEvent]], None] = lambda _events: None
        self._restore(spool.waiting())
        self._numbers = itertools.count(max((event.stored.number for event in self._waiting.values()), default=0) + 1)
        self._writer = SpoolWriter(spool, self._stored, lambda events: self._on_ready(events))

    @property
    def is_lasting(self) -> bool:
        """Whether events outlive the process."""
        return self._spool.folder is not None

    @property
    def size(self) -> int:
        """Events that wait."""
        return len(self._waiting)

    @property
    def size_bytes(self) -> int:
        """What they take."""
        return self._bytes.total()

    @property
    def oldest_s(self) -> float:
        """Age of the event that has waited longest, seconds; 0 if none waits."""
        with self._changed:
            first = next(iter(self._waiting.values()), None)
        return 0.0 if first is None else first.age_s

    @property
    def write_failures(self) -> int:
        """How often the disk did not take what was to be kept."""
        return self._writer.failures

    def start(self, on_ready: Callable[[Sequence[WaitingEvent]], None]) -> None:
        """Hand over what waits, and from now on what is added, when it is ready to be sent; call it before `add`.

        Args:
            on_ready: called by any thread.
        """
        self._on_ready = on_ready
        on_ready(tuple(self._waiting.values()))

    def close(self) -> None:
        """Keep what waits for the next process, and let go of the spool; what still comes finds no room."""
        with self._changed:
            self._is_closed = True
        self._writer.close()

    # -- runs ---------------------------------------------------------------------------------------------------

    def begin_run(self, start: RunStart, *, is_repeatable: bool) -> Account:
        """Return the account of a run; what still waits of the same version of the stream is put down to it, too.

        Args:
            start: of the run.
            is_repeatable: whether its source could be read again from the start.
        """
        with self._changed:
            number = 0
            if is_repeatable:
                number, change = self._runs.begin(start)
                self._writer.put(change)
            account = Account(number)
            for event in self._waiting.values():
                if (event.stored.stream_id, event.stored.version) == (start.stream_id, start.version):
                    event.account.waiting -= 1
                    event.account = account
                    account.waiting += 1
            return account

    def finish_run(self, stream_id: str, version: int) -> None:
        """Say that a run will not go on: the next one has everything to send anew."""
        with self._changed:
            self._put(self._runs.finish(stream_id, version))

    def forget_runs(self, stream_id: str) -> None:
        """Say that a stream is gone for good; what waits is delivered all the same."""
        with self._changed:
            self._put(self._runs.forget(stream_id))

    # -- events -------------------------------------------------------------------------------------------------

    def add(self, event: ShotEvent, account: Account, wait_unless: Callable[[], bool] | None) -> Admission:
        """Accept an event.

        Args:
            event: what waits from now on.
            account: of the run it comes from.
            wait_unless: None refuses at once when there is no room (live: pictures do not wait); otherwise the caller
                waits for it until this returns True.
        """
        body = encode(event)
        with self._changed:
            if self._is_known(event, account):
                return "known"
            while not self._has_room(event.target.origin, len(body)):
                if wait_unless is None or len(body) > self.capacity_bytes:
                    return "full"
                if wait_unless():
                    return "interrupted"
                self._changed.wait(_POLL_S)
            waiting = WaitingEvent(
                StoredEvent(
                    number=next(self._numbers),
                    request_id=event.request_id,
                    stream_id=event.stream_id,
                    version=event.version,
                    origin=event.target.origin,
                    made_at_s=time.time(),
                    shot_count=len(event.shots),
                    size_bytes=len(body),
                    image_origins=(None,) * len(event.shots),
                ),
                account,
                (None,) * len(event.shots),
                body,
            )
            self._count(waiting)
            self._unstored_bytes += len(body)
            self._writer.put(waiting)
            return "added"

    def load(self, waiting: WaitingEvent) -> ShotEvent:
        """Return an event with its pictures; may wait for the disk.

        Raises:
            LostEvent: if it cannot be read, which will not change.
            SpoolFailed: if the disk does not give it now.
        """
        body = waiting.body
        try:
            return decode(self._spool.read(waiting.stored.number) if body is None else body)
        except (SpoolDamaged, UnreadableEvent) as e:
            raise LostEvent(f"it cannot be read back: {e}") from e

    def note_frames(self, waiting: WaitingEvent, image_origins: tuple[str | None, ...]) -> None:
        """Remember where source frames were stored, so that they are not stored twice."""
        with self._changed:
            waiting.image_origins = image_origins
            self._writer.put(NoteFrames(waiting.stored.number, image_origins))

    def settle(self, waiting: WaitingEvent, loss: str | None) -> None:
        """Take out an event that was delivered, or given up.

        Args:
            waiting: the event.
            loss: why it was given up; None if it was delivered.
        """
        stored = waiting.stored
        with self._changed:
            waiting.is_settled = True
            waiting.account.waiting -= 1
            del self._waiting[stored.request_id]
            self._bytes[stored.origin] -= stored.size_bytes
            if not self._bytes[stored.origin]:
                del self._bytes[stored.origin]
            self._release(waiting)
            is_remembered = self._runs.settle(stored.stream_id, stored.version, stored.request_id, loss)
            self._writer.put(SettleEvent(stored, loss, is_remembered))
            self._changed.notify_all()

    def wait_empty(self, account: Account, unless: Callable[[], bool]) -> bool:
        """Wait until no event of a run waits; returns False when `unless` became True before."""
        with self._changed:
            while account.waiting:
                if unless():
                    return False
                self._changed.wait(_POLL_S)
            return True

    def _restore(self, events: Iterable[StoredEvent]) -> None:
        accounts: dict[tuple[str, int], Account] = {}
        for stored in events:
            account = accounts.setdefault((stored.stream_id, stored.version), Account())
            born_at_s = time.monotonic() - max(0.0, time.time() - stored.made_at_s)
            self._count(WaitingEvent(stored, account, stored.image_origins, born_at_s=born_at_s))

    def _count(self, waiting: WaitingEvent) -> None:
        self._waiting[waiting.stored.request_id] = waiting
        self._bytes[waiting.stored.origin] += waiting.stored.size_bytes
        waiting.account.waiting += 1

    def _is_known(self, event: ShotEvent, account: Account) -> bool:
        """Return whether an event waits already or is behind its run; what it lost before is put down again."""
        if self._runs.is_settled(event.stream_id, event.request_id):
            if loss := self._runs.loss(event.stream_id, event.request_id):
                account.lose(loss)
            return True
        return event.request_id in self._waiting

    def _has_room(self, origin: str, size_bytes: int) -> bool:
        if self._is_closed:
            return False
        left_bytes = self.capacity_bytes - self._bytes.total()
        has_memory = not self._unstored_bytes or self._unstored_bytes + size_bytes <= _UNSTORED_BYTES
        return has_memory and size_bytes <= left_bytes and self._bytes[origin] < _SHARE * left_bytes

    def _stored(self, events: Sequence[WaitingEvent]) -> None:
        """Free the memory of events that the spool has; called by the writer."""
        with self._changed:
            for waiting in events:
                self._release(waiting)
            self._changed.notify_all()

    def _release(self, waiting: WaitingEvent) -> None:
        if waiting.body is not None:
            self._unstored_bytes -= waiting.stored.size_bytes
            waiting.body = None

    def _put(self, change: Change | None) -> None:
        if change is not None:
            self._writer.put(change)
