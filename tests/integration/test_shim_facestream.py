"""Genuine FaceStreams at work: they take, report, are told, and obey; no stream is lost, none is held twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from luna_api_shim.storage.records import Records
from luna_streams.lifecycle import HandlerLost, advance
from support.apiservers import ApiServer
from support.builders import v1_body, v2_body
from support.facestream import FaceStream, Ledger, Pace
from support.shims import Deployment, Shim, a_deployment
from support.waiting import PATIENCE_S, eventually
from support.worker import VIDEO_INFO

QUICK = Pace(request_stream_s=0.1, send_feedback_s=0.4, max_feedback_delay_s=1.5)


@pytest.fixture
async def deployment(any_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(any_api) as deployment:
        yield deployment


@pytest.fixture
async def shim(deployment: Deployment) -> AsyncIterator[Shim]:
    async with deployment.shim(obsoleting_period=3, lease_duration=2) as shim:
        yield shim


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.mark.parametrize("api", [1, 2])
async def test_it_takes_what_there_is_reports_and_finishes(shim: Shim, ledger: Ledger, api: int) -> None:
    body = v1_body if api == 1 else v2_body
    ids = [await shim.create(body(name=str(number)), api) for number in range(5)]
    async with FaceStream(shim.url, "one", ledger, api=api, max_streams=3, pace=QUICK).running() as worker:
        await eventually(lambda: len(worker.work) == 3, "it is full")
        assert sorted(worker.work) == sorted(ids[:3])  # the longest waiting first
        stream = await shim.until(ids[0], preview=worker.work[ids[0]].preview, status="in_progress")
        assert stream["video_info"]["width"] == VIDEO_INFO["width"]

        for number, stream_id in enumerate(ids):
            await eventually(lambda stream_id=stream_id: stream_id in worker.work, "it has the stream")  # type: ignore[misc]
            worker.finish(stream_id, "failure" if number == 4 else "done", "no picture" if number == 4 else None)
        for stream_id in ids[:4]:
            await shim.until(stream_id, status="done", last_error=None)
        await shim.until(ids[4], status="failure", last_error="no picture")
        await eventually(lambda: not worker.work, "it has forgotten what is over")
    assert worker.told == []
    assert worker.refusals == []


async def test_it_obeys_what_users_want(shim: Shim, ledger: Ledger) -> None:
    names = ("paused", "cancelled", "put", "deleted", "kept")
    ids = {name: await shim.create(v2_body(name=name)) for name in names}
    async with FaceStream(shim.url, "one", ledger, pace=QUICK).running() as worker:
        await eventually(lambda: len(worker.work) == 5, "it has all streams")
        await shim.http.patch(f"/2/streams/{ids['paused']}", json={"status": "pause"})
        await shim.http.patch(f"/2/streams/{ids['cancelled']}", json={"status": "cancel"})
        await shim.http.put(f"/2/streams/{ids['put']}", json=v2_body(name="put"))
        await shim.http.delete(f"/2/streams/{ids['deleted']}")

        def is_back() -> bool:
            put = worker.work.get(ids["put"])
            return put is not None and put.stream["version"] == 2 and len(worker.work) == 2

        await eventually(is_back, "it has stopped what it was told to, and has the new version")
        assert set(worker.work) == {ids["put"], ids["kept"]}
        told = {(item["stream_id"], item["status"], item["version"]) for item in worker.told}
        assert told == {
            (ids["paused"], "pause", 1),
            (ids["cancelled"], "cancel", 1),
            (ids["deleted"], "not_found", 0),
        } | ({(ids["put"], "pending", 2)} & told)  # or it got the new version before it reported on the old one

        await shim.http.patch(f"/2/streams/{ids['paused']}", json={"status": "pending"})
        await eventually(lambda: ids["paused"] in worker.work, "it has the stream that goes on")


async def test_what_a_killed_worker_held_goes_to_another_and_never_to_two(shim: Shim, ledger: Ledger) -> None:
    ids = {await shim.create(v2_body(name=str(number))) for number in range(12)}
    async with AsyncExitStack() as stack:
        doomed = await stack.enter_async_context(AsyncExitStack())
        await doomed.enter_async_context(FaceStream(shim.url, "doomed", ledger, max_streams=6, pace=QUICK).running())
        await eventually(lambda: len(ledger.held()) == 6, "it is full")
        for number in range(3):
            worker = FaceStream(shim.url, f"w{number}", ledger, max_streams=4, pace=QUICK)
            await stack.enter_async_context(worker.running())
        await eventually(lambda: ledger.held() == ids, "every stream is held")
        await doomed.aclose()
        await eventually(lambda: ledger.held() == ids, "every stream is held again")
        assert [overlap for overlap in ledger.overlaps() if overlap[1].worker != "doomed"] == []
        for stream_id in ids:
            assert (await shim.read(stream_id))["status"] == "in_progress"


async def test_a_stream_that_its_worker_was_said_to_have_lost_is_dropped_by_it(
    shim: Shim, deployment: Deployment, ledger: Ledger
) -> None:
    stream_id = await shim.create(v2_body())
    async with FaceStream(shim.url, "one", ledger, pace=QUICK).running() as worker:
        await eventually(lambda: worker.work, "it has the stream")
        entry = shim.service.store.catalogue.get(stream_id)
        assert entry is not None
        before = entry.record
        await lose(shim, stream_id)
        await eventually(lambda: len(ledger.holds) == 2, "it has it again, by the queue")
        status = (await deployment.stream(stream_id)).status
        assert status is not None
        assert status.version == before.version
        assert [item.status for item in status.history][-4:] == ["handler_lost", "restart", "pending", "in_progress"]


async def lose(shim: Shim, stream_id: str) -> None:
    """Declare the handler of a stream lost, as the shim's watch and the operator do."""
    entry = shim.service.store.catalogue.get(stream_id)
    assert entry is not None
    await Records(shim.service.store).move(
        entry, lambda _entry, record, now: advance(record, HandlerLost("gone"), now).record
    )


async def test_a_worker_the_shim_cannot_be_reached_by_stops_before_others_get_its_streams(
    deployment: Deployment, ledger: Ledger
) -> None:
    async with deployment.shim(obsoleting_period=3, lease_duration=2) as shim:
        ids = {await shim.create(v2_body()) for _ in range(4)}
        worker = FaceStream(shim.url, "one", ledger, pace=QUICK)
        async with worker.running():
            await eventually(lambda: ledger.held() == ids, "it has all streams")
            worker.lose_the_way()
            async with FaceStream(shim.url, "two", ledger, pace=QUICK).running() as other:
                await eventually(lambda: set(other.work) == ids, "the other has them")
                assert worker.work == {}
    assert list(ledger.overlaps()) == []


async def test_a_connection_outlives_the_pause_between_two_reports(shim: Shim) -> None:
    """FaceStream reports every 5 s; a server that closes idle connections after 5 s meets the next report halfway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shim.http.base_url.port)
    try:
        for pause_s in (5.5, 0.0):
            writer.write(b"GET /version HTTP/1.1\r\nHost: shim\r\n\r\n")
            async with asyncio.timeout(PATIENCE_S):
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
            await asyncio.sleep(pause_s)
    finally:
        writer.close()
        await writer.wait_closed()
