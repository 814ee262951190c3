"""The quota: no last place is given away twice, none is lost; in memory."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_api_shim.editing.editor import Editor
from luna_api_shim.editing.quota import Quota
from luna_api_shim.errors import QuotaExceeded
from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records
from luna_streams.rest.messages import StreamPatch
from luna_streams.rest.v2 import StreamToBeCreatedV2
from luna_streams.stream import StreamSpec, StreamState
from support.builders import ACCOUNT, OTHER_ACCOUNT, a_record, a_stream, v2_body
from support.memory_store import MemoryStore

IDS = [f"0193e0d5-5f6a-7c3e-8a5b-{number:012d}" for number in range(20)]
PENDING = StreamState.PENDING


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def put(store: MemoryStore, number: int, status: str = "pending", account_id: str = ACCOUNT) -> None:
    blank = a_stream(IDS[number], account_id=account_id)
    store.add(blank.model_copy(update={"status": a_record(blank.spec, status=status)}))


async def is_free(quota: Quota, number: int, account_id: str = ACCOUNT, becomes: StreamState = PENDING) -> bool:
    try:
        async with quota.place(IDS[number], account_id, becomes):
            return True
    except QuotaExceeded:
        return False


async def test_by_default_there_is_no_limit(store: MemoryStore) -> None:
    put(store, 0)
    assert await is_free(Quota(store), 1)


@pytest.mark.parametrize(
    ("status", "is_free_then"),
    [("pending", False), ("in_progress", False), ("pause", False), ("done", True), ("failure", True), ("cancel", True)],
)
async def test_active_streams_take_a_place(store: MemoryStore, status: str, is_free_then: bool) -> None:
    put(store, 0, status)
    assert await is_free(Quota(store, deployment=1), 1) is is_free_then


async def test_a_stream_that_is_active_keeps_its_place(store: MemoryStore) -> None:
    put(store, 0)
    put(store, 1)
    assert await is_free(Quota(store, deployment=1, account=1), 0)


async def test_a_stream_that_does_not_become_active_needs_no_place(store: MemoryStore) -> None:
    put(store, 0)
    assert await is_free(Quota(store, deployment=1), 1, becomes=StreamState.CANCEL)


async def test_accounts_are_counted_apart(store: MemoryStore) -> None:
    put(store, 0)
    quota = Quota(store, account=1)
    assert not await is_free(quota, 1)
    assert await is_free(quota, 1, OTHER_ACCOUNT)


async def test_an_active_stream_that_changes_its_account_needs_a_place_there(store: MemoryStore) -> None:
    put(store, 0)
    put(store, 1, account_id=OTHER_ACCOUNT)
    assert not await is_free(Quota(store, account=1), 0, OTHER_ACCOUNT)
    assert await is_free(Quota(store, deployment=2), 0, OTHER_ACCOUNT)


async def test_a_place_is_held_while_the_stream_is_written_and_counted_once_when_it_is_seen(store: MemoryStore) -> None:
    quota = Quota(store, deployment=2)
    async with quota.place(IDS[0], ACCOUNT, PENDING):
        put(store, 0)  # the watch was faster than the answer to the write
        async with quota.place(IDS[1], ACCOUNT, PENDING):
            assert not await is_free(quota, 2)
    assert await is_free(quota, 2)


async def test_places_held_for_another_account_do_not_count(store: MemoryStore) -> None:
    quota = Quota(store, account=1)
    async with quota.place(IDS[0], ACCOUNT, PENDING):
        assert await is_free(quota, 1, OTHER_ACCOUNT)
        assert not await is_free(quota, 1)


async def test_a_write_that_failed_gives_its_place_back(store: MemoryStore) -> None:
    quota = Quota(store, deployment=1)
    with pytest.raises(ZeroDivisionError):
        async with quota.place(IDS[0], ACCOUNT, PENDING):
            raise ZeroDivisionError
    assert await is_free(quota, 1)


@given(
    limit=st.integers(1, 6),
    account_limit=st.integers(0, 4),
    wishes=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([ACCOUNT, OTHER_ACCOUNT])), max_size=20),
)
async def test_at_no_time_there_are_more_than_the_limits(
    limit: int, account_limit: int, wishes: list[tuple[int, str]]
) -> None:
    store = MemoryStore()
    quota = Quota(store, deployment=limit, account=account_limit)
    async with AsyncExitStack() as stack:
        for number, account in wishes:
            try:
                await stack.enter_async_context(quota.place(IDS[number], account, PENDING))
            except QuotaExceeded:
                continue
            if number % 2:
                put(store, number, account_id=account)
            assert store.catalogue.count_active() <= limit
            for one in (ACCOUNT, OTHER_ACCOUNT):
                assert not account_limit or store.catalogue.count_active(one) <= account_limit


# --- what users do ----------------------------------------------------------------------------------------------------


def limited(store: MemoryStore, limit: int) -> Editor:
    return Editor(store, Records(store), quota=Quota(store, deployment=limit))


class SlowStore(MemoryStore):
    async def create_stream(self, name: str, spec: StreamSpec) -> Entry:
        await asyncio.sleep(0)  # others get their turn before the stream is there
        return await super().create_stream(name, spec)


async def test_of_many_creations_at_once_exactly_the_quota_succeeds() -> None:
    store = SlowStore()
    editor, body = limited(store, 7), StreamToBeCreatedV2.from_peer(v2_body())
    outcomes = await asyncio.gather(*(editor.create(body) for _ in range(30)), return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 7
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} == {QuotaExceeded}
    assert len(store.catalogue) == 7


@pytest.mark.parametrize("way", ["patch", "put"])
async def test_a_finished_stream_is_not_started_again_beyond_the_quota(store: MemoryStore, way: str) -> None:
    put(store, 0)
    put(store, 1, "done")
    finished, writes = store.catalogue.get(IDS[1]), len(store.writes)
    assert finished is not None
    editor = limited(store, 1)
    start = {
        "patch": lambda: editor.patch(finished, StreamPatch(status="pending")),
        "put": lambda: editor.replace(finished, StreamToBeCreatedV2.from_peer(v2_body())),
    }
    with pytest.raises(QuotaExceeded):
        await start[way]()
    assert len(store.writes) == writes


async def test_beyond_the_quota_active_streams_may_be_replaced_paused_and_cancelled(store: MemoryStore) -> None:
    put(store, 0)
    put(store, 1)
    editor, entry = limited(store, 1), store.catalogue.get(IDS[0])
    assert entry is not None
    entry = await editor.replace(entry, StreamToBeCreatedV2.from_peer(v2_body()))
    entry = await editor.patch(entry, StreamPatch(status="pause"))
    entry = await editor.patch(entry, StreamPatch(status="cancel"))
    assert entry.state == "cancel"
