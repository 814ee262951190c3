"""The streams as the shim knows them: parsed once per version, sorted by age and by id, indexed for every filter.

Pure: `store` feeds it from the reflector and from own writes. A query walks the smaller of two things: the candidates
that its indexed filters leave, or all streams in order until the page is full.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Final

from luna_streams import autorestart, lifecycle, naming
from luna_streams.stream import Stream, StreamState, StreamStatus

Key = tuple[str, str]
"""Namespace and name of the object."""
Age = tuple[datetime, str]
"""Creation time and stream id: the order of appearance."""

ACTIVE_STATES: Final = (StreamState.PENDING, StreamState.IN_PROGRESS, StreamState.PAUSE)
"""Streams that are at work, or wait for it."""

_SORT_BELOW = 0.25
"""Share of all streams up to which sorting the candidates beats walking everything in order."""


@dataclass(eq=False)
class Entry:
    """One version of one stream.

    Attributes:
        rendered: JSON text by API version and versions of the Secrets; see `rendering`.
    """

    stream: Stream
    rendered: dict[tuple[int, tuple[str, ...]], bytes] = field(default_factory=dict, repr=False)

    @cached_property
    def stream_id(self) -> str:
        """What the REST API calls the stream."""
        return naming.stream_id(self.stream.namespace, self.stream.name)

    @cached_property
    def record(self) -> StreamStatus:
        """The status; of a stream that has none yet, the one it is going to get."""
        return self.stream.status or lifecycle.create(self.stream.spec, self.stream.create_time).record

    @property
    def state(self) -> StreamState:
        """The documented status, without making a record for it."""
        return self.stream.spec.desired_status if self.stream.status is None else self.stream.status.status

    @property
    def pod_uid(self) -> str | None:
        """The pod the stream is assigned to or held by."""
        return None if self.stream.status is None else self.stream.status.processor.pod_uid

    @property
    def queued_at(self) -> datetime:
        """The last change of status."""
        return self.stream.create_time if self.stream.status is None else self.stream.status.status_time

    @property
    def key(self) -> Key:
        """Namespace and name of the object."""
        return self.stream.namespace, self.stream.name

    @property
    def age(self) -> Age:
        """Where the stream stands in the order of appearance."""
        return self.stream.create_time, self.stream_id

    @property
    def queued_since(self) -> tuple[datetime, datetime, str]:
        """Where the stream stands in the queue: the last change of status, oldest first."""
        return self.queued_at, *self.age


@dataclass(frozen=True, slots=True)
class StreamFilter:
    """Which streams a query asks for; within a list any value fits, between lists all must; None asks for nothing."""

    account_id: str | None = None
    stream_ids: Set[str] | None = None
    names: Set[str] | None = None
    reference: str | None = None
    statuses: Set[str] | None = None
    group_name: str | None = None
    create_time_gte: datetime | None = None
    create_time_lt: datetime | None = None
    stream_id_gte: str | None = None
    stream_id_lt: str | None = None
    check: Callable[[Entry], bool] | None = None
    """What no index knows; asked last."""

    @property
    def sorts_by_id(self) -> bool:
        """Whether the answer is sorted by id, as the document says of ranges of ids."""
        return self.stream_id_gte is not None or self.stream_id_lt is not None

    @property
    def has_ranges(self) -> bool:
        """Whether something is asked for that no index answers."""
        bounds = (self.create_time_gte, self.create_time_lt, self.stream_id_gte, self.stream_id_lt, self.check)
        return any(bound is not None for bound in bounds)

    def admits(self, entry: Entry) -> bool:
        """Tell whether a stream lies within the ranges of time and id, and passes the check."""
        created = entry.stream.create_time
        return (
            (self.create_time_gte is None or created >= self.create_time_gte)
            and (self.create_time_lt is None or created < self.create_time_lt)
            and (self.stream_id_gte is None or entry.stream_id >= self.stream_id_gte)
            and (self.stream_id_lt is None or entry.stream_id < self.stream_id_lt)
            and (self.check is None or self.check(entry))
        )


class Catalogue:
    """All streams, by id, in order, and by what filters ask for."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Entry] = {}
        self._by_id: dict[str, Entry] = {}
        self._ages: list[Age] = []
        self._ids: list[str] = []
        self._indexes: dict[tuple[str, str], set[str]] = {}
        self._hidden: dict[str, dict[Key, Entry]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._by_id.values())

    def get(self, stream_id: str) -> Entry | None:
        """Return the stream with an id."""
        return self._by_id.get(stream_id)

    def at(self, key: Key) -> Entry | None:
        """Return the stream of an object."""
        return self._by_key.get(key)

    def with_status(self, status: StreamState) -> list[Entry]:
        """Return the streams of a status, in no order."""
        return self._under("status", status.value)

    def blank(self) -> list[Entry]:
        """Return the streams without a status, in no order."""
        return self._under(*_BLANK)

    def edited(self) -> list[Entry]:
        """Return the streams whose spec is newer than the one their status followed, in no order."""
        return self._under(*_EDITED)

    def restarting(self) -> list[Entry]:
        """Return the streams for which automatic restarting has something to do, now or later, in no order."""
        return self._under(*_RESTARTING)

    def of_pod(self, pod_uid: str) -> list[Entry]:
        """Return the streams that are assigned to a pod or held by it, in no order."""
        return self._under("pod", pod_uid)

    def put(self, entry: Entry) -> Entry | None:
        """Take a version of a stream; return the one it replaces.

        Two objects of different namespaces may carry one UUID as their name: the first one is the stream, the other
        stays out of sight until the first is gone.
        """
        old = self._by_key.get(entry.key)
        owner = self._by_id.get(entry.stream_id)
        if owner is not None and owner.key != entry.key:
            self._hidden.setdefault(entry.stream_id, {})[entry.key] = entry
            return None
        self._by_key[entry.key] = self._by_id[entry.stream_id] = entry
        if old is None:
            insort(self._ages, entry.age)
            insort(self._ids, entry.stream_id)
            self._index(entry, _terms(entry))
        else:
            before, now = set(_terms(old)), set(_terms(entry))
            self._unindex(old, before - now)
            self._index(entry, now - before)
        return old

    def remove(self, key: Key) -> Entry | None:
        """Forget the stream of an object; return its last version."""
        old = self._by_key.pop(key, None)
        if old is None:
            self._forget_hidden(key)
            return None
        del self._by_id[old.stream_id]
        del self._ages[bisect_left(self._ages, old.age)]
        del self._ids[bisect_left(self._ids, old.stream_id)]
        self._unindex(old, _terms(old))
        for entry in self._hidden.pop(old.stream_id, {}).values():
            self.put(entry)
        return old

    def _forget_hidden(self, key: Key) -> None:
        stream_id = naming.stream_id(*key)
        if hidden := self._hidden.get(stream_id):
            hidden.pop(key, None)
            if not hidden:
                del self._hidden[stream_id]

    def select(self, wanted: StreamFilter, *, newest_first: bool, offset: int, limit: int) -> list[Entry]:
        """Return one page of the streams a filter means."""
        ids = self._candidates(wanted)
        if ids is None and not wanted.has_ranges:
            end = len(self._ages) - offset
            page = self._ages[max(0, end - limit) : max(0, end)][::-1] if newest_first else self._ages[offset:][:limit]
            return [self._by_id[stream_id] for _, stream_id in page]
        return list(islice(self._matching(wanted, ids, newest_first=newest_first), offset, offset + limit))

    def matching(self, wanted: StreamFilter) -> list[Entry]:
        """Return all streams a filter means, in the order of appearance."""
        return list(self._matching(wanted, self._candidates(wanted), newest_first=False))

    def count(self, wanted: StreamFilter) -> int:
        """Return how many streams a filter means."""
        ids: Collection[str] | None = self._candidates(wanted)
        if ids is None:
            ids = self._ids
        if not wanted.has_ranges:
            return len(ids)
        return sum(1 for stream_id in ids if wanted.admits(self._by_id[stream_id]))

    def count_active(self, account_id: str | None = None) -> int:
        """Return how many streams, or streams of one account, wait, are in progress or are paused."""
        if account_id is not None:
            return len(self._indexes.get((_ACTIVE_OF, account_id), _NOTHING))
        return sum(len(self._indexes.get(("status", state.value), _NOTHING)) for state in ACTIVE_STATES)

    def _matching(self, wanted: StreamFilter, ids: Set[str] | None, *, newest_first: bool) -> Iterator[Entry]:
        if ids is not None and len(ids) < _SORT_BELOW * len(self._by_id):
            entries = [self._by_id[stream_id] for stream_id in ids]
            entries.sort(key=_by_id if wanted.sorts_by_id else _by_age, reverse=newest_first)
            candidates = iter(entries)
        else:
            candidates = self._in_order(wanted.sorts_by_id, newest_first, ids)
        return filter(wanted.admits, candidates) if wanted.has_ranges else candidates

    def _in_order(self, by_id: bool, newest_first: bool, among: Set[str] | None) -> Iterator[Entry]:
        ids: Iterator[str] = reversed(self._ids) if newest_first else iter(self._ids)
        if not by_id:
            ids = (stream_id for _, stream_id in (reversed(self._ages) if newest_first else self._ages))
        return (self._by_id[stream_id] for stream_id in ids if among is None or stream_id in among)

    def _candidates(self, wanted: StreamFilter) -> Set[str] | None:
        """Return the ids that the indexed filters leave; None if there is no such filter."""
        sets: list[Set[str]] = []
        if wanted.stream_ids is not None:
            sets.append({stream_id for stream_id in wanted.stream_ids if stream_id in self._by_id})
        for name, values in (
            ("account", _one(wanted.account_id)),
            ("name", wanted.names),
            ("reference", _one(wanted.reference)),
            ("status", wanted.statuses),
            ("group", _one(wanted.group_name)),
        ):
            if values is not None:
                found = [self._indexes.get((name, value), _NOTHING) for value in values]
                sets.append(found[0] if len(found) == 1 else set().union(*found))
        if not sets:
            return None
        sets.sort(key=len)
        return sets[0] if len(sets) == 1 else set(sets[0]).intersection(*sets[1:])

    def _under(self, name: str, value: str) -> list[Entry]:
        return [self._by_id[stream_id] for stream_id in self._indexes.get((name, value), ())]

    def _index(self, entry: Entry, terms: Iterable[tuple[str, str]]) -> None:
        for term in terms:
            self._indexes.setdefault(term, set()).add(entry.stream_id)

    def _unindex(self, entry: Entry, terms: Iterable[tuple[str, str]]) -> None:
        for term in terms:
            ids = self._indexes[term]
            ids.discard(entry.stream_id)
            if not ids:
                del self._indexes[term]


_BLANK = ("blank", "")
_EDITED = ("edited", "")
_RESTARTING = ("restarting", "")
_ACTIVE_OF = "active of account"
_NOTHING: frozenset[str] = frozenset()


def _one(value: str | None) -> Set[str] | None:
    return None if value is None else frozenset((value,))


def _by_age(entry: Entry) -> Age:
    return entry.age


def _by_id(entry: Entry) -> str:
    return entry.stream_id


def _terms(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield what a stream is found under."""
    spec = entry.stream.spec
    yield "account", spec.account_id
    yield "name", spec.display_name
    yield "reference", spec.data.reference
    yield "status", entry.state.value
    if entry.state in ACTIVE_STATES:
        yield _ACTIVE_OF, spec.account_id
    status = entry.stream.status
    if status is None:
        yield _BLANK
    else:
        if status.observed_generation != entry.stream.generation:
            yield _EDITED
        if autorestart.next_autorestart(status, spec.autorestart) is not None:
            yield _RESTARTING
    for group in spec.groups:
        yield "group", group
    if entry.pod_uid:
        yield "pod", entry.pod_uid
