"""Claims in memory: what happens while a claim is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records
from luna_api_shim.workers.handlers import HandlerWatch
from luna_api_shim.workers.identity import Pod, Worker
from luna_api_shim.workers.queue import Queue
from luna_kube import Unavailable
from luna_streams.lifecycle import Taken, UserRequest, advance
from luna_streams.rest.messages import QueueFilters, QueueRequest
from luna_streams.stream import EventHandler, ProcessorBinding, SecretKeyRef, Stream, StreamState
from support.builders import NOW, STREAM_ID, a_pool, a_record, a_stream, an_analytics, some_data
from support.memory_store import MemoryStore
from support.waiting import PATIENCE_S

OUTSIDE = Worker("outside")
MINE = Worker("process-1", Pod("default", "pod-0", "uid-0"))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def queue(store: MemoryStore) -> Queue:
    records = Records(store)
    return Queue(store, records, HandlerWatch(store, records, period_s=20))


def pending(store: MemoryStore, number: int = 1, pod: Pod | None = None) -> Entry:
    stream = a_stream(STREAM_ID[:-2] + f"{number:02d}")
    binding = ProcessorBinding(pod=pod.name, pod_uid=pod.uid) if pod else ProcessorBinding()
    return store.add(stream.model_copy(update={"status": a_record(stream.spec, processor=binding)}))


async def take(
    queue: Queue, worker: Worker = OUTSIDE, *, limit: int = 10, wait_s: float = 0, gone: asyncio.Event | None = None
) -> list[str]:
    request = QueueRequest(filters=QueueFilters(), limit=limit)
    return [entry.stream_id for entry in await queue.take(worker, request, wait_s, gone or asyncio.Event())]


async def test_a_claim_names_its_worker(store: MemoryStore, queue: Queue) -> None:
    entry = pending(store)
    assert await take(queue) == [entry.stream_id]
    assert store.record(entry).processor.worker == "outside"


async def test_streams_claimed_for_a_worker_that_left_meanwhile_go_back(store: MemoryStore, queue: Queue) -> None:
    entry, gone = pending(store), asyncio.Event()
    store.before_write = lambda _what, _stream: gone.set()

    assert await take(queue, gone=gone) == []

    assert store.record(entry).status == StreamState.PENDING
    assert [item.status for item in store.record(entry).history][-3:] == ["handler_lost", "restart", "pending"]


def a_webhook_stream(store: MemoryStore, pod: Pod | None = None) -> Entry:
    handler = EventHandler(type="cloudevents", url="http://hook")
    stream = a_stream(data=some_data(analytics=(an_analytics(), an_analytics(event_handler=handler, enabled=False))))
    binding = ProcessorBinding(pod=pod.name, pod_uid=pod.uid) if pod else ProcessorBinding()
    return store.add(stream.model_copy(update={"status": a_record(stream.spec, processor=binding)}))


@pytest.mark.parametrize("worker", [OUTSIDE, MINE], ids=["from-outside", "of-a-pod"])
async def test_a_worker_that_knows_no_webhooks_gets_no_stream_with_one(
    store: MemoryStore, queue: Queue, worker: Worker
) -> None:
    entry = a_webhook_stream(store, worker.pod)
    assert await take(queue, worker, wait_s=0.05) == []
    assert store.record(entry).status == StreamState.PENDING
    assert store.record(entry).last_error == (
        "The processor that asked for streams cannot deliver to event handlers of type cloudevents"
    )
    knowing = replace(worker, handlers=frozenset({"luna_handler", "cloudevents"}))
    assert await take(queue, knowing) == [entry.stream_id]
    assert store.record(entry).last_error is None


async def test_why_a_stream_is_not_handed_out_is_written_once(store: MemoryStore, queue: Queue) -> None:
    a_webhook_stream(store)
    writes: list[str] = []
    store.before_write = lambda what, _stream: writes.append(what)
    for _ in range(3):
        await take(queue)
    assert len(writes) == 1


async def test_a_stream_that_changes_to_a_webhook_while_it_is_claimed_is_not_handed_out(
    store: MemoryStore, queue: Queue
) -> None:
    entry = pending(store)

    def replaced(_what: str, stream: Stream | None) -> None:
        store.before_write = lambda _what, _stream: None
        assert stream is not None
        handler = EventHandler(type="cloudevents", url="http://hook")
        data = some_data(analytics=(an_analytics(event_handler=handler),))
        store.change(stream, spec=stream.spec.model_copy(update={"data": data}))

    store.before_write = replaced
    assert await take(queue) == []
    assert store.record(entry).status == StreamState.PENDING


def taken_by_another(store: MemoryStore) -> Callable[[str, Stream | None], None]:
    def interfere(_what: str, stream: Stream | None) -> None:
        assert stream is not None
        assert stream.status is not None
        store.before_write = lambda _what, _stream: None
        store.change(stream, status=advance(stream.status, Taken("another"), NOW).record)

    return interfere


async def test_a_stream_somebody_else_claims_first_is_left_to_him(store: MemoryStore, queue: Queue) -> None:
    entry = pending(store)
    store.before_write = taken_by_another(store)
    assert await take(queue) == []
    assert store.record(entry).processor.worker == "another"


async def test_a_claim_that_meets_another_write_is_tried_again(store: MemoryStore, queue: Queue) -> None:
    entry = pending(store)

    def touch(_what: str, stream: Stream | None) -> None:
        assert stream is not None
        store.before_write = lambda _what, _stream: None
        store.change(stream)

    store.before_write = touch
    assert await take(queue) == [entry.stream_id]


async def test_a_stream_paused_meanwhile_is_not_handed_out(store: MemoryStore, queue: Queue) -> None:
    entry = pending(store)

    def pause(_what: str, stream: Stream | None) -> None:
        assert stream is not None
        assert stream.status is not None
        request = UserRequest(StreamState.PAUSE, STREAM_ID, is_videofile=False)
        store.before_write = lambda _what, _stream: None
        spec = stream.spec.model_copy(update={"desired_status": StreamState.PAUSE})
        store.change(stream, spec=spec, status=advance(stream.status, request, NOW).record)

    store.before_write = pause
    assert await take(queue) == []
    assert store.record(entry).status == StreamState.PAUSE


async def test_what_was_claimed_is_handed_out_although_another_claim_failed(store: MemoryStore, queue: Queue) -> None:
    pending(store, 1), pending(store, 2)
    fails = iter([True, False])

    def sometimes(_what: str, _stream: Stream | None) -> None:
        if next(fails):
            raise Unavailable("PUT", "no answer")

    store.before_write = sometimes
    assert len(await take(queue)) == 1


async def test_a_worker_hears_of_a_failure_when_it_gets_nothing(store: MemoryStore, queue: Queue) -> None:
    pending(store)

    def fail(_what: str, _stream: Stream | None) -> None:
        raise Unavailable("PUT", "no answer")

    store.before_write = fail
    with pytest.raises(Unavailable):
        await take(queue)


async def test_two_requests_at_once_do_not_go_for_the_same_streams(store: MemoryStore, queue: Queue) -> None:
    expected = sorted(pending(store, number).stream_id for number in range(10))
    first, second = await asyncio.gather(take(queue), take(queue))
    assert sorted(first + second) == expected
    assert store.writes.count("status") == 10


async def test_only_streams_no_pool_selects_go_outside(store: MemoryStore, queue: Queue) -> None:
    pending(store)
    store.pools = [a_pool(selector={"stream_ids": [STREAM_ID[:-2] + "01"]})]
    assert await take(queue) == []
    assert await take(queue, MINE) == []


async def test_a_pod_gets_its_streams_and_an_older_process_of_it_nothing_more(store: MemoryStore, queue: Queue) -> None:
    older = Worker("process-0", MINE.pod)
    waiting = asyncio.create_task(take(queue, older, wait_s=600))
    await asyncio.sleep(0)
    entry = pending(store, pod=MINE.pod)
    assert await waiting == [entry.stream_id]

    waiting = asyncio.create_task(take(queue, older, wait_s=600))
    await asyncio.sleep(0.05)
    assert await take(queue, MINE) == []
    async with asyncio.timeout(PATIENCE_S):  # it is told so, and does not wait in vain
        assert await waiting == []
    assert store.record(entry).status == StreamState.PENDING
    assert "started again" in (store.record(entry).last_error or "")


async def test_a_stream_replaced_while_others_were_claimed_is_not_handed_out_without_its_credentials(
    store: MemoryStore,
) -> None:
    ref = SecretKeyRef(name="one", key="reference")
    stream = a_stream(data=some_data(type="tcp", reference="rtsp://a/b", reference_from=ref))
    store.secrets["one"] = {"reference": "user:password"}
    first = store.add(stream.model_copy(update={"status": a_record(stream.spec)}))
    second = pending(store, 99)

    def put_then(_what: str, written: Stream | None) -> None:
        assert written is not None
        if written.name == second.stream.name:  # a PUT comes between the two claims
            store.before_write = lambda _what, _stream: None
            store.secrets.clear()

    store.before_write = put_then
    assert await take(
        Queue(store, Records(store), HandlerWatch(store, Records(store), period_s=20), parallel_writes=1)
    ) == [second.stream_id]
    assert store.record(first).status == StreamState.PENDING


async def test_a_stream_whose_secret_is_missing_is_asked_about_once(store: MemoryStore, queue: Queue) -> None:
    ref = SecretKeyRef(name="one", key="reference")
    stream = a_stream(data=some_data(type="tcp", reference="rtsp://a/b", reference_from=ref))
    entry = store.add(stream.model_copy(update={"status": a_record(stream.spec)}))
    for _ in range(3):
        assert await take(queue) == []
    assert (store.writes, len(store.fetches)) == (["status"], 1)
    assert "Secret 'one'" in (store.record(entry).last_error or "")
    store.secrets["one"] = {"reference": "user:password"}
    assert await take(queue) == [entry.stream_id]
    assert store.record(entry).last_error is None
