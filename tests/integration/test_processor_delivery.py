"""Delivery against platforms that are slow, down, or wrong."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from luna_processor.delivery import posting
from luna_processor.delivery.accounts import Account
from luna_processor.delivery.delivery import Delivery, DeliverySettings
from luna_processor.delivery.event_codec import encode
from luna_processor.delivery.events import ShotEvent
from luna_processor.delivery.lanes import Pauses, Width
from luna_processor.delivery.outbox import Outbox
from luna_processor.delivery.spool import Spool, SpoolFailed
from luna_processor.interface.metrics import Metrics
from support.event_sink import EventSink
from support.processor_builders import STREAM_ID, a_shot, a_target, an_event
from support.waiting import PATIENCE_S, eventually

QUICK = DeliverySettings(timeout_s=2, give_up_after_s=1.0, pauses=Pauses(0.05, 0.2))
PATIENT = replace(QUICK, timeout_s=600, give_up_after_s=600)
"""What hangs or is refused waits longer than any test."""
NOWHERE = "http://127.0.0.1:9"


class Post:
    """A delivery and what it said."""

    def __init__(
        self,
        settings: DeliverySettings = QUICK,
        capacity_bytes: int = 10**6,
        folder: Path | None = None,
        spool: Spool | None = None,
    ) -> None:
        self.refused: list[tuple[str, int]] = []
        self.metrics = Metrics()
        self.outbox = Outbox(spool or Spool(folder), capacity_bytes)
        self.account = Account()
        self.delivery = Delivery(
            settings, self.outbox, self.metrics, lambda stream_id, version: self.refused.append((stream_id, version))
        )

    def submit(self, event: ShotEvent, account: Account | None = None) -> bool:
        return self.delivery.submit(event, account or self.account, None)

    def count(self, outcome: str) -> float:
        return float(self.metrics.best_shots.labels(outcome)._value.get())


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    made = Post()
    yield made
    await made.delivery.close()


async def test_events_arrive_and_leave_nothing_behind(post: Post, sink: EventSink) -> None:
    for number in range(20):
        assert post.submit(an_event(target=a_target(origin=sink.origin), track_id=str(number)))
    await eventually(lambda: post.outbox.size == 0, "all are delivered")
    assert sorted(int(event.query["track_id"]) for event in sink.events) == list(range(20))
    assert post.count("sent") == 20


async def test_a_platform_that_is_down_holds_up_no_other(sink: EventSink) -> None:
    post = Post(PATIENT)
    for _ in range(20):
        post.submit(an_event(target=a_target(origin=NOWHERE)))
    post.submit(an_event(stream_id="other", target=a_target(origin=sink.origin)), Account())
    await eventually(lambda: sink.events, "the other platform gets its event")
    await eventually(lambda: post.account.trouble, "what is wrong is said")
    assert post.account.trouble == f"best shots cannot be delivered to {NOWHERE}: Connection refused"
    await eventually(lambda: post.outbox.size == 20, "only what is for the one that is down waits")
    await post.delivery.close()


async def test_an_event_is_given_up_after_its_time_and_said_to_be_lost(post: Post) -> None:
    post.submit(an_event(target=a_target(origin=NOWHERE)))
    await eventually(lambda: post.outbox.size == 0, "it is given up")
    assert post.count("given_up") == 1
    assert f"1 event was not delivered; the last reason: best shots cannot be delivered to {NOWHERE}" in str(
        post.account.losses
    )
    assert post.account.trouble is None


async def test_what_one_run_of_a_stream_lost_is_not_the_next_ones_loss(post: Post, sink: EventSink) -> None:
    stopped, next_run = Account(), Account()
    post.submit(an_event(target=a_target(origin=NOWHERE)), stopped)
    post.submit(an_event(target=a_target(origin=sink.origin)), next_run)
    await eventually(lambda: stopped.trouble, "the first is in trouble")
    assert next_run.trouble is None
    await eventually(lambda: post.outbox.size == 0, "both are settled")
    assert stopped.losses is not None
    assert next_run.losses is None


async def test_events_behind_a_platform_that_is_down_grow_old_while_they_wait_their_turn() -> None:
    post = Post(replace(QUICK, give_up_after_s=1.0, width=Width(1, 1)))
    began_s = time.monotonic()
    for _ in range(8):
        post.submit(an_event(target=a_target(origin=NOWHERE)))
    await eventually(lambda: post.outbox.size == 0, "all are given up")
    assert time.monotonic() - began_s < 5, "not one after the other, each for its whole time"
    assert post.count("given_up") == 8
    await post.delivery.close()


async def test_a_clock_that_is_set_makes_no_event_old(monkeypatch: pytest.MonkeyPatch) -> None:
    post = Post(replace(QUICK, give_up_after_s=600))
    post.submit(an_event(target=a_target(origin=NOWHERE)))
    await eventually(lambda: post.account.trouble, "it was tried")
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 86_400)
    tries = post.metrics.delivery_retries._value.get()
    await eventually(lambda: post.metrics.delivery_retries._value.get() >= tries + 3, "it is tried on")
    assert post.outbox.size == 1
    assert post.outbox.oldest_s < 600
    await post.delivery.close()


async def test_an_event_that_grew_old_behind_a_slow_one_is_tried_all_the_same(sink: EventSink) -> None:
    post = Post(replace(QUICK, give_up_after_s=0.2, width=Width(1, 1)))
    sink.delay_s = 0.5
    for number in range(2):
        post.submit(an_event(target=a_target(origin=sink.origin), track_id=str(number)))
    await eventually(lambda: post.outbox.size == 0, "both are settled")
    assert [event.query["track_id"] for event in sink.events] == ["0", "1"]
    assert post.account.losses is None
    await post.delivery.close()


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
async def test_what_may_pass_is_tried_again_under_the_same_id(sink: EventSink, status: int) -> None:
    post = Post(PATIENT)
    sink.status = status
    post.submit(an_event(target=a_target(origin=sink.origin)))
    await eventually(lambda: len(sink.attempts) >= 2, "it is tried again")
    sink.status = 201
    await eventually(lambda: sink.events, "it arrives")
    assert len({attempt["luna-request-id"] for attempt in sink.attempts}) == 1
    assert post.metrics.delivery_retries._value.get() == len(sink.attempts) - 1
    await post.delivery.close()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_platform_that_asks_to_be_left_alone_is_for_as_long_as_the_longest_pause(
    sink: EventSink, status: int
) -> None:
    post = Post(replace(PATIENT, pauses=Pauses(0.01, 1.0)))
    sink.status, sink.headers = status, {"Retry-After": "3600"}
    post.submit(an_event(target=a_target(origin=sink.origin)))
    await eventually(lambda: post.account.trouble, "it is refused")
    sink.status = 201
    await eventually(lambda: sink.events, "it arrives")
    first_s, second_s = sink.attempted_at_s
    assert second_s - first_s >= 1.0
    await post.delivery.close()


@pytest.mark.parametrize("status", [400, 404, 413, 301])
async def test_what_the_platform_does_not_take_is_dropped_at_once(post: Post, sink: EventSink, status: int) -> None:
    sink.status = status
    post.submit(an_event(target=a_target(origin=sink.origin)))
    await eventually(lambda: post.outbox.size == 0, "it is dropped")
    assert len(sink.attempts) == 1
    assert post.count("rejected") == 1
    assert f"status {status}" in str(post.account.losses)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_authorization_is_said_of_its_stream(post: Post, sink: EventSink, status: int) -> None:
    sink.status = status
    post.submit(an_event(target=a_target(origin=sink.origin)))
    await eventually(lambda: post.refused, "it is said")
    assert post.refused == [(STREAM_ID, 1)]
    assert len(sink.attempts) == 1


async def test_a_platform_that_does_not_answer_is_tried_again(sink: EventSink) -> None:
    post = Post(replace(QUICK, timeout_s=0.2, give_up_after_s=10))
    sink.delay_s = 5
    post.submit(an_event(target=a_target(origin=sink.origin)))
    await eventually(lambda: len(sink.attempts) >= 2, "it is tried again")
    sink.delay_s = 0
    await eventually(lambda: post.outbox.size == 0, "it arrives")
    assert post.count("sent") == 1
    await post.delivery.close()


@asynccontextmanager
async def answering(*pieces: bytes) -> AsyncIterator[int]:
    """Run a server on all addresses of this machine that answers piece by piece, ten in a second; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            answers.append(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.1)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # who asked has left
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    answers: list[asyncio.Task[None]] = []
    server = await asyncio.start_server(answer, "0.0.0.0", 0, backlog=200)  # noqa: S104
    async with server:
        yield server.sockets[0].getsockname()[1]
    for task in answers:
        task.cancel()
    await asyncio.gather(*answers, return_exceptions=True)


async def test_a_hundred_platforms_that_hang_hold_up_no_other(sink: EventSink) -> None:
    post = Post(PATIENT, capacity_bytes=10**8)
    async with answering(*[b""] * 1000) as port:
        for number in range(2, 103):
            post.submit(an_event(target=a_target(origin=f"http://127.0.0.{number}:{port}")))
        await asyncio.sleep(0.2)
        post.submit(an_event(stream_id="other", target=a_target(origin=sink.origin)))
        await eventually(lambda: sink.events, "the other platform gets its event")
        await post.delivery.close()


async def test_an_answer_that_trickles_holds_no_sender() -> None:
    post = Post(replace(QUICK, timeout_s=0.15, give_up_after_s=0.5))
    async with answering(b"HTTP/1.1 201 Created\r\nx: ", *[b"x"] * 100) as port:
        post.submit(an_event(target=a_target(origin=f"http://127.0.0.1:{port}")))
        await eventually(lambda: post.count("given_up"), "it is given up")
        await post.delivery.close()


async def test_who_says_that_an_event_is_taken_is_believed_whatever_follows() -> None:
    post = Post(replace(QUICK, timeout_s=0.3))
    async with answering(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\nhalf") as port:
        post.submit(an_event(target=a_target(origin=f"http://127.0.0.1:{port}")))
        await eventually(lambda: post.outbox.size == 0, "it is settled")
        assert (post.count("sent"), post.metrics.delivery_retries._value.get()) == (1, 0)
        await post.delivery.close()


async def test_a_frame_store_that_hangs_costs_a_few_events_their_frames_and_a_wait(
    sink: EventSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "_FRAME_STORE_TIMEOUT_S", 0.3)
    post = Post(replace(PATIENT, width=Width(1, 1)))
    began_s = time.monotonic()
    async with answering(*[b""] * 1000) as port:
        target = a_target(origin=sink.origin, frame_store=f"http://127.0.0.1:{port}/1/buckets/frames/images")
        for _ in range(60):
            post.submit(an_event(target=target, shots=(a_shot(frame_jpeg=b"frame"),)))
        await eventually(lambda: len(sink.events) == 60, "all arrive")
        assert post.metrics.source_frames.labels("failed")._value.get() == 60
        assert time.monotonic() - began_s < 60 * 0.3, "it is not waited for with every event"
        await post.delivery.close()


async def test_an_origin_that_is_no_address_loses_the_event_and_nothing_else(post: Post, sink: EventSink) -> None:
    post.submit(an_event(target=a_target(origin="http://platform:door")))
    post.submit(an_event(target=a_target(origin=sink.origin)))
    await eventually(lambda: post.outbox.size == 0, "both are settled")
    assert len(sink.events) == 1
    assert post.count("rejected") == 1


async def test_a_full_outbox_drops_live_events_and_counts_them() -> None:
    size_bytes = len(encode(an_event(target=a_target(NOWHERE))))
    post = Post(replace(QUICK, give_up_after_s=30), capacity_bytes=2 * size_bytes)
    accepted = [post.submit(an_event(target=a_target(NOWHERE))) for _ in range(3)]
    assert accepted == [True, True, False]
    assert post.count("overflow") == 1
    assert post.account.losses == "1 event was not delivered; the last reason: too many events wait"
    await post.delivery.close()


async def test_source_frames_are_stored_once_however_often_the_event_is_tried(sink: EventSink) -> None:
    post = Post(PATIENT)
    sink.status = 503
    target = a_target(origin=sink.origin, frame_store=f"{sink.origin}/1/buckets/frames/images")
    post.submit(an_event(target=target, shots=(a_shot(frame_jpeg=b"one"), a_shot(frame_jpeg=b"two"))))
    await eventually(lambda: len(sink.attempts) >= 2, "the event is repeated")
    sink.status = 201
    await eventually(lambda: sink.events, "it arrives")
    assert sink.frames == [b"one", b"two"]
    origins = [detection["image_origin"] for detection in sink.events[0].meta["detections"]]
    assert origins == [f"{sink.origin}/1/buckets/frames/images/{number}" for number in (1, 2)]
    await post.delivery.close()


class Unreadable(Spool):
    """A spool in memory whose disk gives nothing a few times."""

    failures = 0

    def read(self, number: int) -> bytes:
        self.failures += 1
        if self.failures <= 3:
            raise SpoolFailed("disk I/O error")
        return super().read(number)


async def test_what_the_disk_does_not_give_now_is_read_later(sink: EventSink) -> None:
    post = Post(PATIENT, spool=Unreadable(None))
    post.submit(an_event(target=a_target(origin=sink.origin)))
    await eventually(lambda: post.account.trouble, "it is said")
    assert "the spool cannot be read: disk I/O error" in str(post.account.trouble)
    await eventually(lambda: sink.events, "it arrives")
    await eventually(lambda: post.account.trouble is None, "all is well")
    await post.delivery.close()


async def test_while_one_handler_fails_the_stream_says_so_though_the_other_takes_its_events(sink: EventSink) -> None:
    post = Post(PATIENT)
    post.submit(an_event(target=a_target(origin=NOWHERE)))
    await eventually(lambda: post.account.trouble, "it is said")
    trouble = post.account.trouble
    for _ in range(5):
        post.submit(an_event(target=a_target(origin=sink.origin)))
    await eventually(lambda: post.outbox.size == 1, "the others are delivered")
    assert post.account.trouble == trouble
    await post.delivery.close()


async def test_a_frame_store_that_refuses_is_told_of_once_and_events_go_without_frames(
    post: Post, sink: EventSink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    store = f"{sink.origin}/1/buckets/frames/images"
    with_frame = an_event(target=a_target(origin=sink.origin, frame_store=store), shots=(a_shot(frame_jpeg=b"frame"),))
    sink.frame_status = 500
    for number in range(5):
        post.submit(replace(with_frame, request_id=f"1,{number}"))
    await eventually(lambda: len(sink.events) == 5, "all arrive")
    assert {event.detection["image_origin"] for event in sink.events} == {None}
    await eventually(lambda: post.outbox.size == 0, "all are settled")
    sink.frame_status = 201
    post.submit(replace(with_frame, request_id="1,5"))
    await eventually(lambda: sink.frames, "it takes frames again")
    await eventually(lambda: post.outbox.size == 0, "this one is settled, too")
    assert [record.message for record in caplog.records if record.name.startswith("luna_processor")] == [
        f"source frames are not stored at {store}, and events go without them: status 500",
        f"source frames are stored at {store} again",
    ]
    assert [post.metrics.source_frames.labels(outcome)._value.get() for outcome in ("failed", "stored")] == [5, 1]


async def test_flushing_waits_for_what_can_be_delivered_and_no_longer(sink: EventSink) -> None:
    post = Post(PATIENT)
    post.submit(an_event(target=a_target(origin=sink.origin)))
    await post.delivery.flush(PATIENCE_S)
    assert len(sink.events) == 1
    sink.status = 503
    post.submit(an_event(target=a_target(origin=sink.origin)))
    async with asyncio.timeout(PATIENCE_S):
        await post.delivery.flush(0.2)
    assert post.outbox.size == 1
    await post.delivery.close()


async def test_every_stream_that_waits_for_a_platform_that_is_down_says_so() -> None:
    post = Post(replace(QUICK, give_up_after_s=30, width=Width(1, 1)))
    accounts = [Account() for _ in range(20)]
    for account in accounts:
        post.submit(an_event(target=a_target(NOWHERE)), account)
    await eventually(lambda: all(account.trouble for account in accounts), "all say so, tried or not")
    await post.delivery.close()


async def test_what_waited_before_a_restart_is_refused_and_dropped_as_if_it_were_new(
    sink: EventSink, tmp_path: Path
) -> None:
    sink.status = 503
    before = Post(replace(QUICK, give_up_after_s=30), folder=tmp_path)
    before.submit(an_event(target=a_target(sink.origin)))
    await eventually(lambda: sink.attempts, "it is tried")
    await before.delivery.close()
    sink.status = 401
    after = Post(replace(QUICK, give_up_after_s=30), folder=tmp_path)
    await eventually(lambda: after.outbox.size == 0, "it is dropped")
    assert after.refused == [(STREAM_ID, 1)]
    assert after.count("refused") == 1
    assert len({attempt["luna-request-id"] for attempt in sink.attempts}) == 1
    await after.delivery.close()
