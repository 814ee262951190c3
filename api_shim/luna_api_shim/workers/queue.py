"""The queue: which pending streams a worker may have, and handing them out, each to one worker only.

A worker of this cluster gets the streams that the operator assigned to its pod; anybody else gets those that no pool
selects. A claim is one conditional write of the status, so that two claims of one version cannot both succeed, not
even while two replicas believe that they lead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final

from luna_api_shim.concurrency import for_each
from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records
from luna_api_shim.storage.store import Store
from luna_api_shim.workers.handlers import HandlerWatch, lose
from luna_api_shim.workers.identity import Worker
from luna_kube import ApiError
from luna_streams import naming
from luna_streams.errors import CredentialsMissing, StreamNotFound
from luna_streams.lifecycle import Taken, Withheld, advance
from luna_streams.rest.messages import QueueFilters, QueueRequest
from luna_streams.selection import selecting_pools
from luna_streams.stream import StreamState, StreamStatus

log = logging.getLogger(__name__)

_OUTSIDE: Final = ""
_CLAIMING_TIME_S: Final = 3.0
"""A worker that asks for very many gets what can be claimed in this time; it asks again soon."""
_BREATH_S: Final = 0.1
_MOST_PODS: Final = 10_000


class _NotForYou(Exception):
    """The stream is not pending any more, or belongs to another worker."""


class Queue:
    """Hands out pending streams.

    Args:
        watch: is told of every claim.
        parallel_writes: claims of one request at the same time.

    Attributes:
        is_leader: asked right before each claim; who leads no more hands out nothing.
    """

    is_leader: Callable[[], bool] = staticmethod(lambda: True)

    def __init__(self, store: Store, records: Records, watch: HandlerWatch, *, parallel_writes: int = 16) -> None:
        self._store = store
        self._records = records
        self._watch = watch
        self._parallel_writes = parallel_writes
        self._bells = _Bells()
        self._claiming: set[str] = set()
        self._process_of_pod: dict[str, str] = {}
        self._unselected: dict[str, tuple[tuple[int, str, int], bool]] = {}
        self._pools_epoch = 0
        self._is_closed = False
        store.subscribe(self._stream_changed)
        store.subscribe_surroundings(self._surroundings_changed)

    def pending(self, filters: QueueFilters, limit: int) -> list[Entry]:
        """Return the streams in the queue, the longest waiting first."""
        entries = self._store.catalogue.with_status(StreamState.PENDING)
        return sorted(filter(self._predicate(filters), entries), key=_waiting)[:limit]

    async def take(self, worker: Worker, request: QueueRequest, wait_s: float, gone: asyncio.Event) -> list[Entry]:
        """Hand out up to `limit` streams; they are in progress at this worker from now on.

        Args:
            worker: who asks.
            request: filters and limit.
            wait_s: how long to wait for the first stream.
            gone: set when nobody waits for the answer any more; then streams go back into the queue.
        """
        await self._retire_predecessor(worker)
        deadline = asyncio.get_running_loop().time() + wait_s
        with self._bells.listening(worker.pod.uid if worker.pod else _OUTSIDE) as bell:
            while not gone.is_set():
                bell.clear()
                taken = await self._claim_some(worker, request)
                if taken and gone.is_set():
                    await self._hand_back(taken, "The worker went away before it received the stream")
                    break
                if taken or self._is_closed or not self._is_current(worker) or not self.is_leader():
                    return taken
                if not await _rings(bell, deadline):
                    break
                if worker.pod is None:
                    # The whole queue is looked through for such a worker: not for every single change of it.
                    await asyncio.sleep(_BREATH_S)
        return []

    def wake(self, worker: Worker) -> None:
        """Let the requests of a worker look around, for example because one's client went away."""
        self._bells.ring(worker.pod.uid if worker.pod else _OUTSIDE)

    def wake_all(self) -> None:
        """Let all requests look around: this replica does not lead any more."""
        self._bells.ring_all()

    def close(self) -> None:
        """Answer every waiting request now; this process ends."""
        self._is_closed = True
        self._bells.ring_all()

    # -- claiming ------------------------------------------------------------------------------------------------------

    async def _claim_some(self, worker: Worker, request: QueueRequest) -> list[Entry]:
        """Claim up to `limit` streams; those that turn out not to be had make room for the next in the queue."""
        candidates = self._candidates(worker, request.filters)
        stop_at = asyncio.get_running_loop().time() + _CLAIMING_TIME_S
        failures: list[ApiError] = []
        taken: list[Entry] = []

        async def claim(entry: Entry) -> Entry | None:
            if asyncio.get_running_loop().time() >= stop_at:
                return None
            try:
                return await self._claim(entry, worker)
            except ApiError as e:
                failures.append(e)
                return None

        while candidates and len(taken) < request.limit and not failures:
            wanted = request.limit - len(taken)
            batch, candidates = candidates[:wanted], candidates[wanted:]
            ids = {entry.stream_id for entry in batch}
            self._claiming |= ids
            try:
                claimed = await for_each(batch, claim, limit=self._parallel_writes)
            finally:
                self._claiming -= ids
            taken += [entry for entry in claimed if entry is not None]
            if asyncio.get_running_loop().time() >= stop_at:
                break
            candidates = [entry for entry in candidates if entry.stream_id not in self._claiming]
        if failures and not taken:
            raise failures[0]
        bare = [entry for entry in taken if not self._has_credentials(entry)]
        await self._hand_back(bare, "Its credentials were replaced")
        return [entry for entry in taken if entry not in bare]

    def _candidates(self, worker: Worker, filters: QueueFilters) -> list[Entry]:
        """Return the pending streams a worker may have, the longest waiting first."""
        if worker.pod is not None:
            entries = self._store.catalogue.of_pod(worker.pod.uid)
        else:
            entries = self._store.catalogue.with_status(StreamState.PENDING)
        fits = self._predicate(filters)
        return sorted(
            (
                entry
                for entry in entries
                if entry.stream_id not in self._claiming
                and fits(entry)
                and self._may_have(worker, entry, entry.state, entry.pod_uid)
            ),
            key=_waiting,
        )

    def _may_have(self, worker: Worker, entry: Entry, state: StreamState, pod_uid: str | None) -> bool:
        if state != StreamState.PENDING:
            return False
        if worker.pod is not None:
            return pod_uid == worker.pod.uid
        return pod_uid is None and self._is_unselected(entry)

    async def _claim(self, entry: Entry, worker: Worker) -> Entry | None:
        """Take one stream for a worker; None if it cannot have it."""
        if foreign := entry.stream.spec.data.event_handler_types - worker.handlers:
            await self._withhold(entry, _not_delivered(foreign))
            return None

        def decide(current: Entry, record: StreamStatus, now: datetime) -> StreamStatus:
            if not (self.is_leader() and self._may_have(worker, current, record.status, record.processor.pod_uid)):
                raise _NotForYou
            if current.stream.spec.data.event_handler_types - worker.handlers:
                raise _NotForYou
            self._store.credentials(current.stream)
            address = None if worker.address is None else str(worker.address)
            return advance(record, Taken(worker.process, address), now).record

        try:
            try:
                claimed = await self._records.move(entry, decide)
            except CredentialsMissing as e:
                if entry.record.last_error == _withheld(e):
                    return None
                await self._store.fetch_secrets(entry.stream)  # they may be as new as the stream
                claimed = await self._records.move(entry, decide)
        except (_NotForYou, StreamNotFound):
            return None
        except CredentialsMissing as e:
            await self._withhold(entry, _withheld(e))
            return None
        self._watch.heard(claimed.stream_id)
        return claimed

    async def _withhold(self, entry: Entry, reason: str) -> None:
        """Say why a stream stays in the queue, unless that was said."""
        if entry.record.last_error == reason:
            return
        with suppress(StreamNotFound):
            await self._records.move(entry, lambda _entry, record, now: advance(record, Withheld(reason), now).record)

    def _has_credentials(self, entry: Entry) -> bool:
        """Tell whether a stream's Secret is still there: a PUT while others were being claimed takes it away."""
        try:
            self._store.credentials(entry.stream)
        except CredentialsMissing:
            return False
        return True

    async def _hand_back(self, taken: Iterable[Entry], reason: str) -> None:
        """Put streams back into the queue, unless somebody has changed them meanwhile."""

        async def give_up(entry: Entry) -> None:
            await lose(self._records, entry, reason)

        await for_each(taken, give_up, limit=self._parallel_writes)

    # -- processes of a pod --------------------------------------------------------------------------------------------

    async def _retire_predecessor(self, worker: Worker) -> None:
        """Take from a pod's earlier process what it held: the container was started again."""
        if worker.pod is None:
            return
        pod = worker.pod
        if self._process_of_pod.pop(pod.uid, None) not in (None, worker.process):
            self._bells.ring(pod.uid)
        self._process_of_pod[pod.uid] = worker.process
        if len(self._process_of_pod) > _MOST_PODS:  # of all, it has been silent for longest: long gone
            del self._process_of_pod[next(iter(self._process_of_pod))]
        orphans = [
            entry
            for entry in self._store.catalogue.of_pod(pod.uid)
            if entry.state == StreamState.IN_PROGRESS and entry.record.processor.worker != worker.process
        ]

        async def give_up(entry: Entry) -> None:
            await lose(self._records, entry, f"The processor in {pod.name} was started again")

        await for_each(orphans, give_up, limit=self._parallel_writes)

    def _is_current(self, worker: Worker) -> bool:
        return worker.pod is None or self._process_of_pod.get(worker.pod.uid) == worker.process

    # -- who may have what ---------------------------------------------------------------------------------------------

    def _predicate(self, filters: QueueFilters) -> Callable[[Entry], bool]:
        """Return what the filters ask of a stream: within a list any, between lists all."""
        ids, names, group_names = set(filters.stream_ids), set(filters.names), set(filters.group_names)
        groups = {
            (group.spec.account_id, group.spec.group_name)
            for group in map(self._store.groups.get, filters.group_ids)
            if group is not None
        }

        def fits(entry: Entry) -> bool:
            spec = entry.stream.spec
            return (
                (not ids or entry.stream_id in ids)
                and (not names or spec.display_name in names)
                and (not group_names or not group_names.isdisjoint(spec.groups))
                and (not filters.group_ids or any((spec.account_id, name) in groups for name in spec.groups))
            )

        return fits

    def _is_unselected(self, entry: Entry) -> bool:
        """Tell whether no pool selects a stream; computed once for each spec and set of pools."""
        key = self._pools_epoch, entry.stream.uid, entry.stream.generation
        known = self._unselected.get(entry.stream_id)
        if known is None or known[0] != key:
            known = key, not selecting_pools(self._store.pools, entry.stream)
            self._unselected[entry.stream_id] = known
        return known[1]

    def _stream_changed(self, old: Entry | None, new: Entry | None) -> None:
        if new is None:
            if old is not None:
                self._unselected.pop(old.stream_id, None)
        elif new.state == StreamState.PENDING:
            self._bells.ring(new.pod_uid or _OUTSIDE)

    def _surroundings_changed(self) -> None:
        self._pools_epoch += 1
        self._bells.ring_all()


class _Bells:
    """Wakes requests that wait for streams, by pod; those from outside share one."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def listening(self, name: str) -> Iterator[asyncio.Event]:
        bell = asyncio.Event()
        self._listeners.setdefault(name, set()).add(bell)
        try:
            yield bell
        finally:
            self._listeners[name].discard(bell)
            if not self._listeners[name]:
                del self._listeners[name]

    def ring(self, name: str) -> None:
        for bell in self._listeners.get(name, ()):
            bell.set()

    def ring_all(self) -> None:
        for name in self._listeners:
            self.ring(name)


async def _rings(bell: asyncio.Event, deadline: float) -> bool:
    """Wait for a bell; False when the deadline came first."""
    try:
        async with asyncio.timeout_at(deadline):
            await bell.wait()
    except TimeoutError:
        return False
    return True


def _withheld(missing: CredentialsMissing) -> str:
    return f"{missing}; it needs the label {naming.LABEL_CREDENTIALS}"


def _not_delivered(types: Iterable[str]) -> str:
    return f"The processor that asked for streams cannot deliver to event handlers of type {', '.join(sorted(types))}"


def _waiting(entry: Entry) -> tuple[datetime, datetime, str]:
    return entry.queued_since
