"""Events on disk: an append-only index of JSON lines, and a folder of pictures for each event.

An event's pictures are written before its line, and its line in one write: after a kill there may be pictures without
a line (removed at the next start) or half a line at the end (cut off at the next start), but never an event in the list
whose pictures are missing. A power cut may lose the last seconds; for a stand-in that is good enough.
The oldest events go when there are too many, or their pictures take too much room.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from luna_local.inbox.deliveries import Delivery, Query
from luna_local.inbox.events import Event, StoredImage

_LOG = logging.getLogger(__name__)
# A full inbox drops this share of its events at once, so that the index is not written anew for each.
_DROPPED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class EventLimits:
    """How much is kept."""

    events: int = 100_000
    picture_bytes: int = 4 * 1024**3


class EventStore:
    """The events of an inbox, in the order in which they came."""

    def __init__(self, folder: Path, limits: EventLimits | None = None) -> None:
        self.pictures = folder / "pictures"
        self._index = folder / "events.jsonl"
        self._limits = limits or EventLimits()
        self._writing = asyncio.Lock()
        self.pictures.mkdir(parents=True, exist_ok=True)
        self._events = _read_index(self._index)
        self._bytes = sum(event.size_bytes for event in self._events)
        self._best_shots = _count_best_shots(self._events)
        self._changes = 0
        known = {event.event_id for event in self._events}
        for left_over in self.pictures.iterdir():
            if left_over.name not in known:
                shutil.rmtree(left_over, ignore_errors=True)

    @property
    def version(self) -> str:
        """A mark that changes whenever the events do."""
        return f"{self._changes}-{self._events[-1].event_id if self._events else ''}"

    def __len__(self) -> int:
        return len(self._events)

    def select(self, handler_id: str | None, stream_id: str | None, limit: int | None = None) -> list[Event]:
        """Return events, oldest first, of a handler or stream if one is given; at most the first `limit`."""
        found = [
            event
            for event in self._events
            if (handler_id is None or event.handler_id == handler_id)
            and (stream_id is None or event.stream_id == stream_id)
        ]
        return found if limit is None else found[:limit]

    def newest(self, count: int) -> list[Event]:
        """Return the last events, newest first."""
        return self._events[: -count - 1 : -1]

    def best_shots(self, stream_id: str) -> int:
        """Return how many pictures arrived of a stream."""
        return self._best_shots[stream_id]

    def find(self, event_id: str) -> Event | None:
        """Return an event by its id."""
        return next((event for event in reversed(self._events) if event.event_id == event_id), None)

    async def add(self, handler_id: str | None, delivery: Delivery) -> Event:
        """Keep what was delivered; it is on disk when this returns.

        Raises:
            OSError: if it cannot be written; nothing is kept then.
        """
        async with self._writing:
            event = await asyncio.to_thread(self._write, handler_id, delivery)
            self._events.append(event)
            self._bytes += event.size_bytes
            self._best_shots += _count_best_shots([event])
            self._changes += 1
            if len(self._events) > self._limits.events or self._bytes > self._limits.picture_bytes:
                try:
                    await asyncio.to_thread(self._drop_oldest)
                except OSError as e:  # the event is kept, and whoever sent it is to hear so
                    _LOG.warning("the inbox is full, and its oldest events cannot be dropped: %s", e.strerror)
        return event

    async def clear(self) -> None:
        """Forget every event and its pictures."""
        async with self._writing:
            self._changes += 1
            await asyncio.to_thread(self._keep, [])

    def _write(self, handler_id: str | None, delivery: Delivery) -> Event:
        event_id = str(uuid.uuid4())
        folder = self.pictures / event_id
        try:
            folder.mkdir()
            for number, picture in enumerate(delivery.pictures):
                (folder / f"{number}.{picture.suffix}").write_bytes(picture.data)
            event = Event(
                event_id=event_id,
                handler_id=handler_id,
                stream_id=_text(delivery.query, "stream_id"),
                track_id=_text(delivery.query, "track_id"),
                request_id=delivery.request_id,
                received_at=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
                query=delivery.query,
                fields=delivery.fields,
                images=tuple(
                    StoredImage(
                        name=picture.name,
                        file=f"{event_id}/{number}.{picture.suffix}",
                        content_type=picture.content_type,
                        width=picture.width,
                        height=picture.height,
                        size_bytes=len(picture.data),
                    )
                    for number, picture in enumerate(delivery.pictures)
                ),
            )
            _append(self._index, event.model_dump_json().encode() + b"\n")
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return event

    def _drop_oldest(self) -> None:
        kept = list(self._events)
        dropped = max(1, int(len(kept) * _DROPPED_SHARE))
        _LOG.warning("the inbox is full: its %d oldest events are dropped", dropped)
        self._keep(kept[dropped:])

    def _keep(self, kept: list[Event]) -> None:
        temporary = self._index.with_suffix(".new")
        try:
            temporary.write_bytes(b"".join(event.model_dump_json().encode() + b"\n" for event in kept))
            temporary.replace(self._index)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        gone = {event.event_id for event in self._events} - {event.event_id for event in kept}
        self._events = kept
        self._bytes = sum(event.size_bytes for event in kept)
        self._best_shots = _count_best_shots(kept)
        for event_id in gone:
            shutil.rmtree(self.pictures / event_id, ignore_errors=True)


def _count_best_shots(events: list[Event]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for event in events:
        if event.stream_id is not None:
            counts[event.stream_id] += len(event.images)
    return counts


def _text(query: Query, name: str) -> str | None:
    value = query.get(name)
    return value[0] if isinstance(value, list) else value


def _append(path: Path, line: bytes) -> None:
    """Append a line in one write; if only a part of it fits, take that back."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        written = 0
        try:
            written = os.write(descriptor, line)
        finally:
            if written != len(line):
                os.ftruncate(descriptor, size)
        if written != len(line):
            raise OSError(28, "No space left on device", str(path))
    finally:
        os.close(descriptor)


def _read_index(path: Path) -> list[Event]:
    """Read the index; a torn last line is cut off, a damaged one elsewhere is skipped."""
    with contextlib.suppress(FileNotFoundError):
        data = path.read_bytes()
        complete = data.rfind(b"\n") + 1
        if complete != len(data):
            _LOG.warning("the last line of %s was torn and is dropped", path)
            os.truncate(path, complete)
        return [event for line in data[:complete].splitlines() if (event := _parsed(line, path)) is not None]
    return []


def _parsed(line: bytes, path: Path) -> Event | None:
    try:
        return Event.model_validate(json.loads(line))
    except (ValueError, ValidationError):
        _LOG.warning("a damaged line of %s is skipped", path)
        return None
