"""The log over REST: what it tells, how it is read and cleared; with SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from luna_kube import Json
from support.apiservers import ApiServer
from support.builders import ACCOUNT, OTHER_ACCOUNT, v1_body, v2_body
from support.postgresql import LogDatabase
from support.shims import Deployment, Shim, a_deployment
from support.worker import DocumentedWorker

FIELDS = ["stream_id", "status", "error", "video_info", "log_time", "version", "preview"]


@pytest.fixture
async def deployment(any_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(any_api) as deployment:
        yield deployment


@pytest.fixture
async def shim(deployment: Deployment, log_database: LogDatabase) -> AsyncIterator[Shim]:
    async with deployment.shim(database_url=log_database.url) as shim:
        yield shim


async def logs(shim: Shim, api: int = 2, **query: Any) -> list[Json]:
    answer = await shim.http.get(f"/{api}/streams/logs", params={"page_size": 1000} | query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["logs"])


async def statuses(shim: Shim, stream_id: str) -> list[str]:
    """Return what the log tells of a stream, the oldest first."""
    return [entry["status"] for entry in reversed(await logs(shim, stream_ids=stream_id))]


# --- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", [1, 2])
async def test_an_entry_has_the_documented_fields(shim: Shim, api: int) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    stream_id = await shim.create((v1_body if api == 1 else v2_body)(), api)
    worker = DocumentedWorker(shim.http)
    await worker.take()
    await worker.finish(stream_id)

    done, taken, created = await logs(shim, api, stream_ids=stream_id)

    assert [list(entry) for entry in (done, taken, created)] == [FIELDS] * 3
    assert [entry["status"] for entry in (done, taken, created)] == ["done", "in_progress", "pending"]
    assert {entry["stream_id"] for entry in (done, taken, created)} == {stream_id}
    assert {entry["version"] for entry in (done, taken, created)} == {1}
    assert (created["error"], created["video_info"], created["preview"]) == (None, None, None)
    assert done["video_info"] == (await shim.read(stream_id, api))["video_info"]
    times = [datetime.fromisoformat(entry["log_time"]) for entry in (created, taken, done)]
    assert times == sorted(times)
    assert before < times[0] <= times[-1] <= datetime.now(UTC) + timedelta(seconds=2)


async def test_whoever_writes_reads_it_in_the_log_at_once(shim: Shim) -> None:
    stream_id = await shim.create(v2_body())
    assert await statuses(shim, stream_id) == ["pending"]
    for status in ("pause", "pending", "cancel", "pending"):
        assert (await shim.http.patch(f"/2/streams/{stream_id}", json={"status": status})).status_code == 204
        assert (await logs(shim, page_size=1))[0]["status"] == status
    assert (await shim.http.put(f"/2/streams/{stream_id}", json=v2_body())).status_code == 200
    assert [(entry["status"], entry["version"]) for entry in (await logs(shim))[:2]] == [("pending", 2), ("pending", 1)]
    assert (await shim.http.delete(f"/2/streams/{stream_id}")).status_code == 204
    told = ["pending", "pause", "pending", "cancel", "pending", "pending", "deleted"]
    assert await statuses(shim, stream_id) == told
    assert (await logs(shim))[0]["version"] == 2
