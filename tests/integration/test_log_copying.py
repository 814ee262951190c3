"""Copying the log: whatever dies, is away or is deleted, each entry stands there once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from luna_api_shim.errors import LogsUnavailable, NotReady
from luna_api_shim.logs.copier import Copier
from luna_api_shim.logs.database import Database, file_url
from luna_api_shim.logs.logbook import Logbook
from luna_api_shim.logs.rows import LogFilter, LogRows
from luna_api_shim.logs.schema import Schema
from luna_api_shim.logs.tables import DELETED_SEQ, LOGS
from luna_streams.lifecycle import UserRequest, advance
from luna_streams.stream import DesiredState, Stream, StreamState
from support.builders import NOW, a_record, a_stream
from support.memory_store import MemoryStore
from support.waiting import PATIENCE_S


@dataclass
class Replica:
    """One replica's copier with its own connections to the one database."""

    database: Database
    copier: Copier
    leads: bool = False


@dataclass
class World:
    """Streams that change, the replicas that copy their log, and what the log must hold."""

    file: Path
    loop: asyncio.AbstractEventLoop
    store: MemoryStore = field(default_factory=MemoryStore)
    replicas: list[Replica] = field(default_factory=list)
    expected: set[tuple[str, int]] = field(default_factory=set)
    seconds: int = 0

    def start(self) -> Replica:
        # An impatient one: a database that is locked is given up at once.
        database = Database(file_url(self.file), pool_size=1, timeout_s=0.2)
        rows = LogRows(database, Schema(database))
        copier = Copier(self.store, rows, namespace=None, now=lambda: NOW + timedelta(days=1))
        replica = Replica(database, copier)
        self.replicas.append(replica)
        return replica

    def lead(self, replica: Replica) -> None:
        replica.copier.begin_term()
        replica.leads = True

    def kill(self, replica: Replica) -> None:
        """End a replica without a word: what it remembered is gone."""
        self.replicas.remove(replica)
        self.store._listeners.remove(replica.copier._observe)
        self.loop.run_until_complete(replica.database.close())

    @property
    def leader(self) -> Replica:
        return next(replica for replica in self.replicas if replica.leads)

    def flush(self) -> bool:
        try:
            self.loop.run_until_complete(self.leader.copier.flush(with_blank=True))
        except LogsUnavailable:
            return False
        return True

    def add(self, name: str) -> None:
        stream = a_stream(name, record=a_record())
        self.store.add(stream.model_copy(update={"uid": f"{name}-{self.seconds}"}))
        self.expected.add((f"{name}-{self.seconds}", 1))
        self.seconds += 1

    def move(self, name: str) -> None:
        stream = self.store.objects["default", name]
        assert stream.status is not None
        wanted: DesiredState = StreamState.PENDING if stream.status.status == StreamState.PAUSE else StreamState.PAUSE
        self.seconds += 1
        event = UserRequest(wanted, name, is_videofile=False)
        record = advance(stream.status, event, NOW + timedelta(seconds=self.seconds)).record
        self.store.add(stream.model_copy(update={"status": record}))
        self.expected.add((stream.uid, record.history[-1].seq))

    def delete(self, name: str) -> None:
        entry = self.store.catalogue.at(("default", name))
        assert entry is not None
        self.loop.run_until_complete(self.store.delete_stream(entry))
        self.expected.add((entry.stream.uid, DELETED_SEQ))

    def copied(self) -> list[tuple[str, int]]:
        async def read() -> list[tuple[str, int]]:
            async with self.leader.database.reading() as connection:
                return [(row.stream_uid, row.seq) for row in await connection.execute(select(LOGS))]

        return self.loop.run_until_complete(read())


@contextlib.contextmanager
def a_world() -> Iterator[World]:
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        world = World(Path(folder) / "logs.db", loop)
        yield world
        for replica in tuple(world.replicas):
            world.kill(replica)


class Copying(RuleBasedStateMachine):
    """Two replicas of which one leads; the database comes back.

    No second one is killed before the first loss was made up for: then nobody may know what a deleted stream did last.
    """

    names = st.sampled_from(["a", "b", "c"])

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        self.world = self.stack.enter_context(a_world())
        self.locked: sqlite3.Connection | None = None
        self.since_copied = 0
        self.is_whole = True
        self.world.start()
        self.world.lead(self.world.replicas[0])
        self.world.start()

    @rule(name=names)
    def change(self, name: str) -> None:
        # A resource keeps twelve entries; more than that between two copies is another test's.
        if self.since_copied < 11:
            self.since_copied += 1
            known = ("default", name) in self.world.store.objects
            self.world.move(name) if known else self.world.add(name)

    @rule(name=names)
    def delete(self, name: str) -> None:
        if ("default", name) in self.world.store.objects:
            self.world.delete(name)

    @rule()
    def flush(self) -> None:
        if self.locked is not None:
            self.world.flush()
            return
        while not self.world.flush():  # a machine that is busy with something else
            pass
        self.since_copied = 0
        self.is_whole = True
        assert sorted(self.world.copied()) == sorted(self.world.expected)

    @precondition(lambda self: self.is_whole)
    @rule()
    def kill_leader(self) -> None:
        self.is_whole = False
        self.world.kill(self.world.leader)
        self.world.lead(self.world.replicas[0])
        self.world.start()

    @precondition(lambda self: self.is_whole)
    @rule()
    def kill_follower(self) -> None:
        self.is_whole = False
        self.world.kill(next(replica for replica in self.world.replicas if not replica.leads))
        self.world.start()

    @precondition(lambda self: self.is_whole)
    @rule()
    def hand_over(self) -> None:
        old, new = self.world.leader, next(replica for replica in self.world.replicas if not replica.leads)
        old.copier.end_term()
        old.leads = False
        self.world.lead(new)

    @precondition(lambda self: self.locked is None and self.world.file.exists())
    @rule()
    def lock(self) -> None:
        self.locked = sqlite3.connect(self.world.file, isolation_level=None)
        self.locked.execute("BEGIN EXCLUSIVE")

    @precondition(lambda self: self.locked is not None)
    @rule()
    def unlock(self) -> None:
        assert self.locked is not None
        self.locked.close()
        self.locked = None

    @invariant()
    def one_leads(self) -> None:
        if hasattr(self, "world"):
            assert len([replica for replica in self.world.replicas if replica.leads]) == 1

    def teardown(self) -> None:
        if hasattr(self, "world"):
            if self.locked is not None:
                self.unlock()
            try:
                self.flush()
            finally:
                self.stack.close()


TestCopying = Copying.TestCase
TestCopying.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    phases=[Phase.reuse, Phase.generate],  # to make it shorter takes minutes
)


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


def test_what_happened_while_nobody_ran_is_found(world: World) -> None:
    first = world.start()
    world.lead(first)
    for name in ("a", "b", "c"):
        world.add(name)
    assert world.flush()
    world.kill(first)

    world.move("a")
    world.delete("b")
    world.delete("c")
    world.add("c")
    world.add("d")
    world.lead(world.start())

    assert world.flush()
    assert sorted(world.copied()) == sorted(world.expected)


def test_more_changes_than_a_resource_keeps_are_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    first = world.start()
    world.lead(first)
    world.add("a")
    assert world.flush()
    world.kill(first)
    for _ in range(20):
        world.move("a")
    world.lead(world.start())

    assert world.flush()
    assert world.flush()

    assert len(world.copied()) == 1 + 12
    assert [record.message for record in caplog.records] == [
        "8 entries are missing in the log: more happened to some streams while nobody copied than their resources keep"
    ]


async def test_what_happened_right_before_the_end_is_copied_at_the_end(tmp_path: Path) -> None:
    store = MemoryStore()
    database = Database(file_url(tmp_path / "logs.db"), pool_size=2, timeout_s=30)
    logbook = Logbook(store, database, namespace=None)
    entry = store.add(a_stream(record=a_record()))
    leading = asyncio.create_task(logbook.lead())
    async with asyncio.timeout(PATIENCE_S):
        while len(await logbook.page(LogFilter(), {"status"}, 0, 10)) < 1:
            await asyncio.sleep(0.01)
    await store.delete_stream(entry)
    await logbook.finish()
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)

    assert [row["status"] for row in await logbook.page(LogFilter(), {"status"}, 0, 10)] == ["deleted", "pending"]
    await logbook.close()


async def test_who_was_elected_a_moment_ago_copies_before_anybody_reads(tmp_path: Path) -> None:
    store = MemoryStore()
    logbook = Logbook(store, Database(file_url(tmp_path / "logs.db"), pool_size=2, timeout_s=30), namespace=None)
    store.add(a_stream(record=a_record()))
    with pytest.raises(NotReady):
        await logbook.catch_up(())
    reading = asyncio.create_task(logbook.catch_up(()))
    await asyncio.sleep(0)
    leading = asyncio.create_task(logbook.lead())
    await reading

    assert [row["status"] for row in await logbook.page(LogFilter(), {"status"}, 0, 10)] == ["pending"]
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    await logbook.close()


def test_streams_of_another_namespace_are_not_taken_for_deleted(world: World) -> None:
    first = world.start()
    world.lead(first)
    world.add("a")
    assert world.flush()
    world.kill(first)
    stream: Stream = world.store.objects.pop(("default", "a"))
    world.store.catalogue.remove(("default", stream.name))

    replica = world.start()
    replica.copier._namespace = "another"
    world.lead(replica)

    assert world.flush()
    assert world.copied() == [(stream.uid, 1)]
