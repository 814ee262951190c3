"""Events (core/v1) that say what happened to a stream or a pool: few, counted, and never in the way.

A repetition raises the count of the Event that is there. Events wait in two bounded queues and are written slowly,
behind everything that matters, warnings before the ordinary ones; when too many come, they are dropped. Losing an Event
loses nothing but a line of `kubectl describe`: conditions say how things are.
Source of the idea: client-go's EventCorrelator (aggregation, spam filter).
"""

from __future__ import annotations

import asyncio
import logging
import uuid
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
class _Written:
    name: str
    count: int
    first: datetime
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
        self._pending: dict[EventKind, dict[Note, int]] = {"Warning": {}, "Normal": {}}
        self._written: OrderedDict[Note, _Written] = OrderedDict()
        self._wake = asyncio.Event()

    def note(self, note: Note) -> None:
        """Take a note; a repetition of one that still waits is counted with it."""
        pending = self._pending[note.kind]
        if note not in pending and len(pending) >= _QUEUE_LIMIT:
            self._on_drop()
            return
        pending[note] = pending.get(note, 0) + 1
        self._wake.set()

    async def run(self) -> None:
        """Write the notes until cancelled, warnings first."""
        while True:
            await self._wake.wait()
            while pending := self._pending["Warning"] or self._pending["Normal"]:
                note = next(iter(pending))
                times = pending.pop(note)
                try:
                    await self._write(note, times)
                except ApiError as e:
                    log.info("an event could not be written: %s", e)
                    self._on_drop()
                await asyncio.sleep(_PAUSE_S)
            self._wake.clear()

    async def _write(self, note: Note, times: int) -> None:
        now = datetime.now(UTC)
        before = self._written.get(note)
        if before is not None and now - before.last < _AGGREGATION:
            again = _Written(before.name, before.count + times, before.first, now)
            try:
                change = {"count": again.count, "lastTimestamp": _time(now)}
                await self._client.patch(EVENTS.at(note.subject.namespace, before.name), change)
            except NotFound:  # events live for an hour
                again = await self._create(note, times, now)
        else:
            again = await self._create(note, times, now)
        self._written.pop(note, None)
        self._written[note] = again
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    async def _create(self, note: Note, times: int, now: datetime) -> _Written:
        name = f"{note.subject.name[:200]}.{uuid.uuid4().hex[:16]}"
        await self._client.create(EVENTS.within(note.subject.namespace), self._body(note, name, times, now))
        return _Written(name, times, now, now)

    def _body(self, note: Note, name: str, times: int, now: datetime) -> Json:
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
            "count": times,
            "firstTimestamp": _time(now),
            "lastTimestamp": _time(now),
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
        }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
