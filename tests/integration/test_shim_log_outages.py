"""The log while something is away: the database, the shim, its leader, the API server."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from luna_api_shim.replicas.election import Election
from luna_kube import STREAMS, Json
from support.apiservers import ApiServer, free_port
from support.builders import v2_body
from support.postgresql import LogDatabase, PostgreSql
from support.shim_processes import a_process, until_healthy
from support.shims import DATABASE_ERROR, Deployment, Shim, a_deployment
from support.worker import DocumentedWorker


@pytest.fixture
async def deployment(embedded_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(embedded_api) as deployment:
        yield deployment


@pytest.fixture
def database(postgresql: PostgreSql) -> LogDatabase:
    if not postgresql.is_running:
        postgresql.start()
    return LogDatabase(postgresql.create_database(), postgresql)


async def told(http: httpx.AsyncClient, **query: Any) -> list[Json]:
    """Return every entry of the log, the oldest first."""
    found: list[Json] = []
    for page in range(1, 1000):
        answer = await http.get("/2/streams/logs", params={"page": page, "page_size": 1000} | query)
        assert answer.status_code == 200, answer.text
        found += (entries := answer.json()["logs"])
        if len(entries) < 1000:
            break
    return found[::-1]


async def statuses(http: httpx.AsyncClient, stream_id: str) -> list[str]:
    return [entry["status"] for entry in await told(http, stream_ids=stream_id)]


async def in_time(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.05)


# --- the database -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_everything_else_goes_on_without_the_database_and_the_log_catches_up(
    deployment: Deployment, database: LogDatabase, postgresql: PostgreSql, number: signal.Signals
) -> None:
    async with deployment.shim(database_url=database.url, database_timeout=3) as shim:
        before = await shim.create(v2_body())
        assert await statuses(shim.http, before) == ["pending"]
        postgresql.stop(number)

        health = await shim.http.get("/healthcheck")
        assert health.status_code == 502
        assert health.json() == {
            "errors": [{"component": name, "error": DATABASE_ERROR, "status": 0} for name in ("db", "db_migration")]
        }
        assert (await shim.http.get("/readyz")).status_code == 200
        for method in ("GET", "DELETE"):
            answer = await shim.http.request(method, "/2/streams/logs")
            assert (answer.status_code, answer.json()) == (500, DATABASE_ERROR)
        meanwhile = await shim.create(v2_body())
        worker = DocumentedWorker(shim.http)
        assert sorted(await worker.take()) == sorted([before, meanwhile])
        assert (await worker.finish(before))["modified"] == []
        assert (await shim.http.delete(f"/2/streams/{meanwhile}")).status_code == 204

        postgresql.start()

        assert await statuses(shim.http, before) == ["pending", "in_progress", "done"]
        assert await statuses(shim.http, meanwhile) == ["pending", "in_progress", "deleted"]
        assert (await shim.http.get("/healthcheck")).status_code == 200


async def test_the_log_is_copied_by_itself_when_the_database_is_back(
    deployment: Deployment, database: LogDatabase, postgresql: PostgreSql, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "luna_api_shim")
    async with deployment.shim(database_url=database.url) as shim:
        postgresql.stop()
        for _ in range(5):
            await shim.create(v2_body())
        await in_time(lambda: _said(caplog, "the log cannot be copied, trying on"))
        postgresql.start()
        await in_time(lambda: _said(caplog, "the log is copied again"))
        assert shim.service.logbook.waiting == 0
    assert caplog.text.count("the log cannot be copied") == 1
    assert "pa55" not in caplog.text


async def _said(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text


async def test_a_shim_that_starts_before_its_database_waits_for_it(
    deployment: Deployment, database: LogDatabase, postgresql: PostgreSql
) -> None:
    postgresql.stop()
    async with deployment.shim(database_url=database.url) as shim:
        stream_id = await shim.create(v2_body())
        assert (await shim.http.get("/healthcheck")).status_code == 502
        postgresql.start()
        await in_time(lambda: _is_well(shim))
        assert await statuses(shim.http, stream_id) == ["pending"]


async def _is_well(shim: Shim) -> bool:
    return (await shim.http.get("/healthcheck")).status_code == 200


async def test_a_database_that_says_nothing_holds_nobody_up(
    deployment: Deployment, database: LogDatabase, postgresql: PostgreSql
) -> None:
    async with deployment.shim(database_url=database.url, database_timeout=1) as shim:
        stream_id = await shim.create(v2_body())
        assert await statuses(shim.http, stream_id) == ["pending"]
        with postgresql.frozen():
            began = time.monotonic()
            answers = await asyncio.gather(*(shim.http.get("/2/streams/logs") for _ in range(40)))
            assert {answer.status_code for answer in answers} == {500}
            await shim.create(v2_body())
            assert time.monotonic() - began < 35
        await in_time(lambda: _is_well(shim))
        assert len(await told(shim.http)) == 2


# --- the shim ---------------------------------------------------------------------------------------------------------


async def test_what_happens_while_the_shim_is_down_stands_in_the_log(
    deployment: Deployment, log_database: LogDatabase, tmp_path: Path
) -> None:
    async with deployment.shim(database_url=log_database.url) as shim:
        moved, deleted, same = [await shim.create(v2_body()) for _ in range(3)]
        assert len(await told(shim.http)) == 3

    # Somebody else moves them: another shim, with a log of its own.
    async with deployment.shim(database_url=f"sqlite:///{tmp_path}/other.db") as other:
        await other.http.patch(f"/2/streams/{moved}", json={"status": "pause"})
        await other.http.patch(f"/2/streams/{deleted}", json={"status": "pause"})
        new = await other.create(v2_body())
        worker = DocumentedWorker(other.http)
        assert sorted(await worker.take()) == sorted([same, new])
    await deployment.kube.delete(STREAMS.at(deployment.namespace, deleted))

    async with deployment.shim(database_url=log_database.url) as shim:
        assert await statuses(shim.http, moved) == ["pending", "pause"]
        assert await statuses(shim.http, deleted) == ["pending", "deleted"]
        assert await statuses(shim.http, same) == ["pending", "in_progress"]
        assert await statuses(shim.http, new) == ["pending", "in_progress"]


async def test_a_deletion_right_before_the_end_is_not_forgotten(
    deployment: Deployment, log_database: LogDatabase
) -> None:
    async with deployment.shim(database_url=log_database.url) as shim:
        stream_id = await shim.create(v2_body())
        await shim.http.patch(f"/2/streams/{stream_id}", json={"status": "pause"})
        await shim.http.delete(f"/2/streams/{stream_id}")
    async with deployment.shim(database_url=log_database.url) as shim:
        assert await statuses(shim.http, stream_id) == ["pending", "pause", "deleted"]


# --- replicas ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def replicas(deployment: Deployment, **settings: Any) -> AsyncIterator[tuple[Shim, Shim]]:
    async with AsyncExitStack() as stack:
        leader = await stack.enter_async_context(deployment.shim(**settings))
        follower = await stack.enter_async_context(deployment.shim(**settings))
        assert leader.service.election.is_leader
        yield leader, follower


async def test_whoever_writes_on_one_replica_reads_it_in_the_log_on_any(
    deployment: Deployment, log_database: LogDatabase
) -> None:
    async with replicas(deployment, database_url=log_database.url) as (leader, follower):
        for writer in (leader, follower):
            for reader in (leader, follower):
                stream_id = await writer.create(v2_body())
                assert await statuses(reader.http, stream_id) == ["pending"]
                for status in ("pause", "pending", "pause"):
                    await writer.http.patch(f"/2/streams/{stream_id}", json={"status": status})
                    assert (await told(reader.http, stream_ids=stream_id))[-1]["status"] == status
                await writer.http.delete(f"/2/streams/{stream_id}")
                assert (await statuses(reader.http, stream_id))[-1] == "deleted"
        for _ in range(2):
            stream_id = await follower.create(v2_body())
            assert (await told(follower.http))[-1]["stream_id"] == stream_id
        cleared = await follower.http.delete("/2/streams/logs")
        assert cleared.json() == {"deleted_count": 4 * 4}
        refused = await follower.http.get("/2/streams/logs", params={"page": 0})
        assert refused.json()["detail"] == "Bad query parameters 'page'"


async def test_a_leader_killed_while_it_copies_leaves_no_gap_and_no_double(
    any_api: ApiServer, database: LogDatabase, tmp_path: Path
) -> None:
    async with a_deployment(any_api) as deployment:
        port = free_port()
        with a_process(deployment, port, tmp_path / "log", "doomed", database_url=database.url) as leader:
            await until_healthy(f"http://127.0.0.1:{port}")
            async with deployment.shim(database_url=database.url, parallel_writes=8, lease_duration=6) as follower:
                assert follower.service.election.leader_origin is not None
                expected = await _lives(follower, 40, lambda: leader.send_signal(signal.SIGKILL))
                leader.wait(60)
                entries = await told(follower.http)
                assert follower.service.election.is_leader
    assert "pa55" not in (tmp_path / "log").read_text()
    found: dict[str, list[str]] = {}
    for entry in entries:
        found.setdefault(entry["stream_id"], []).append(entry["status"])
    assert found == expected


async def _lives(shim: Shim, number: int, in_the_middle: Callable[[], None]) -> dict[str, list[str]]:
    """Let streams be made, moved and partly deleted; return what must be told of each."""
    done: Counter[str] = Counter()

    async def live(index: int) -> tuple[str, list[str]]:
        stream_id = await shim.create(v2_body())
        story = ["pending"]
        for step in range(4):
            status = ("pause", "pending")[step % 2]
            assert (await shim.http.patch(f"/2/streams/{stream_id}", json={"status": status})).status_code == 204
            story.append(status)
            done["steps"] += 1
            if done["steps"] == 2 * number:
                in_the_middle()
        if index % 2:
            assert (await shim.http.delete(f"/2/streams/{stream_id}")).status_code == 204
            story.append("deleted")
        return stream_id, story

    return dict(await asyncio.gather(*(live(index) for index in range(number))))


# --- nobody leads -----------------------------------------------------------------------------------------------------


async def test_the_log_is_read_also_while_nobody_can_lead(
    deployment: Deployment, log_database: LogDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployment.shim(database_url=log_database.url, leader_patience=0.3) as shim:
        stream_id = await shim.create(v2_body())
        assert await statuses(shim.http, stream_id) == ["pending"]
        monkeypatch.setattr(Election, "is_leader", False)
        assert await statuses(shim.http, stream_id) == ["pending"]
