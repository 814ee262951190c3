"""Many workers ask at once, with filters of every kind, at two replicas that both believe to lead; in memory.

Each access to the store waits for a random number of turns, so that claims meet in every order.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records
from luna_api_shim.workers.handlers import HandlerWatch
from luna_api_shim.workers.identity import Worker
from luna_api_shim.workers.queue import Queue
from luna_streams.lifecycle import HandlerLost, advance
from luna_streams.rest.messages import QueueFilters, QueueRequest
from luna_streams.stream import StreamState
from support.builders import ACCOUNT, NOW, OTHER_ACCOUNT, STREAM_ID, a_group, a_record, a_stream
from support.memory_store import MemoryStore

NAMES = ("door", "gate", "")
GROUPS = ("north", "south")


class Street:
    """Streams of two accounts in a queue, and two replicas that hand them out."""

    def __init__(self, chance: random.Random, count: int) -> None:
        self.chance = chance
        self.store = MemoryStore()
        self.store.groups.all = [
            a_group(name, account_id=account) for name in GROUPS for account in (ACCOUNT, OTHER_ACCOUNT)
        ]
        for number in range(count):
            since = NOW + timedelta(seconds=chance.randrange(5))
            stream = a_stream(
                f"{STREAM_ID[:-3]}{number:03d}",
                account_id=chance.choice((ACCOUNT, OTHER_ACCOUNT)),
                display_name=chance.choice(NAMES),
                groups=tuple(chance.sample(GROUPS, chance.randrange(3))),
            )
            self.store.add(stream.model_copy(update={"status": a_record(stream.spec, now=since)}))
        records = Records(self.store)
        self.queues = [Queue(self.store, records, HandlerWatch(self.store, records, period_s=20)) for _ in range(2)]

    def filters(self) -> QueueFilters:
        """Return some filters; most of them let most streams through."""
        chance = self.chance
        ids = sorted(entry.stream_id for entry in self.store.catalogue)
        return QueueFilters(
            stream_ids=chance.sample(ids, len(ids) // 2) if chance.random() < 0.2 else (),
            names=chance.sample(NAMES, 2) if chance.random() < 0.3 else (),
            group_names=chance.sample(GROUPS, 1) if chance.random() < 0.2 else (),
            group_ids=[chance.choice(self.store.groups.all).group_id] if chance.random() < 0.2 else (),
        )

    def admits(self, filters: QueueFilters, entry: Entry) -> bool:
        """Tell what the document says of the filters: within a list any, between lists all."""
        spec = entry.stream.spec
        own_groups = [
            group.group_id
            for group in self.store.groups.all
            if group.spec.account_id == spec.account_id and group.spec.group_name in spec.groups
        ]
        return all(
            not wanted or set(wanted) & set(own)
            for wanted, own in (
                (filters.stream_ids, [entry.stream_id]),
                (filters.names, [spec.display_name]),
                (filters.group_names, spec.groups),
                (filters.group_ids, own_groups),
            )
        )

    def waiting(self, filters: QueueFilters) -> list[str]:
        """Return what the filters let through, the longest waiting first."""
        entries = [
            entry
            for entry in self.store.catalogue
            if entry.record.status == StreamState.PENDING and self.admits(filters, entry)
        ]
        entries.sort(key=lambda entry: (entry.record.status_time, entry.stream.create_time, entry.stream_id))
        return [entry.stream_id for entry in entries]

    async def take(self, queue: Queue, worker: str, filters: QueueFilters, limit: int) -> list[Entry]:
        request = QueueRequest(filters=filters, limit=limit)
        return await queue.take(Worker(worker), request, 0, asyncio.Event())

    async def disturb(self) -> None:
        """Write into streams at random, as the operator does."""
        for _ in range(self.chance.randrange(20)):
            entry = self.chance.choice(list(self.store.catalogue))
            self.store.change(self.store.objects[entry.key])
            await asyncio.sleep(0)


@settings(max_examples=25)
@given(chance=st.randoms(use_true_random=False), count=st.integers(1, 20), workers=st.integers(1, 8))
async def test_no_stream_is_ever_handed_to_two_workers_and_none_is_lost(
    chance: random.Random, count: int, workers: int
) -> None:
    street = Street(chance, count)
    street.store.order = chance
    held: dict[str, str] = {}

    async def work(name: str) -> None:
        for _ in range(3):
            filters, limit = street.filters(), chance.randrange(1, 8)
            since = {entry.stream_id: entry.queued_since for entry in street.store.catalogue}
            taken = await street.take(chance.choice(street.queues), name, filters, limit)
            assert len(taken) <= limit
            assert all(street.admits(filters, entry) for entry in taken)
            ids = [entry.stream_id for entry in taken]
            assert ids == sorted(ids, key=since.__getitem__)
            for entry in taken:
                assert entry.stream_id not in held
                assert entry.record.processor.worker == name
                held[entry.stream_id] = name

    await asyncio.gather(street.disturb(), *(work(f"w{number}") for number in range(workers)))

    while street.waiting(QueueFilters()):  # whatever is left can still be had
        for entry in await street.take(street.queues[0], "last", QueueFilters(), 7):
            assert entry.stream_id not in held
            held[entry.stream_id] = "last"
    assert held.keys() == {entry.stream_id for entry in street.store.catalogue}
    for entry in street.store.catalogue:
        record = street.store.record(entry)
        assert record.processor.worker == held[entry.stream_id]
        assert [item.status for item in record.history] == ["pending", "in_progress"]


@settings(max_examples=25)
@given(chance=st.randoms(use_true_random=False), count=st.integers(1, 20))
async def test_a_worker_alone_gets_exactly_the_longest_waiting_that_fit(chance: random.Random, count: int) -> None:
    street = Street(chance, count)
    for _ in range(4):
        filters, limit = street.filters(), chance.randrange(1, 12)
        expected = street.waiting(filters)[:limit]
        looked = [entry.stream_id for entry in street.queues[0].pending(filters, limit)]
        taken = await street.take(street.queues[0], "w", filters, limit)
        assert looked == [entry.stream_id for entry in taken] == expected
        for entry in chance.sample(taken, len(taken) // 2):  # lost: at the end of the queue again
            later = entry.record.status_time + timedelta(seconds=1)
            record = advance(entry.record, HandlerLost("gone"), later).record
            await street.store.write_status(entry, record)
