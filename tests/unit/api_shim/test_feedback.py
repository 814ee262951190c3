"""Feedback in memory: what is written, what is asked of the API server, and what a worker is told in trouble."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records
from luna_api_shim.workers.feedback import Feedback
from luna_api_shim.workers.handlers import HandlerWatch
from luna_api_shim.workers.identity import Worker
from luna_api_shim.workers.news import BURST, REFILL_S, FiguresBudget
from luna_kube import ApiError, Unavailable
from luna_streams.lifecycle import Drained, Taken, advance
from luna_streams.rest.messages import FeedbackItem
from luna_streams.stream import Stream, StreamState
from support.builders import NOW, STREAM_ID, WORKER, a_record, a_stream
from support.memory_store import MemoryStore
from support.waiting import eventually
from support.worker import VIDEO_INFO

PERIOD_S = 20.0
ME = Worker(WORKER)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """Feedback on a store in memory, with a clock that the test turns."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), Clock()
        records = Records(self.store)
        self.watch = HandlerWatch(self.store, records, period_s=PERIOD_S, clock=self.clock)
        self.feedback = Feedback(self.store, records, self.watch, clock=self.clock)

    async def report(self, *items: FeedbackItem) -> dict[str, Any]:
        return (await self.feedback.report(ME, items)).streams.model_dump(mode="json")

    def running(self, number: int = 1) -> Entry:
        stream = a_stream(STREAM_ID[:-2] + f"{number:02d}")
        return self.store.add(stream.model_copy(update={"status": a_record(stream.spec, status="in_progress")}))

    def take_in_secret(self, entry: Entry) -> None:
        """Let another replica, which led before, hand the stream to the worker; ours has not heard of it."""
        assert entry.stream.status is not None
        self.store.change(entry.stream, status=advance(entry.stream.status, Taken(WORKER), NOW).record)

    def fail_writes(self, error: ApiError) -> None:
        def before_write(_what: str, _stream: Stream | None) -> None:
            raise error

        self.store.before_write = before_write


@pytest.fixture
def desk() -> Desk:
    return Desk()


def item(entry: Entry, status: str = "in_progress", **changes: Any) -> FeedbackItem:
    body: dict[str, Any] = {"stream_id": entry.stream_id, "status": status, "version": 1, "error": None}
    return FeedbackItem.from_peer(body | {"video_info": None} | changes)


def told(entry: Entry, status: str = "in_progress", version: int = 1) -> dict[str, Any]:
    return {"stream_id": entry.stream_id, "status": status, "version": version}


# --- what is written --------------------------------------------------------------------------------------------------


async def test_what_several_reports_in_a_row_say_is_all_written(desk: Desk) -> None:
    entry = desk.running()
    for number in range(20):
        changes = {"width": 100 + number, "start_time": f"2024-05-01T12:00:{number:02d}+00:00"}
        preview = {"live": {"url": f"http://worker/{number}"}, "last_frame": {"url": f"http://worker/{number}.jpg"}}
        answer = await desk.report(item(entry, error=f"e{number}", video_info=VIDEO_INFO | changes, preview=preview))
        assert answer == {"modified": [], "unmodified": [told(entry)]}
        record = desk.store.record(entry)
        assert (record.last_error, record.video_info and record.video_info.width) == (f"e{number}", 100 + number)
        assert record.preview is not None
        assert record.preview.model_dump() == preview


async def test_figures_that_are_never_the_same_are_not_written_each_time(desk: Desk) -> None:
    entry = desk.running()
    await desk.report(item(entry, video_info=VIDEO_INFO))
    for gop_size in range(100):
        await desk.report(item(entry, video_info=VIDEO_INFO | {"gop_size": gop_size}))
        desk.clock.now += 5
        await desk.feedback.catch_up()
    assert len(desk.store.writes) <= 1 + BURST + 100 * 5 / REFILL_S
    info = desk.store.record(entry).video_info
    assert info is not None
    assert info.gop_size > 100 - REFILL_S / 5 - 2


@pytest.mark.parametrize("figure", [{"gop_size": 7}, {"progress": 0.009}], ids=str)
async def test_figures_that_are_held_back_are_written_without_another_report(
    desk: Desk, figure: dict[str, float]
) -> None:
    entry = desk.running()
    for bit_rate in range(int(BURST) + 1):
        await desk.report(item(entry, video_info=VIDEO_INFO | {"bit_rate": bit_rate, "progress": 0.0}))
    last = VIDEO_INFO | {"bit_rate": int(BURST), "progress": 0.0} | figure
    await desk.report(item(entry, video_info=last), item(entry, video_info=None))
    await desk.feedback.catch_up()
    assert len(desk.store.writes) == BURST + 1  # the first video information is no figure
    desk.clock.now += REFILL_S
    await desk.feedback.catch_up()
    info = desk.store.record(entry).video_info
    assert info is not None
    assert {name: getattr(info, name) for name in figure} == figure


async def test_a_little_progress_is_written_in_time_although_there_is_more_all_the_time(
    desk: Desk,
) -> None:
    entry = desk.running()
    for number in range(8):
        await desk.report(item(entry, video_info=VIDEO_INFO | {"progress": number / 10_000}))
        desk.clock.now += 5
        await desk.feedback.catch_up()
    assert len(desk.store.writes) == 2
    info = desk.store.record(entry).video_info
    assert info is not None
    assert info.progress == 0.0006


async def test_a_report_that_takes_back_what_is_held_back_ends_it(desk: Desk) -> None:
    entry = desk.running()
    for gop_size in range(int(BURST) + 2):
        await desk.report(item(entry, video_info=VIDEO_INFO | {"gop_size": gop_size}))
    written = len(desk.store.writes)
    await desk.report(item(entry, video_info=VIDEO_INFO | {"gop_size": int(BURST)}))
    desk.clock.now += 2 * REFILL_S
    await desk.feedback.catch_up()
    assert len(desk.store.writes) == written


@pytest.mark.parametrize("reports_first", [False, True])
async def test_what_is_held_back_of_an_earlier_run_is_not_written(desk: Desk, reports_first: bool) -> None:
    """A worker without a name gets the stream again, in the same version."""
    entry = desk.running()
    for gop_size in range(int(BURST) + 2):
        await desk.report(item(entry, video_info=VIDEO_INFO | {"gop_size": gop_size}))
    stream = desk.store.objects[entry.key]
    assert stream.status is not None
    again = stream.status.model_copy(update={"status_time": stream.status.status_time + timedelta(seconds=1)})
    entry = desk.store.add(desk.store.change(stream, status=again).stream)
    written = len(desk.store.writes)
    if reports_first:
        await desk.report(item(entry))
    desk.clock.now += REFILL_S
    await desk.feedback.catch_up()
    await desk.report(item(entry))
    assert len(desk.store.writes) == written


async def test_one_restless_stream_costs_the_others_nothing(desk: Desk) -> None:
    restless, calm = desk.running(1), desk.running(2)
    for number in range(20):
        await desk.report(item(restless, video_info=VIDEO_INFO | {"gop_size": number}))
    await desk.report(item(calm, video_info=VIDEO_INFO | {"gop_size": 7}))
    info = desk.store.record(calm).video_info
    assert info is not None
    assert info.gop_size == 7


async def test_many_reports_at_once_on_one_stream_are_one_write_and_the_last_one(desk: Desk) -> None:
    entry = desk.running()
    desk.store.access_s = 0.02
    await asyncio.gather(*(desk.report(item(entry, error=f"e{number}")) for number in range(50)))
    desk.clock.now += 1
    await desk.feedback.catch_up()
    assert desk.store.writes == ["status", "status"]
    assert desk.store.record(entry).last_error == "e49"


@pytest.mark.parametrize("status", ["done", "failure"])
async def test_the_last_report_is_written_in_full_however_many_came_before(desk: Desk, status: str) -> None:
    entry = desk.running()
    for number in range(20):
        await desk.report(item(entry, video_info=VIDEO_INFO | {"gop_size": number}))
    answer = await desk.report(item(entry, status, error="the end"))
    record = desk.store.record(entry)
    assert (record.status, record.last_error, record.video_info and record.video_info.gop_size) == (
        status,
        "the end",
        19,
    )
    assert answer == {"modified": [], "unmodified": [told(entry, status)]}


async def test_news_that_are_held_back_keep_the_handler_alive(desk: Desk) -> None:
    entry = desk.running()
    desk.watch.overdue()
    for number in range(20):
        desk.clock.now += 3
        figures = VIDEO_INFO | {"gop_size": number}
        assert (await desk.report(item(entry, video_info=figures)))["modified"] == []
        assert desk.watch.overdue() == []


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 20)), max_size=60))
def test_a_budget_is_never_exceeded_in_any_stretch_of_time(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    budget = FiguresBudget(clock)
    granted: dict[str, list[float]] = {"a": [], "b": []}
    for name, wait_s in steps:
        clock.now += wait_s
        wait_s = budget.spend(name)
        if wait_s == 0:
            granted[name].append(clock.now)
        else:
            clock.now += wait_s + 1e-6
            assert budget.spend(name) == 0
            granted[name].append(clock.now)
    for times in granted.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= BURST + (times[last] - times[first]) / REFILL_S + 1e-6


def test_a_budget_forgets_streams_that_are_calm() -> None:
    clock = Clock()
    budget = FiguresBudget(clock)
    for number in range(5000):
        budget.spend(str(number))
        clock.now += 1
    assert len(budget) < 2500


# --- what is asked of the API server ----------------------------------------------------------------------------------


async def test_a_worker_that_goes_on_costs_no_read(desk: Desk) -> None:
    entries = [desk.running(number) for number in range(20)]
    await desk.report(*map(item, entries))
    assert (desk.store.refetches, desk.store.writes) == ([], [])


async def test_a_stream_that_another_replica_handed_out_just_now_is_not_stopped(desk: Desk) -> None:
    stream = a_stream()
    entry = desk.store.add(stream.model_copy(update={"status": a_record(stream.spec)}))
    desk.take_in_secret(entry)
    assert await desk.report(item(entry)) == {"modified": [], "unmodified": [told(entry)]}
    assert await desk.report(item(entry, "done")) == {"modified": [], "unmodified": [told(entry, "done")]}


async def test_a_stream_that_is_new_here_is_looked_for_before_it_is_called_missing(desk: Desk) -> None:
    entry = desk.running()
    desk.store.forget(entry)
    assert await desk.report(item(entry)) == {"modified": [], "unmodified": [told(entry)]}


async def test_a_stream_made_by_hand_is_not_called_missing_by_a_new_leader(desk: Desk) -> None:
    """Its id does not say what the object is called, so that it cannot be looked for."""
    stream_id = "0193e0d5-5f6a-5c3e-8a5b-2f6d0c1b4a39"
    unknown = FeedbackItem.from_peer(
        {"stream_id": stream_id, "status": "in_progress", "version": 3, "error": None, "video_info": None}
    )
    desk.watch.begin()
    same = {"stream_id": stream_id, "status": "in_progress", "version": 3}
    assert await desk.report(unknown) == {"modified": [], "unmodified": [same]}
    desk.clock.now += PERIOD_S
    gone = {"stream_id": stream_id, "status": "not_found", "version": 0}
    assert await desk.report(unknown) == {"modified": [gone], "unmodified": []}


async def test_a_worker_that_does_not_obey_costs_one_read_in_a_while(desk: Desk) -> None:
    stream = a_stream(desired_status=StreamState.PAUSE)
    entry = desk.store.add(stream.model_copy(update={"status": a_record(stream.spec)}))
    for _ in range(10):
        assert await desk.report(item(entry)) == {"modified": [told(entry, "pause")], "unmodified": []}
    assert len(desk.store.refetches) == 1
    desk.clock.now += 60
    await desk.report(item(entry))
    assert len(desk.store.refetches) == 2


# --- trouble ----------------------------------------------------------------------------------------------------------


async def test_news_that_cannot_be_written_stop_nobody(desk: Desk) -> None:
    restless, calm = desk.running(1), desk.running(2)
    desk.fail_writes(Unavailable("PUT", "no answer"))
    answer = await desk.report(item(restless, error="no picture"), item(calm))
    assert sorted(answer["unmodified"], key=str) == sorted([told(restless), told(calm)], key=str)


async def test_an_end_that_cannot_be_written_is_to_be_reported_again(desk: Desk) -> None:
    entry = desk.running()
    desk.fail_writes(Unavailable("PUT", "no answer"))
    with pytest.raises(Unavailable):
        await desk.report(item(entry, "done"))
    assert desk.store.record(entry).status == StreamState.IN_PROGRESS


async def test_a_stop_that_cannot_be_checked_is_not_said_yet(desk: Desk) -> None:
    stream = a_stream()
    entry = desk.store.add(stream.model_copy(update={"status": a_record(stream.spec)}))
    desk.store.fail_reads(Unavailable("GET", "no answer"))
    assert await desk.report(item(entry)) == {"modified": [], "unmodified": [told(entry)]}
    desk.store.fail_reads(None)
    assert await desk.report(item(entry)) == {"modified": [told(entry, "pending")], "unmodified": []}


async def test_news_that_cannot_be_written_are_written_when_the_trouble_is_over(desk: Desk) -> None:
    entry = desk.running()
    desk.fail_writes(Unavailable("PUT", "no answer"))
    await desk.report(item(entry, error="no picture"))
    for _ in range(3):
        desk.clock.now += 5
        await desk.feedback.catch_up()
    assert desk.store.record(entry).last_error is None
    desk.store.before_write = lambda _what, _stream: None
    desk.clock.now += 5
    await desk.feedback.catch_up()
    assert desk.store.record(entry).last_error == "no picture"


# --- a slow API server ------------------------------------------------------------------------------------------------


async def test_a_worker_does_not_wait_until_a_slow_api_server_has_taken_everything(desk: Desk) -> None:
    entries = [desk.running(number) for number in range(99)]
    desk.store.access_s, desk.feedback.writing_s = 1.0, 0.15
    began = time.monotonic()
    answer = await desk.report(*(item(entry, error="old") for entry in entries), item(entries[0], error="first"))
    assert time.monotonic() - began < 5  # all writes take 7 s
    assert answer == {"modified": [], "unmodified": [told(entry) for entry in entries]}
    assert any(desk.store.record(entry).last_error is None for entry in entries)
    desk.store.access_s = 0
    await desk.report(item(entries[-1], error="new"))
    await desk.feedback.catch_up()
    errors = [desk.store.record(entry).last_error for entry in entries]
    assert errors == ["first"] + ["old"] * 97 + ["new"]


async def test_a_report_that_comes_while_an_older_one_is_written_slowly_is_written_last(desk: Desk) -> None:
    entry = desk.running()
    desk.store.access_s, desk.feedback.writing_s = 60, 0.05
    older = asyncio.create_task(desk.report(item(entry, error="old", video_info=VIDEO_INFO)))
    await asyncio.sleep(0)
    await desk.report(item(entry, error="new"))
    await older
    desk.store.access_s = 0
    desk.clock.now += 1
    await desk.feedback.catch_up()
    record = desk.store.record(entry)
    assert (record.last_error, record.video_info is not None) == ("new", True)


async def test_ends_are_written_before_the_answer_however_slow_the_api_server_is(desk: Desk) -> None:
    entries = [desk.running(number) for number in range(40)]
    desk.store.access_s, desk.feedback.writing_s = 0.05, 0.01
    answer = await desk.report(*(item(entry, "done") for entry in entries))
    assert answer == {"modified": [], "unmodified": [told(entry, "done") for entry in entries]}
    assert {desk.store.record(entry).status for entry in entries} == {"done"}


async def test_a_drained_stream_is_given_back_before_the_answer(desk: Desk) -> None:
    entry = desk.running()
    assert entry.stream.status is not None
    drained = advance(entry.stream.status, Drained(NOW), NOW).record
    entry = desk.store.add(desk.store.change(entry.stream, status=drained).stream)
    desk.store.access_s, desk.feedback.writing_s = 0.05, 0.01
    assert await desk.report(item(entry)) == {"modified": [told(entry, "pending")], "unmodified": []}


async def test_what_is_left_to_write_goes_on_by_itself_and_ends_with_the_term(desk: Desk) -> None:
    entries = [desk.running(number) for number in range(2)]
    desk.store.access_s, desk.feedback.writing_s = 0.05, 0.01
    term = asyncio.create_task(desk.feedback.run())
    await asyncio.sleep(0)
    await desk.report(item(entries[0], error="x"))
    await eventually(lambda: desk.store.record(entries[0]).last_error == "x")
    await desk.report(item(entries[1], error="x"))
    term.cancel()
    await asyncio.gather(term, return_exceptions=True)
    await desk.feedback.catch_up()
    assert desk.store.record(entries[1]).last_error is None


# --- very many --------------------------------------------------------------------------------------------------------


async def test_feedback_on_ten_thousand_streams_is_answered_rightly_and_writes_what_changed_only(desk: Desk) -> None:
    """Twenty workers at once, three rounds; meanwhile users paused, replaced and deleted some streams."""
    desk.feedback.writing_s = 60  # each write counts here, however slow the machine is
    model = a_record(a_stream().spec, status="in_progress")
    names = [f"{STREAM_ID[:-5]}{number:05d}" for number in range(10_000)]
    for name in names:
        desk.store.add(a_stream(name, record=model))
    bodies = {name: {"stream_id": name, "version": 1, "status": "in_progress", "error": None} for name in names}

    async def a_round(info: dict[str, Any], **changes: dict[str, Any]) -> dict[str, list[Any]]:
        """Let every worker report on its streams, `changes` by name; return what they were told."""
        items = [FeedbackItem.from_peer(bodies[name] | {"video_info": info} | changes.get(name, {})) for name in names]
        answers = await asyncio.gather(*(desk.report(*items[n : n + 500]) for n in range(0, len(items), 500)))
        assert [told["stream_id"] for answer in answers for told in answer["unmodified"]] == [
            name for name in names if name not in gone
        ]
        return {key: [told for answer in answers for told in answer[key]] for key in ("modified", "unmodified")}

    gone: dict[str, tuple[str, int]] = {}
    assert (await a_round(VIDEO_INFO))["modified"] == []
    assert len(desk.store.writes) == len(names)  # the first video information of each
    desk.store.writes.clear()
    assert (await a_round(VIDEO_INFO))["modified"] == []
    assert (desk.store.writes, desk.store.refetches) == ([], [])

    for number, name in enumerate(names[::100]):
        stream = desk.store.objects[desk.store.namespace, name]
        assert stream.status is not None
        match number % 3:
            case 0:
                gone[name] = ("pause", 1)
                spec = a_stream(desired_status="pause").spec
                desk.store.add(desk.store.change(stream, status=a_record(spec), spec=spec).stream)
            case 1:
                gone[name] = ("in_progress", 2)
                newer = stream.status.model_copy(update={"version": 2})
                desk.store.add(desk.store.change(stream, status=newer).stream)
            case _:
                gone[name] = ("not_found", 0)
                await desk.store.delete_stream(Entry(stream))
    desk.store.writes.clear()
    ended = names[50]
    told_ = await a_round(VIDEO_INFO, **{ended: {"status": "done"}, names[51]: {"error": "no picture"}})
    assert {item["stream_id"]: (item["status"], item["version"]) for item in told_["modified"]} == gone
    assert [item for item in told_["unmodified"] if item["status"] != "in_progress"] == [
        {"stream_id": ended, "status": "done", "version": 1}
    ]
    assert desk.store.writes == ["status", "status"]
    assert len(desk.store.refetches) <= len(gone)
