"""Automatic restart and edited specs where no operator runs: workers from outside need nothing but a shim."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from luna_kube import STREAMS, Json
from luna_streams.autorestart import FATAL_ERROR
from support.apiservers import ApiServer
from support.builders import v1_body, v2_body
from support.facestream import FaceStream, Ledger, Pace
from support.shims import Deployment, Shim, a_deployment
from support.waiting import PATIENCE_S, eventually
from support.worker import Work

QUICK = Pace(request_stream_s=0.1, send_feedback_s=0.3, max_feedback_delay_s=2.0)


@pytest.fixture
async def deployment(any_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(any_api) as deployment:
        yield deployment


@pytest.fixture
async def shim(deployment: Deployment) -> AsyncIterator[Shim]:
    async with deployment.shim() as shim:
        yield shim


@pytest.fixture
async def worker(shim: Shim) -> AsyncIterator[FaceStream]:
    async with FaceStream(shim.url, "one", Ledger(), pace=QUICK).running() as worker:
        yield worker


def restarting(attempts: int, delay: int = 1) -> Json:
    return {"autorestart": {"restart": 1, "attempt_count": attempts, "delay": delay}}


async def until(shim: Shim, stream_id: str, is_so: Callable[[Json], bool], api: int = 2) -> Json:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so(stream := await shim.read(stream_id, api)):
            await asyncio.sleep(0.02)
    return stream


async def the_run_of(worker: FaceStream, stream_id: str, after: Work | None = None) -> Work:
    """Return the worker's next run of a stream."""
    await eventually(lambda: worker.work.get(stream_id) not in (None, after), "the worker has the stream")
    return worker.work[stream_id]


async def log_of(deployment: Deployment, stream_id: str) -> list[str]:
    status = (await deployment.stream(stream_id)).status
    assert status is not None
    return [entry.status.value for entry in status.history]


@pytest.mark.parametrize("api", [1, 2])
async def test_a_failed_stream_is_tried_again_until_the_attempts_are_used_up(
    shim: Shim, deployment: Deployment, api: int
) -> None:
    stream_id = await shim.create((v1_body if api == 1 else v2_body)(**restarting(2)), api)
    async with FaceStream(shim.url, "one", Ledger(), api=api, pace=QUICK).running() as worker:
        assert (await shim.read(stream_id, api))["autorestart"]["status"] == "enabled"
        run = None
        for attempt in (1, 2):
            run = await the_run_of(worker, stream_id, run)
            worker.finish(stream_id, "failure", "no picture")
            stream = await until(shim, stream_id, lambda s: s["autorestart"]["current_attempt"] == attempt, api)  # noqa: B023
            assert stream["autorestart"]["status"] == "in_progress"
            assert stream["autorestart"]["last_attempt_time"] is not None
        await the_run_of(worker, stream_id, run)
        worker.finish(stream_id, "failure", "no picture")

        stream = await until(shim, stream_id, lambda s: s["autorestart"]["status"] == "failed", api)
        assert (stream["status"], stream["last_error"]) == ("failure", "no picture")
        assert stream["autorestart"]["current_attempt"] == 2
    run_log = ["in_progress", "failure"]
    again = ["restart", "pending", *run_log]
    assert await log_of(deployment, stream_id) == ["pending", *run_log, *again, *again][-12:]


async def test_an_attempt_that_lasts_is_a_success(shim: Shim, deployment: Deployment, worker: FaceStream) -> None:
    stream_id = await shim.create(v2_body(**restarting(3)))
    run = await the_run_of(worker, stream_id)
    worker.finish(stream_id, "failure", "no picture")
    await the_run_of(worker, stream_id, run)
    stream = await until(shim, stream_id, lambda s: s["autorestart"]["status"] == "enabled" and s["last_error"] is None)
    assert stream["status"] == "in_progress"
    assert stream["autorestart"]["current_attempt"] == 0
    assert stream["autorestart"]["last_attempt_time"] is not None
    assert await log_of(deployment, stream_id) == [
        "pending", "in_progress", "failure", "restart", "pending", "in_progress"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "error", "state"),
    [
        pytest.param(restarting(3), FATAL_ERROR, "denied", id="fatal"),
        pytest.param({}, "no picture", "disabled", id="switched-off"),
    ],
)
async def test_what_is_not_restarted_stays_failed(
    shim: Shim, deployment: Deployment, worker: FaceStream, settings: Any, error: str, state: str
) -> None:
    stream_id = await shim.create(v2_body(**settings))
    await the_run_of(worker, stream_id)
    worker.finish(stream_id, "failure", error)
    stream = await until(shim, stream_id, lambda s: s["status"] == "failure")
    assert stream["autorestart"]["status"] == state
    other = await shim.create(v2_body(**restarting(1)))  # by the time this one was restarted, the other would have been
    await the_run_of(worker, other)
    worker.finish(other, "failure", "no picture")
    await until(shim, other, lambda s: s["autorestart"]["current_attempt"] == 1)
    assert await log_of(deployment, stream_id) == ["pending", "in_progress", "failure"]


async def test_a_user_who_pauses_between_two_attempts_ends_them(shim: Shim, worker: FaceStream) -> None:
    stream_id = await shim.create(v2_body(**restarting(3, delay=600)))
    run = await the_run_of(worker, stream_id)
    worker.finish(stream_id, "failure", "no picture")
    await the_run_of(worker, stream_id, run)
    worker.finish(stream_id, "failure", "no picture")
    await until(shim, stream_id, lambda s: s["status"] == "failure" and s["autorestart"]["current_attempt"] == 1)
    await shim.http.patch(f"/2/streams/{stream_id}", json={"status": "pause"})
    stream = await shim.read(stream_id)
    assert (stream["status"], stream["autorestart"]["status"]) == ("pause", "enabled")
    assert stream["autorestart"]["current_attempt"] == 0
    assert stream["autorestart"]["last_attempt_time"] is not None


async def test_a_spec_edited_by_hand_is_followed_and_the_worker_told(
    shim: Shim, deployment: Deployment, worker: FaceStream
) -> None:
    stream_id = await shim.create(v2_body())
    await the_run_of(worker, stream_id)
    await deployment.kube.patch(STREAMS.at(deployment.namespace, stream_id), {"spec": {"desiredStatus": "pause"}})
    await until(shim, stream_id, lambda s: s["status"] == "pause")
    await eventually(lambda: not worker.work, "the worker has stopped")
    assert worker.told == [{"stream_id": stream_id, "status": "pause", "version": 1}]

    await deployment.kube.patch(
        STREAMS.at(deployment.namespace, stream_id), {"spec": {"desiredStatus": "pending", "displayName": "new"}}
    )
    assert (await the_run_of(worker, stream_id)).stream["version"] == 2


async def test_a_spec_that_asks_for_nothing_new_is_looked_at_once(shim: Shim, deployment: Deployment) -> None:
    stream_id = await shim.create(v2_body())
    await until(shim, stream_id, lambda _: shim.service.store.catalogue.get(stream_id).stream.status is not None)  # type: ignore[union-attr]
    await deployment.kube.patch(STREAMS.at(deployment.namespace, stream_id), {"spec": {"groups": ["doors"]}})
    await until(shim, stream_id, lambda s: s["groups"] == ["doors"])
    before = (await deployment.stream(stream_id)).resource_version
    other = await shim.create(v2_body())
    await until(shim, other, lambda _: shim.service.store.catalogue.get(other).stream.status is not None)  # type: ignore[union-attr]
    await asyncio.sleep(1)
    assert (await deployment.stream(stream_id)).resource_version == before
