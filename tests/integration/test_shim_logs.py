"""The log over REST: what it tells, how it is read and cleared; with SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from luna_kube import STREAMS, Json
from support.apiservers import ApiServer
from support.builders import ACCOUNT, OTHER_ACCOUNT, stream_object, v1_body, v2_body
from support.documented_schemas import check
from support.postgresql import LogDatabase
from support.shims import Deployment, Shim, a_deployment
from support.waiting import PATIENCE_S, eventually
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


@pytest.fixture
async def plain_shim(embedded_api: ApiServer) -> AsyncIterator[Shim]:
    async with a_deployment(embedded_api) as deployment, deployment.shim() as shim:
        yield shim


async def until(condition: Callable[[], object]) -> None:
    await eventually(condition)


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


async def test_the_log_of_a_whole_life_is_one_that_is_documented(shim: Shim) -> None:
    stream_id = await shim.create(v2_body())
    worker = DocumentedWorker(shim.http)
    await worker.take()
    worker.work[stream_id].preview = {"live": {"url": "http://10.0.0.7/live"}}
    await worker.report()
    await worker.finish(stream_id, "failure", error="gone")
    entries = await logs(shim, stream_ids=stream_id)
    assert entries[0]["preview"] == {"live": {"url": "http://10.0.0.7/live"}}
    check({"logs": entries}, "streams_logs")


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


async def test_a_failure_tells_its_error_without_the_password_that_the_worker_quotes(shim: Shim) -> None:
    stream_id = await shim.create(v2_body())
    worker = DocumentedWorker(shim.http)
    await worker.take()
    await worker.finish(stream_id, "failure", error="cannot open rtsp://admin:hunter2@camera/live: 401")
    (entry,) = await logs(shim, stream_ids=stream_id, statuses="failure")
    assert entry["error"] == "cannot open rtsp://camera/live: 401"
    assert "hunter2" not in (await shim.http.get("/2/streams/logs")).text


async def test_deleting_many_streams_tells_so_of_each(shim: Shim) -> None:
    ids = [await shim.create(v2_body()) for _ in range(20)]
    answer = await shim.http.request("DELETE", "/2/streams", json={"stream_ids": ids})
    assert answer.status_code == 204
    assert sorted(entry["stream_id"] for entry in await logs(shim, statuses="deleted")) == sorted(ids)
    assert len(await logs(shim)) == 40


async def test_a_stream_made_again_under_its_name_goes_on_in_the_same_log(shim: Shim, deployment: Deployment) -> None:
    name = "0193e0d5-5f6a-7c3e-8a5b-2f6d0c1b4a39"
    for _ in range(2):
        body = stream_object(name, namespace=deployment.namespace)
        await deployment.kube.create(STREAMS.within(deployment.namespace), body)
        await until(lambda: shim.service.store.catalogue.get(name) is not None)
        before = Counter(await statuses(shim, name))
        assert (await shim.http.delete(f"/2/streams/{name}")).status_code == 204
        assert Counter(await statuses(shim, name)) == before + Counter(["deleted"])
    assert Counter(await statuses(shim, name)) == {"pending": 2, "deleted": 2}


async def test_a_stream_that_is_not_understood_any_more_is_not_told_to_be_deleted(
    shim: Shim, deployment: Deployment
) -> None:
    stream_id = await shim.create(v2_body())
    assert await statuses(shim, stream_id) == ["pending"]
    entry = shim.service.store.catalogue.get(stream_id)
    assert entry is not None
    # What a newer release may write: this one cannot parse it.
    raw = dict(shim.service.store._streams.get(*entry.key) or {})
    metadata = raw["metadata"] | {"resourceVersion": str(int(raw["metadata"]["resourceVersion"]) + 1)}
    shim.service.store._streams.observe(raw | {"metadata": metadata, "spec": raw["spec"] | {"fromTheFuture": True}})
    assert shim.service.store.catalogue.get(stream_id) is None
    assert await statuses(shim, stream_id) == ["pending"]


# --- how it is read ---------------------------------------------------------------------------------------------------


async def test_filters_work_together_and_arrays_have_both_forms(shim: Shim) -> None:
    mine, other = await shim.create(v2_body()), await shim.create(v2_body(account_id=OTHER_ACCOUNT))
    await shim.http.patch(f"/2/streams/{mine}", json={"status": "pause"})

    assert {entry["stream_id"] for entry in await logs(shim, account_id=ACCOUNT)} == {mine}
    assert len(await logs(shim, stream_ids=f"{mine},{other}")) == 3
    assert len(await logs(shim, stream_ids=[mine, other])) == 3
    assert len(await logs(shim, statuses="pause,cancel")) == 1
    assert len(await logs(shim, statuses=["pending", "pause"], account_id=OTHER_ACCOUNT)) == 1
    assert await logs(shim, statuses="misspelt") == []
    assert [list(entry) for entry in await logs(shim, targets="status")] == [["status"]] * 3
    assert [set(entry) for entry in await logs(shim, targets=["version", "error"])] == [{"version", "error"}] * 3
    assert [set(entry) for entry in await logs(shim, targets="version,error")] == [{"version", "error"}] * 3
    paused = (await logs(shim, statuses="pause"))[0]["log_time"]
    assert len(await logs(shim, log_time__lt=paused)) == 2
    assert [entry["status"] for entry in await logs(shim, log_time__gte=paused)] == ["pause"]


async def test_pages_hold_ten_entries_unless_another_number_is_asked_for(shim: Shim) -> None:
    stream_id = await shim.create(v2_body())
    for number in range(12):
        status = ("pause", "pending")[number % 2]
        await shim.http.patch(f"/2/streams/{stream_id}", json={"status": status})
    whole = await logs(shim)
    assert len(whole) == 13
    first, second = [(await shim.http.get("/1/streams/logs", params={"page": n})).json()["logs"] for n in (1, 2)]
    assert (first, second) == (whole[:10], whole[10:])
    assert await logs(shim, page=3, page_size=5) == whole[10:]
    assert await logs(shim, page=10**17) == []


@pytest.mark.parametrize("api", [1, 2])
@pytest.mark.parametrize(
    ("method", "query", "name"),
    [
        ("GET", "log_time__lt=yesterday", "log_time__lt"),
        ("GET", "log_time__gte=2026-13-01T00:00:00Z", "log_time__gte"),
        ("GET", "stream_ids=1,2", "stream_ids"),
        ("GET", "account_id=me", "account_id"),
        ("GET", "targets=name", "targets"),
        ("GET", "targets=status,", "targets"),
        ("GET", "page=0", "page"),
        ("GET", "page_size=1001", "page_size"),
        ("GET", "statuses=%00", "statuses"),
        ("DELETE", "log_time__lt=1", "log_time__lt"),
        ("DELETE", "log_time__lt=", "log_time__lt"),
    ],
)
async def test_what_cannot_be_asked_is_refused_as_documented(
    plain_shim: Shim, api: int, method: str, query: str, name: str
) -> None:
    answer = await plain_shim.http.request(method, f"/{api}/streams/logs?{query}")
    assert answer.status_code == 400
    assert answer.json() == {
        "error_code": 12012,
        "desc": "Bad/incomplete input data",
        "detail": f"Bad query parameters '{name}'",
        "link": "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-12012",
    }


async def test_other_methods_are_refused(plain_shim: Shim) -> None:
    answer = await plain_shim.http.post("/2/streams/logs", json={})
    assert (answer.status_code, answer.json()["error_code"]) == (405, 12021)


# --- how it is cleared ------------------------------------------------------------------------------------------------


async def test_clearing_keeps_the_last_entry_of_each_stream(shim: Shim) -> None:
    kept, gone = await shim.create(v2_body()), await shim.create(v2_body())
    await shim.http.patch(f"/2/streams/{kept}", json={"status": "pause"})
    await shim.http.delete(f"/2/streams/{gone}")
    middle = (await logs(shim, stream_ids=kept))[0]["log_time"]

    async def clear(**query: str) -> int:
        answer = await shim.http.delete("/1/streams/logs", params=query)
        assert answer.status_code == 200
        assert list(answer.json()) == ["deleted_count"]
        return int(answer.json()["deleted_count"])

    assert await clear(log_time__lt="2020-01-01T00:00:00Z") == 0
    assert await clear(log_time__lt=middle) == 2
    assert {(entry["stream_id"], entry["status"]) for entry in await logs(shim)} == {(kept, "pause"), (gone, "deleted")}
    assert await clear() == 0
    await shim.http.patch(f"/2/streams/{kept}", json={"status": "pending"})
    assert await clear() == 1
    assert await statuses(shim, kept) == ["pending"]


async def test_old_entries_are_cleared_by_themselves_where_that_is_wanted(
    deployment: Deployment, log_database: LogDatabase
) -> None:
    wanted: dict[str, Any] = {
        "logs_clear_interval": 1,
        "logs_clear_interval_type": "seconds",
        "logs_clear_check_interval": 0.2,
    }
    async with deployment.shim(database_url=log_database.url, logs_clear_active=True, **wanted) as shim:
        stream_id = await shim.create(v2_body())
        await shim.http.patch(f"/2/streams/{stream_id}", json={"status": "pause"})
        async with asyncio.timeout(PATIENCE_S):
            while await statuses(shim, stream_id) != ["pause"]:
                await asyncio.sleep(0.1)
        await asyncio.sleep(1.5)
        assert await statuses(shim, stream_id) == ["pause"]


async def test_a_stream_is_deleted_also_by_a_version_that_is_not_its_last(plain_shim: Shim) -> None:
    stream_id = await plain_shim.create(v2_body())
    entry = plain_shim.service.store.catalogue.get(stream_id)
    assert entry is not None
    await plain_shim.http.patch(f"/2/streams/{stream_id}", json={"status": "pause"})
    assert await plain_shim.service.store.delete_stream(entry)
    assert await statuses(plain_shim, stream_id) == ["pending", "pause", "deleted"]
    assert not await plain_shim.service.store.delete_stream(entry)
