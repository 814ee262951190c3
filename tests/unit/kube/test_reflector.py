"""The reflector against a server that breaks off, forgets, stalls and refuses: the copy comes out true every time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luna_kube import STREAMS, CacheEvent, Conflict, EventType, Reflector
from luna_kube.backoff import Backoff, BackoffSettings
from luna_kube.reflector import ReflectorSettings
from support.chaos_api import ChaosApi
from support.waiting import PATIENCE_S, eventually

Json = dict[str, Any]
PATH = "/apis/lunastreams.dev/v1alpha1/streams"
QUICK = ReflectorSettings(page_size=3, stall_timeout_s=0.3, backoff=BackoffSettings(initial_s=0.01, limit_s=0.1))


class Follower:
    """Applies the events to an empty dict, as a consumer would, and checks that each makes sense there."""

    def __init__(self, reflector: Reflector) -> None:
        self.events: list[CacheEvent] = []
        self.objects: dict[tuple[str, str], Json] = {}
        reflector.subscribe(self.take)

    def take(self, event: CacheEvent) -> None:
        self.events.append(event)
        assert (event.key in self.objects) == (event.type is not EventType.ADDED)
        if event.type is EventType.DELETED:
            del self.objects[event.key]
        else:
            self.objects[event.key] = event.object

    @property
    def types(self) -> list[str]:
        return [f"{e.type} {e.key[1]}" for e in self.events]


def state(chaos: ChaosApi) -> dict[tuple[str, str], Json]:
    return {key: without_managed_fields(obj) for key, obj in chaos.state(PATH).items()}


def without_managed_fields(obj: Json) -> Json:
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}


@asynccontextmanager
async def a_reflector(chaos: ChaosApi, tuning: ReflectorSettings = QUICK) -> AsyncIterator[tuple[Reflector, Follower]]:
    async with chaos.client() as client:
        reflector = Reflector(client, STREAMS.everywhere(), settings=tuning)
        follower = Follower(reflector)
        async with reflector.running():
            await asyncio.wait_for(reflector.synced.wait(), PATIENCE_S)
            yield reflector, follower


@pytest.fixture
async def chaos() -> AsyncIterator[ChaosApi]:
    async with ChaosApi().running() as server:
        yield server


async def test_the_copy_follows_the_server(chaos: ChaosApi) -> None:
    for name in "abcdefgh":
        chaos.put(PATH, name)
    async with a_reflector(chaos) as (reflector, follower):
        assert len(reflector.cache) == 8
        chaos.put(PATH, "a", spec={"x": 1})
        chaos.remove(PATH, "b")
        chaos.put(PATH, "z")
        await eventually(lambda: follower.types[8:] == ["MODIFIED a", "DELETED b", "ADDED z"])
        assert dict(reflector.cache) == follower.objects == state(chaos)


@pytest.mark.parametrize("how", ["eof", "abort", "half-line", "stall", "error"])
async def test_a_broken_watch_is_resumed_without_a_list(chaos: ChaosApi, how: str) -> None:
    chaos.put(PATH, "a")
    async with a_reflector(chaos) as (reflector, follower):
        await eventually(lambda: chaos.watches == 1)
        chaos.disturb("bookmark")
        chaos.disturb(how)
        chaos.put(PATH, "missed")
        chaos.remove(PATH, "a")
        await eventually(lambda: dict(reflector.cache) == state(chaos))
        assert follower.types == ["ADDED a", "ADDED missed", "DELETED a"]
        assert chaos.count("list") == 1


async def test_410_in_the_stream_lists_again_and_makes_up_the_missed_events(chaos: ChaosApi) -> None:
    for name in ("kept", "changed", "deleted", "replaced"):
        chaos.put(PATH, name)
    async with a_reflector(chaos) as (_, follower):
        await eventually(lambda: chaos.watches == 1)
        chaos.fail("watch", 503, times=3)
        chaos.disturb("gone")
        chaos.put(PATH, "changed", spec={"x": 1})
        chaos.remove(PATH, "deleted")
        chaos.remove(PATH, "replaced")
        chaos.put(PATH, "replaced")
        await eventually(lambda: follower.objects == state(chaos))
        assert sorted(follower.types[4:]) == [
            "ADDED replaced",
            "DELETED deleted",
            "DELETED replaced",
            "MODIFIED changed",
        ]
        assert chaos.count("list") == 2


async def test_410_at_the_start_of_a_watch_lists_again(chaos: ChaosApi) -> None:
    chaos.put(PATH, "a")
    async with a_reflector(chaos) as (_, follower):
        await eventually(lambda: chaos.watches == 1)
        chaos.fail("watch", 503, times=2)
        chaos.disturb("abort")
        await eventually(lambda: chaos.watches == 0)
        chaos.remove(PATH, "a")
        chaos.compact()
        await eventually(lambda: follower.types == ["ADDED a", "DELETED a"])


async def test_410_between_pages_begins_again(chaos: ChaosApi) -> None:
    for name in "abcdefgh":
        chaos.put(PATH, name)
    chaos.fail("page", 410)
    async with a_reflector(chaos) as (reflector, follower):
        assert len(reflector.cache) == 8
        assert len(follower.events) == 8


async def test_a_bookmark_moves_the_place_to_resume_from(chaos: ChaosApi) -> None:
    async with a_reflector(chaos) as (reflector, follower):
        await eventually(lambda: chaos.watches == 1)
        chaos.put("/api/v1/pods", "something-else")
        chaos.disturb("bookmark")
        await eventually(lambda: reflector.resource_version == str(chaos.version))
        chaos.compact()
        chaos.disturb("abort")
        chaos.put(PATH, "a")
        await eventually(lambda: follower.types == ["ADDED a"])
        assert chaos.count("list") == 1


async def test_a_watch_that_never_said_anything_is_not_believed(chaos: ChaosApi) -> None:
    async with a_reflector(chaos):
        await eventually(lambda: chaos.watches == 1)
        chaos.disturb("stall")
        await eventually(lambda: chaos.count("list") == 2)


@pytest.mark.parametrize("is_silent", [False, True], ids=["says so", "says nothing"])
async def test_a_restored_server_is_believed(chaos: ChaosApi, is_silent: bool) -> None:
    chaos.is_silent_about_the_future = is_silent
    chaos.put(PATH, "old")
    backup = chaos.backup()
    chaos.put(PATH, "old", spec={"x": 1})
    chaos.put(PATH, "lost")
    async with a_reflector(chaos) as (reflector, follower):
        await eventually(lambda: chaos.watches == 1)
        chaos.restore(backup)
        await eventually(lambda: dict(reflector.cache) == state(chaos))
        chaos.put(PATH, "old", spec={"x": 2})
        await eventually(lambda: follower.objects == state(chaos))


async def test_own_writes_are_readable_at_once_and_told_once(chaos: ChaosApi) -> None:
    async with a_reflector(chaos) as (reflector, follower), chaos.client() as client:
        await eventually(lambda: chaos.watches == 1)
        created = await client.create(STREAMS.within("default"), {"metadata": {"name": "a"}})
        reflector.observe(created)
        assert reflector.get("default", "a") == created
        await client.delete(STREAMS.at("default", "a"))
        reflector.observe_deleted("default", "a", created["metadata"]["uid"])
        assert reflector.get("default", "a") is None
        chaos.put(PATH, "end")
        await eventually(lambda: follower.types[-1] == "ADDED end")
        assert follower.types == ["ADDED a", "DELETED a", "ADDED end"]


async def test_a_stale_write_answer_does_not_go_back(chaos: ChaosApi) -> None:
    first = chaos.put(PATH, "a", spec={"x": 1})
    async with a_reflector(chaos) as (reflector, _):
        newest = without_managed_fields(chaos.put(PATH, "a", spec={"x": 2}))
        await eventually(lambda: reflector.get("default", "a") == newest)
        reflector.observe(first | {"metadata": first["metadata"] | {"resourceVersion": "101"}})
        assert reflector.get("default", "a") == newest


async def test_a_server_that_is_down_is_asked_ever_less_often(
    chaos: ChaosApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luna_kube.reflector")
    tuning = ReflectorSettings(backoff=BackoffSettings(initial_s=0.02, limit_s=0.5))
    chaos.fail("list", 500, times=1000)
    async with chaos.client() as client:
        reflector = Reflector(client, STREAMS.everywhere(), settings=tuning)
        async with reflector.running():
            await eventually(lambda: chaos.count("list") == 12)
            times = [when for when, _ in chaos.requests]
            assert times[11] - times[0] > 0.4, "chance would have to be one in a million: the mean is 1.8"
            assert str(reflector.last_error).endswith("as ordered")
            assert not reflector.synced.is_set()
            chaos.heal()
            await eventually(reflector.synced.is_set)
            assert not reflector.last_error
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2, "an outage is said once, its end too"


async def test_a_watch_that_ends_at_once_every_time_does_not_loop_hot(chaos: ChaosApi) -> None:
    async with a_reflector(chaos, ReflectorSettings(backoff=BackoffSettings(initial_s=0.05, limit_s=1.0))):
        for _ in range(60):
            chaos.disturb("eof")
            await asyncio.sleep(0.01)
        assert chaos.count("watch") <= 12


async def test_retry_after_is_honoured(chaos: ChaosApi) -> None:
    chaos.fail("watch", 429, Retry_After="1")
    async with a_reflector(chaos):
        await eventually(lambda: chaos.count("watch") == 2)
        first, second = (when for when, kind in chaos.requests if kind == "watch")
        assert second - first >= 1.0


async def test_changes_skip_versions_but_never_the_last(chaos: ChaosApi) -> None:
    chaos.put(PATH, "here")
    async with a_reflector(chaos) as (reflector, follower):
        changes = reflector.changes()
        assert (await anext(changes)).key == ("default", "here")
        for number in range(20):
            chaos.put(PATH, "busy", spec={"n": number})
        chaos.remove(PATH, "here")
        await eventually(lambda: len(follower.events) == 22)
        seen = [await anext(changes), await anext(changes)]
        assert {(e.type.value, e.key[1]) for e in seen} == {("MODIFIED", "busy"), ("DELETED", "here")}
        assert seen[0].object["spec"]["n"] == 19
        await changes.aclose()


async def test_a_crash_in_a_callback_is_not_swallowed(chaos: ChaosApi) -> None:
    async with chaos.client() as client:
        reflector = Reflector(client, STREAMS.everywhere(), settings=QUICK)

        def crash(event: CacheEvent) -> None:
            raise LookupError(event.key)

        reflector.subscribe(crash)
        chaos.put(PATH, "a")
        with pytest.raises(LookupError):
            await asyncio.wait_for(reflector.run(), PATIENCE_S)


async def owner_of(reflector: Reflector, others: Reflector, block: Awaitable[object]) -> None:
    async with reflector.running(), others.running():
        await reflector.synced.wait()
        await block


def crash_at(reflector: Reflector, name: str) -> None:
    def crash(event: CacheEvent) -> None:
        if event.key[1] == name:
            raise LookupError(name)

    reflector.subscribe(crash)


async def test_a_crash_ends_the_owner_at_once_with_its_error(chaos: ChaosApi) -> None:
    async with chaos.client() as client:
        reflector, others = (Reflector(client, STREAMS.everywhere(), settings=QUICK) for _ in range(2))
        crash_at(reflector, "evil")
        owner = asyncio.create_task(owner_of(reflector, others, asyncio.sleep(600)))
        await eventually(reflector.synced.is_set)
        chaos.put(PATH, "evil")
        with pytest.raises(LookupError, match="evil"):
            async with asyncio.timeout(PATIENCE_S):
                await owner
        assert owner.cancelling() == 0, "who catches the error may go on"


async def test_an_owner_that_is_cancelled_while_its_reflector_crashes_stays_cancelled(chaos: ChaosApi) -> None:
    async with chaos.client() as client:
        reflector, others = (Reflector(client, STREAMS.everywhere(), settings=QUICK) for _ in range(2))
        crash_at(reflector, "evil")

        async def stubborn() -> None:
            try:
                await asyncio.sleep(600)
            finally:
                owner.cancel()

        owner = asyncio.create_task(owner_of(reflector, others, stubborn()))
        await eventually(reflector.synced.is_set)
        chaos.put(PATH, "evil")
        with pytest.raises(asyncio.CancelledError):
            await owner


async def test_a_crash_while_the_block_ends_is_told_and_cancels_nothing_later(chaos: ChaosApi) -> None:
    async with chaos.client() as client:
        reflector = Reflector(client, STREAMS.everywhere(), settings=QUICK)
        crashed = asyncio.Event()

        def crash(event: CacheEvent) -> None:
            crashed.set()
            raise LookupError(event.key)

        reflector.subscribe(crash)
        chaos.put(PATH, "a")
        with pytest.raises(LookupError):
            async with reflector.running():
                await crashed.wait()
        await asyncio.sleep(0)


async def test_an_error_of_the_block_passes_as_it_is(chaos: ChaosApi) -> None:
    async with chaos.client() as client:
        with pytest.raises(KeyError, match="of the block"):
            async with Reflector(client, STREAMS.everywhere(), settings=QUICK).running():
                raise KeyError("of the block")


def test_waits_grow_to_a_limit_with_jitter_and_begin_again_after_success() -> None:
    backoff = Backoff(BackoffSettings(initial_s=1, limit_s=8))
    waits = [backoff.next_s() for _ in range(6)]
    for wait, most in zip(waits, (1, 2, 4, 8, 8, 8), strict=True):
        assert 0.5 <= wait <= most
    backoff.reset()
    assert backoff.next_s() <= 1


names = st.sampled_from("abcde")
happenings = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["put", "delete", "own put", "own delete"]), names),
        st.tuples(
            st.just("disturb"),
            st.sampled_from(["eof", "abort", "half-line", "gone", "error", "stall", "bookmark"]),
        ),
        st.tuples(st.just("watch fails"), st.sampled_from([410, 429, 500, 503, 403])),
        st.tuples(st.just("page fails"), st.sampled_from([410, 500])),
        st.tuples(st.just("list fails"), st.sampled_from([410, 500, 401])),
        st.tuples(st.just("compact"), st.none()),
        st.tuples(st.just("breathe"), st.floats(0, 0.02)),
    ),
    max_size=25,
)  # fmt: skip


async def happen(chaos: ChaosApi, reflector: Reflector, what: str, argument: Any) -> None:
    if what == "put":
        chaos.put(PATH, argument)
    elif what == "delete" and ("default", argument) in chaos.state(PATH):
        chaos.remove(PATH, argument)
    elif what.startswith("own"):
        await own_write(chaos, reflector, what, argument)
    elif what == "disturb":
        chaos.disturb(argument)
    elif what.endswith("fails"):
        chaos.fail(what.partition(" ")[0], argument, Retry_After="0")
    elif what == "compact":
        chaos.compact()
    elif what == "breathe":
        await asyncio.sleep(argument)


async def own_write(chaos: ChaosApi, reflector: Reflector, what: str, name: str) -> None:
    async with chaos.client() as client:
        old = chaos.state(PATH).get(("default", name))
        ref = STREAMS.at("default", name)
        if what == "own delete" and old is not None:
            await client.delete(ref)
            reflector.observe_deleted("default", name, old["metadata"]["uid"])
        elif what == "own put":
            with suppress(Conflict):
                body = {"metadata": {"name": name}, "spec": {"by": "us"}}
                written = await (client.patch(ref, body) if old else client.create(STREAMS.within("default"), body))
                reflector.observe(written)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(happenings=happenings)
def test_whatever_happens_the_copy_converges_and_the_events_add_up_to_it(happenings: list[tuple[str, Any]]) -> None:
    async def scenario() -> None:
        async with ChaosApi().running() as chaos:
            for name in "abcd":
                chaos.put(PATH, name)
            async with a_reflector(chaos) as (reflector, follower):
                for what, argument in happenings:
                    await happen(chaos, reflector, what, argument)
                chaos.heal()
                await eventually(lambda: dict(reflector.cache) == state(chaos), f"convergence after {happenings}")
                assert follower.objects == state(chaos)

    asyncio.run(scenario())
