"""Events (core/v1) that say what happened to a stream or a pool: few, counted, and never in the way.

A repetition raises the count of the Event that is there. Events wait in two bounded queues and are written slowly,
behind everything that matters, warnings before the ordinary ones; when too many come, they are dropped. Losing an Event
loses nothing but a line of `kubectl describe`: conditions say how things are. An Event bears the time at which the
thing happened, and a name that grows with it: kubectl, which knows seconds only, shows those of a second by their name.
Source of the idea: client-go's EventCorrelator (aggregation, spam filter).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from luna_kube import EVENTS, ApiError, KubeClient, NotFound, Resource

log = logging.getLogger(__name__)

Json = dict[str, Any]
EventKind = Literal["Normal", "Warning"]

COMPONENT: Final = "luna-operator"
_QUEUE_LIMIT: Final = 500
_REMEMBERED: Final = 4096
_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 0.25
_PAUSE_SHARE: Final = 4
"""Between two Events: four times as long as the last one took, so that a slow API server gets fewer of them."""
_AGGREGATION = timedelta(minutes=10)
_MAX_MESSAGE: Final = 1024


@dataclass(frozen=True, slots=True)
class Subject:
    """The object an Event is about."""

    resource: Resource
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Note:
    """What happened to it."""

    subject: Subject
    kind: EventKind
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Happened:
    """How often and when something happened that was not told yet; the mark grows from note to note."""

    mark: int
    times: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class _Written:
    name: str
    count: int
    last: datetime


class EventRecorder:
    """Takes notes at once and writes them as Events in the background.

    Args:
        client: an open client.
        instance: who reports, for `reportingInstance`.
        on_drop: called when a note is dropped.
    """

    def __init__(self, client: KubeClient, instance: str, on_drop: Callable[[], None] = lambda: None) -> None:
        self._client = client
        self._instance = instance
        self._on_drop = on_drop
        self._pending: dict[EventKind, dict[Note, _Happened]] = {"Warning": {}, "Normal": {}}
        self._last_mark = 0
        self._written: OrderedDict[Note, _Written] = OrderedDict()
        self._wake = asyncio.Event()

    def note(self, note: Note) -> None:
        """Take a note; a repetition of one that still waits is counted with it."""
        pending = self._pending[note.kind]
        if note not in pending and len(pending) >= _QUEUE_LIMIT:
            self._on_drop()
            return
        now = datetime.now(UTC)
        self._last_mark = max(self._last_mark + 1, time.time_ns())
        before = pending.get(note, _Happened(self._last_mark, 0, now, now))
        pending[note] = _Happened(before.mark, before.times + 1, before.first, now)
        self._wake.set()

    async def run(self) -> None:
        """Write the notes until cancelled, warnings first."""
        while True:
            await self._wake.wait()
            while pending := self._pending["Warning"] or self._pending["Normal"]:
                note = next(iter(pending))
                happened = pending.pop(note)
                began = time.monotonic()
                try:
                    await self._write(note, happened)
                except ApiError as e:
                    log.info("an event could not be written: %s", e)
                    self._on_drop()
                took_s = time.monotonic() - began
                await asyncio.sleep(min(_LONGEST_PAUSE_S, max(_PAUSE_S, _PAUSE_SHARE * took_s)))
            self._wake.clear()

    async def _write(self, note: Note, happened: _Happened) -> None:
        before = self._written.get(note)
        if before is not None and happened.first - before.last < _AGGREGATION:
            again = _Written(before.name, before.count + happened.times, happened.last)
            try:
                change = {"count": again.count, "lastTimestamp": _time(again.last)}
                await self._client.patch(EVENTS.at(note.subject.namespace, before.name), change)
            except NotFound:  # events live for an hour
                again = await self._create(note, happened)
        else:
            again = await self._create(note, happened)
        self._written.pop(note, None)
        self._written[note] = again
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    async def _create(self, note: Note, happened: _Happened) -> _Written:
        name = f"{note.subject.name[:200]}.{happened.mark:016x}"
        await self._client.create(EVENTS.within(note.subject.namespace), self._body(note, name, happened))
        return _Written(name, happened.times, happened.last)

    def _body(self, note: Note, name: str, happened: _Happened) -> Json:
        subject = note.subject
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": subject.namespace},
            "involvedObject": {
                "apiVersion": subject.resource.api_version,
                "kind": subject.resource.kind,
                "namespace": subject.namespace,
                "name": subject.name,
                "uid": subject.uid,
            },
            "type": note.kind,
            "reason": note.reason,
            "message": note.message[:_MAX_MESSAGE],
            "count": happened.times,
            "firstTimestamp": _time(happened.first),
            "lastTimestamp": _time(happened.last),
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
        }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
