"""Events: repetitions are counted, floods are dropped, warnings go first, failures do no harm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from luna_kube import STREAMS, KubeClient
from luna_operator import events
from luna_operator.events import EventKind, EventRecorder, Note, Subject
from support.chaos_api import ChaosApi
from support.waiting import eventually

EVENTS = "/api/v1/events"


@pytest.fixture
async def chaos() -> AsyncIterator[ChaosApi]:
    async with ChaosApi().running() as server:
        yield server


@pytest.fixture
async def client(chaos: ChaosApi) -> AsyncIterator[KubeClient]:
    async with chaos.client() as client:
        yield client


def a_note(name: str = "cam", kind: EventKind = "Normal", message: str = "Assigned to pool-0.") -> Note:
    return Note(Subject(STREAMS, "default", name, f"uid-{name}"), kind, "Assigned", message)


def written(chaos: ChaosApi) -> list[dict[str, Any]]:
    return list(chaos.state(EVENTS).values())


async def test_an_event_says_about_whom_what_and_by_whom(chaos: ChaosApi, client: KubeClient) -> None:
    recorder = EventRecorder(client, "pod-1")
    recorder.note(a_note())
    task = asyncio.create_task(recorder.run())
    await eventually(lambda: written(chaos))
    task.cancel()
    [event] = written(chaos)
    assert event["involvedObject"] == {
        "apiVersion": "lunastreams.dev/v1alpha1", "kind": "Stream", "namespace": "default", "name": "cam",
        "uid": "uid-cam",
    }  # fmt: skip
    assert (event["type"], event["reason"], event["count"], event["reportingInstance"]) == (
        "Normal", "Assigned", 1, "pod-1",
    )  # fmt: skip


async def test_a_repetition_raises_the_count(chaos: ChaosApi, client: KubeClient) -> None:
    recorder = EventRecorder(client, "pod-1")
    task = asyncio.create_task(recorder.run())
    recorder.note(a_note())
    recorder.note(a_note())
    await eventually(lambda: written(chaos))
    assert written(chaos)[0]["count"] == 2
    recorder.note(a_note())
    await eventually(lambda: written(chaos)[0]["count"] == 3)
    chaos.remove(EVENTS, written(chaos)[0]["metadata"]["name"])
    recorder.note(a_note())
    await eventually(lambda: written(chaos))
    assert written(chaos)[0]["count"] == 1, "the old one has expired"
    task.cancel()


async def test_a_flood_is_dropped_but_warnings_get_through(
    chaos: ChaosApi, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_QUEUE_LIMIT", 3)
    monkeypatch.setattr(events, "_PAUSE_S", 0)
    dropped: list[int] = []
    recorder = EventRecorder(client, "pod-1", lambda: dropped.append(1))
    for number in range(5):
        recorder.note(a_note(f"cam-{number}"))
    recorder.note(a_note("bad", "Warning"))
    task = asyncio.create_task(recorder.run())
    await eventually(lambda: len(written(chaos)) == 4)
    task.cancel()
    ordered = sorted(written(chaos), key=lambda event: int(event["metadata"]["resourceVersion"]))
    assert [event["involvedObject"]["name"] for event in ordered] == ["bad", "cam-0", "cam-1", "cam-2"]
    assert len(dropped) == 2


async def test_an_event_that_cannot_be_written_is_dropped(chaos: ChaosApi, client: KubeClient) -> None:
    chaos.fail("write", 403)
    dropped: list[int] = []
    recorder = EventRecorder(client, "pod-1", lambda: dropped.append(1))
    recorder.note(a_note("first"))
    recorder.note(a_note("second"))
    task = asyncio.create_task(recorder.run())
    await eventually(lambda: written(chaos))
    task.cancel()
    assert [event["involvedObject"]["name"] for event in written(chaos)] == ["second"]
    assert dropped == [1]


async def test_events_of_one_second_are_in_the_order_of_what_happened_by_time_and_by_name(
    chaos: ChaosApi, client: KubeClient
) -> None:
    recorder = EventRecorder(client, "pod-1")
    told = [a_note(message="first"), a_note(kind="Warning", message="second"), a_note(message="third")]
    for note in told:
        recorder.note(note)
    task = asyncio.create_task(recorder.run())
    await eventually(lambda: len(written(chaos)) == 3)
    task.cancel()
    by_name = sorted(written(chaos), key=lambda event: str(event["metadata"]["name"]))
    assert [event["message"] for event in by_name] == ["first", "second", "third"], "though the warning went first"
    times = [event["lastTimestamp"] for event in by_name]
    assert times == sorted(times)


async def test_a_slow_api_server_gets_fewer_events(client: KubeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    moments: list[float] = []

    async def slowly(*_: Any) -> dict[str, Any]:
        moments.append(time.monotonic())
        await asyncio.sleep(0.04)
        return {}

    monkeypatch.setattr(client, "create", slowly)
    recorder = EventRecorder(client, "pod-1")
    for number in range(2):
        recorder.note(a_note(f"cam-{number}"))
    task = asyncio.create_task(recorder.run())
    await eventually(lambda: len(moments) == 2)
    task.cancel()
    assert moments[1] - moments[0] >= 5 * 0.04 - 0.01, "a pause of four times as long as the first one took"
