"""What of the streams' history is still to be copied. Pure: `copier` feeds it and empties it.

Every replica keeps the last history of streams that were deleted a while ago, since their objects are gone and the
leader may die before it has copied them. Only the leader keeps more: every entry that it has not copied yet, also those
that have left the resource meanwhile, as long as there are not too many of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from luna_api_shim.storage.catalogue import Entry
from luna_streams.stream import LogEntry

_MOST_ENTRIES: Final = 200_000
"""Entries kept beyond those that stand in a resource: a day of a database that is away, in about 200 MB."""
_MOST_DEPARTED: Final = 4096
_MOST_GONE: Final = 16_384
"""Streams that are gone and not copied yet: no resource bounds what is kept of them."""


@dataclass(frozen=True, slots=True)
class LoggedStream:
    """Whose log it is: one object, which its name and stream id may outlive."""

    uid: str
    namespace: str
    name: str
    stream_id: str
    account_id: str

    @classmethod
    def of(cls, entry: Entry) -> LoggedStream:
        """Return the identity of a stream."""
        stream = entry.stream
        return cls(stream.uid, stream.namespace, stream.name, entry.stream_id, stream.spec.account_id)


@dataclass(frozen=True, slots=True)
class Copied:
    """How far the log of a stream was copied."""

    stream: LoggedStream
    last_seq: int
    last_version: int
    last_time: datetime
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Addition:
    """Entries of one stream to be copied together, in their order.

    Attributes:
        deleted_at: when it was noticed that the stream is gone; None if it is not, or if more entries come before.
        version: of the stream, for the entry that says so.
    """

    stream: LoggedStream
    entries: tuple[LogEntry, ...]
    deleted_at: datetime | None = None
    version: int = 1


@dataclass(slots=True)
class _Pending:
    """The entries of one stream that wait, by number."""

    stream: LoggedStream
    entries: dict[int, LogEntry] = field(default_factory=dict)
    deleted_at: datetime | None = None
    version: int = 1
    last_time: datetime | None = None

    def take(self, entries: Iterable[LogEntry]) -> None:
        for entry in entries:
            self.entries.setdefault(entry.seq, entry)
            self.version, self.last_time = entry.version, entry.log_time


class Backlog:
    """See the module.

    Args:
        most_entries: how many entries wait in memory at most, besides those that stand in the resources.
        most_departed: how many streams that are gone a replica remembers that does not lead.
        most_gone: how many of them wait while it leads.

    Attributes:
        lost: entries that had left a resource before they could be copied, since `begin`.
    """

    def __init__(
        self,
        *,
        most_entries: int = _MOST_ENTRIES,
        most_departed: int = _MOST_DEPARTED,
        most_gone: int = _MOST_GONE,
    ) -> None:
        self._most_entries = most_entries
        self._most_departed = most_departed
        self._most_gone = most_gone
        self._pending: dict[str, _Pending] = {}
        self._gone: dict[str, None] = {}
        """Uids of those that wait and are gone, the first to leave first."""
        self._departed: dict[str, _Pending] = {}
        self._copied: dict[str, int] | None = None
        self._is_keeping = False
        self._count = 0
        self.lost = 0

    def __len__(self) -> int:
        return self._count + sum(1 for pending in self._pending.values() if pending.deleted_at is not None)

    # -- what happens to streams ---------------------------------------------------------------------------------------

    def admit(self, entry: Entry, history: Sequence[LogEntry]) -> None:
        """Take the history of a stream that is there."""
        if self._is_keeping and history:
            self._add(LoggedStream.of(entry), history)

    def depart(self, entry: Entry, now: datetime) -> None:
        """Take the last history of a stream that is gone."""
        stream, history = LoggedStream.of(entry), entry.record.history
        if self._is_keeping:
            pending = self._add(stream, history) or self._wait_for(stream)
            pending.version = entry.record.version
            pending.deleted_at = max(now, history[-1].log_time) if history else now
            self._gone[stream.uid] = None
            while len(self._gone) > self._most_gone:
                self._give_up(next(iter(self._gone)))
            return
        self._departed.pop(stream.uid, None)
        self._departed[stream.uid] = departed = _Pending(stream, deleted_at=now)
        departed.take(history)
        while len(self._departed) > self._most_departed:
            del self._departed[next(iter(self._departed))]

    def _add(self, stream: LoggedStream, history: Sequence[LogEntry]) -> _Pending | None:
        copied = 0 if self._copied is None else self._copied.get(stream.uid, 0)
        present = self._pending.get(stream.uid)
        known = max(present.entries, default=copied) if present is not None else copied
        news = [entry for entry in history if entry.seq > known]
        if not news:
            return present
        if self._copied is not None or (present is not None and present.entries):
            self.lost += news[0].seq - known - 1
        pending = present or self._wait_for(stream)
        pending.stream = stream
        pending.take(news)
        self._count += len(news)
        if self._count > self._most_entries:
            self._forget(pending, history[0].seq)
        return pending

    def _wait_for(self, stream: LoggedStream) -> _Pending:
        return self._pending.setdefault(stream.uid, _Pending(stream))

    def _forget(self, pending: _Pending, since: int) -> None:
        """Keep no more of a stream than its resource does."""
        old = [seq for seq in pending.entries if seq < since]
        for seq in old:
            del pending.entries[seq]
        self._count -= len(old)
        self.lost += len(old)

    def _give_up(self, uid: str) -> None:
        """Forget a stream that is gone; that it is gone is noticed again if it was ever copied."""
        del self._gone[uid]
        entries = len(self._pending.pop(uid).entries)
        self._count -= entries
        self.lost += entries

    # -- the leader ----------------------------------------------------------------------------------------------------

    @property
    def departed(self) -> tuple[str, ...]:
        """The uids of streams that left while this replica did not lead."""
        return tuple(self._departed)

    def keep(self, live: Iterable[Entry]) -> None:
        """Begin to keep what has to be copied: this replica leads now."""
        self._is_keeping = True
        self._copied = None
        for entry in live:
            if entry.stream.status is not None:
                self.admit(entry, entry.stream.status.history)

    def rest(self) -> None:
        """Keep nothing any more but streams that left: this replica leads no longer."""
        gone = [pending for pending in self._pending.values() if pending.deleted_at is not None]
        self._departed |= {pending.stream.uid: pending for pending in gone[-self._most_departed :]}
        self._pending.clear()
        self._gone.clear()
        self._count = 0
        self._copied = None
        self._is_keeping = False

    def begin(self, copied: Mapping[str, Copied], vanished: Iterable[Copied], now: datetime) -> None:
        """Learn how far everything was copied, and forget what is copied already.

        Args:
            copied: by uid; streams that are not in it were never copied.
            vanished: those of them whose objects are gone, without anybody saying so.
            now: present time.
        """
        for uid, departed in self._departed.items():
            done = copied.get(uid)
            if uid not in self._pending and (done is None or not done.is_deleted):
                self._pending[uid] = departed
                self._gone[uid] = None
        self._departed.clear()
        for one in vanished:
            pending = self._wait_for(one.stream)
            if pending.deleted_at is None:
                pending.deleted_at = max(now, one.last_time)
                pending.version = max(pending.version, one.last_version)
        self._copied = {uid: one.last_seq for uid, one in copied.items() if not one.is_deleted or uid in self._pending}
        for uid, pending in list(self._pending.items()):
            last = self._copied.get(uid, 0)
            pending.entries = {seq: entry for seq, entry in pending.entries.items() if seq > last}
            if pending.entries:
                self.lost += min(pending.entries) - last - 1
            elif pending.deleted_at is None:
                del self._pending[uid]
        self._count = sum(len(pending.entries) for pending in self._pending.values())

    def next(self, limit: int) -> list[Addition]:
        """Return what is to be copied next, about `limit` entries; what waits longest comes first."""
        batch: list[Addition] = []
        room = limit
        for pending in self._pending.values():
            if room <= 0:
                break
            numbers = sorted(pending.entries)[:room]
            is_all = len(numbers) == len(pending.entries)
            entries = tuple(pending.entries[seq] for seq in numbers)
            deleted_at = pending.deleted_at if is_all else None
            batch.append(Addition(pending.stream, entries, deleted_at, pending.version))
            room -= len(entries) + (deleted_at is not None)
        return batch

    def done(self, batch: Iterable[Addition]) -> None:
        """Learn that a batch was copied."""
        copied = self._copied if self._copied is not None else {}
        for addition in batch:
            uid = addition.stream.uid
            pending = self._pending.get(uid)
            if pending is None:  # the term ended meanwhile
                continue
            for entry in addition.entries:
                if pending.entries.pop(entry.seq, None) is not None:
                    self._count -= 1
            if addition.entries:
                copied[uid] = max(copied.get(uid, 0), addition.entries[-1].seq)
            if pending.entries or pending.deleted_at != addition.deleted_at:
                continue
            del self._pending[uid]
            if addition.deleted_at is not None:
                self._gone.pop(uid, None)
                copied.pop(uid, None)
