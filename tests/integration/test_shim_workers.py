"""Queue and feedback, seen by workers: a documented one from outside, and processors in pods of the cluster."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from luna_api_shim.workers.identity import Workers
from luna_kube import (
    PODS,
    SECRETS,
    STREAM_GROUPS,
    STREAM_PROCESSORS,
    STREAMS,
    Json,
    KubeClient,
    Unavailable,
    load_credentials,
)
from luna_processor.server.streams_api import FEEDBACK_TIMEOUT_S, StreamsApi
from luna_streams import naming
from luna_streams.rest.messages import FeedbackItem, QueueFilters
from support.apiservers import ApiServer
from support.builders import ACCOUNT, OTHER_ACCOUNT, a_group, stream_object, v1_body, v2_body
from support.relay import Relay
from support.replica_sets import a_kubeconfig
from support.shims import Deployment, Shim, a_deployment
from support.waiting import PATIENCE_S, eventually
from support.worker import VIDEO_INFO, DocumentedWorker

PREVIEW = {"live": {"url": "http://10.0.0.7:34569/live"}, "last_frame": {"url": "http://10.0.0.7:34569/frame"}}


@pytest.fixture
async def deployment(any_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(any_api) as deployment:
        yield deployment


@pytest.fixture
async def shim(deployment: Deployment) -> AsyncIterator[Shim]:
    async with deployment.shim() as shim:
        yield shim


async def make_pool(deployment: Deployment, **selector: Any) -> None:
    body = {
        "apiVersion": naming.API_VERSION,
        "kind": "StreamProcessor",
        "metadata": {"namespace": deployment.namespace, "name": "pool"},
        "spec": {"selector": selector},
    }
    await deployment.kube.create(STREAM_PROCESSORS.within(deployment.namespace), body)


def processor(shim: Shim, token: str, **headers: str) -> DocumentedWorker:
    identity = {"Authorization": f"Bearer {token}", "Luna-Worker-Id": str(uuid.uuid4())}
    return DocumentedWorker(shim.http, headers=identity | headers)


# --- a worker from outside --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", [1, 2])
async def test_a_stream_goes_through_its_life(shim: Shim, api: int) -> None:
    stream_id = await shim.create((v1_body if api == 1 else v2_body)(), api)
    worker = DocumentedWorker(shim.http, api)

    assert await worker.take() == [stream_id]
    assert await worker.take() == []
    assert (await shim.read(stream_id, api))["status"] == "in_progress"

    work = worker.work[stream_id]
    work.video_info, work.preview = VIDEO_INFO, PREVIEW
    told = await worker.report()
    assert told == {"modified": [], "unmodified": [{"stream_id": stream_id, "status": "in_progress", "version": 1}]}
    stream = await shim.read(stream_id, api)
    assert stream["video_info"]["width"] == 1920
    assert stream["preview"] == PREVIEW

    told = await worker.finish(stream_id)
    assert told["unmodified"] == [{"stream_id": stream_id, "status": "done", "version": 1}]
    assert (await shim.read(stream_id, api))["status"] == "done"
    assert await worker.take() == []


async def test_a_failure_shows_its_error(shim: Shim) -> None:
    stream_id = await shim.create(v2_body())
    worker = DocumentedWorker(shim.http)
    await worker.take()
    await worker.finish(stream_id, "failure", "Cannot open the source")
    stream = await shim.read(stream_id)
    assert (stream["status"], stream["last_error"]) == ("failure", "Cannot open the source")


async def test_the_same_end_reported_twice_is_fine(shim: Shim) -> None:
    stream_id = await shim.create(v2_body())
    worker = DocumentedWorker(shim.http)
    await worker.take()
    work = worker.work[stream_id]
    await worker.finish(stream_id)
    worker.work[stream_id] = work
    assert (await worker.report())["unmodified"] == [{"stream_id": stream_id, "status": "done", "version": 1}]


async def test_a_worker_on_a_drained_pod_is_told_to_stop_and_then_the_stream_is_in_the_queue(
    shim: Shim, deployment: Deployment
) -> None:
    stream_id = await shim.create(v2_body())
    worker = DocumentedWorker(shim.http)
    await worker.take()
    leave_by = {"leaveBy": "2099-01-01T00:00:00Z"}  # as the operator asks
    ref = STREAMS.at(deployment.namespace, stream_id)
    await deployment.kube.patch(ref.status, {"status": {"processor": leave_by}})
    async with asyncio.timeout(PATIENCE_S):
        while (told := await worker.report())["modified"] == []:
            await asyncio.sleep(0.02)
    assert told["modified"] == [{"stream_id": stream_id, "status": "pending", "version": 1}]
    assert await DocumentedWorker(shim.http).take() == [stream_id]


async def test_the_worker_is_told_what_the_user_changed_and_obeys(shim: Shim) -> None:
    ids = {name: await shim.create(v2_body(name=name)) for name in ("paused", "put", "deleted", "kept")}
    worker = DocumentedWorker(shim.http)
    await worker.take()

    await shim.http.patch(f"/2/streams/{ids['paused']}", json={"status": "pause"})
    await shim.http.put(f"/2/streams/{ids['put']}", json=v2_body(name="put"))
    await shim.http.delete(f"/2/streams/{ids['deleted']}")
    told = await worker.report()

    assert sorted(told["modified"], key=str) == sorted(
        [
            {"stream_id": ids["paused"], "status": "pause", "version": 1},
            {"stream_id": ids["put"], "status": "pending", "version": 2},
            {"stream_id": ids["deleted"], "status": "not_found", "version": 0},
        ],
        key=str,
    )
    assert list(worker.work) == [ids["kept"]]
    assert await worker.take() == [ids["put"]]
    assert worker.work[ids["put"]].stream["version"] == 2


async def test_late_feedback_after_a_pause_changes_nothing(shim: Shim, deployment: Deployment) -> None:
    stream_id = await shim.create(v2_body())
    worker = DocumentedWorker(shim.http)
    await worker.take()
    await shim.http.patch(f"/2/streams/{stream_id}", json={"status": "pause"})
    before = await deployment.stream(stream_id)

    await worker.finish(stream_id, "failure", "too late")

    assert await deployment.stream(stream_id) == before


async def test_feedback_without_news_writes_nothing(shim: Shim, deployment: Deployment) -> None:
    stream_id = await shim.create(v2_body())
    worker = DocumentedWorker(shim.http)
    await worker.take()
    worker.work[stream_id].video_info = VIDEO_INFO | {"duration": 100.0, "progress": 0.5}
    await worker.report()
    before = await deployment.stream(stream_id)

    for progress in (0.5, 0.504, 0.509):
        worker.work[stream_id].video_info = VIDEO_INFO | {"duration": 100.0, "progress": progress}
        await worker.report()
    assert (await deployment.stream(stream_id)).resource_version == before.resource_version

    worker.work[stream_id].video_info = VIDEO_INFO | {"duration": 100.0, "progress": 0.52}
    await worker.report()
    assert (await shim.read(stream_id))["video_info"]["progress"] == 0.52


@pytest.mark.parametrize(
    ("preview", "path", "message"),
    [
        ({"live": {"url": "http://:34569/live"}}, "live", "URL host invalid"),
        ({"last_frame": {"url": "http://10.0.0.999/frame"}}, "last_frame", "URL host invalid"),
        ({"live": {"url": "/live"}}, "live", "invalid or missing URL scheme"),
        ({"live": {"url": "file:///etc/passwd"}}, "live", "URL scheme not permitted"),
    ],
)
async def test_a_wrong_preview_url_is_refused_with_the_whole_report(
    shim: Shim, preview: Json, path: str, message: str
) -> None:
    stream_id = await shim.create(v2_body())
    worker = DocumentedWorker(shim.http)
    await worker.take()
    report = worker.work[stream_id].report() | {"status": "done"}

    answer = await shim.http.post(
        "/2/streams/processing/feedback", json={"streams": [report, report | {"preview": preview}]}
    )

    assert answer.status_code == 400
    assert answer.json()["detail"] == (
        f"Failed to validate input json. Path: 'streams.1.preview.{path}.url', message: '{message}'"
    )
    assert (await shim.read(stream_id))["status"] == "in_progress"


# --- the queue --------------------------------------------------------------------------------------------------------


async def test_the_longest_waiting_stream_comes_first(shim: Shim) -> None:
    first, second, third = [await shim.create(v2_body()) for _ in range(3)]
    for status in ("pause", "pending"):
        await shim.http.patch(f"/2/streams/{first}", json={"status": status})

    looked = await shim.http.get("/2/streams/processing/queue", params={"limit": 2})
    assert [stream["stream_id"] for stream in looked.json()["streams"]] == [second, third]
    assert [stream["status"] for stream in looked.json()["streams"]] == ["pending", "pending"]
    worker = DocumentedWorker(shim.http)
    assert await worker.take(2) == [second, third]
    assert await worker.take(2) == [first]


async def test_filters_are_or_within_a_list_and_and_between_lists(shim: Shim, deployment: Deployment) -> None:
    for account in (ACCOUNT, OTHER_ACCOUNT):
        group = a_group("doors", account_id=account)
        body = stream_object(group.name, namespace=deployment.namespace) | {
            "kind": "StreamGroup",
            "spec": group.spec.to_resource(),
        }
        await deployment.kube.create(STREAM_GROUPS.within(deployment.namespace), body)
    ids = {
        "a": await shim.create(v2_body(name="a", group_name="doors")),
        "b": await shim.create(v2_body(name="b", group_name="doors")),
        "c": await shim.create(v2_body(name="c")),
        "d": await shim.create(v2_body(name="d", group_name="doors", account_id=OTHER_ACCOUNT)),
    }
    own_group = a_group("doors").group_id

    async def queued(**filters: Any) -> list[str]:
        answer = await shim.http.get("/1/streams/processing/queue", params={"limit": 10, **filters})
        return sorted(stream["name"] for stream in answer.json()["streams"])

    assert await queued() == ["a", "b", "c", "d"]
    assert await queued(names="a,c") == ["a", "c"]
    assert await queued(group_names="doors") == ["a", "b", "d"]
    assert await queued(group_ids=own_group) == ["a", "b"]
    assert await queued(group_names="doors", names="a,c") == ["a"]
    assert await queued(stream_ids=ids["b"], names="a") == []
    assert await queued(group_ids=ACCOUNT) == []
    worker = DocumentedWorker(shim.http)
    assert await worker.take(10, group_ids=[own_group], names=["b", "c"]) == [ids["b"]]


async def test_many_workers_take_each_stream_once(shim: Shim) -> None:
    expected = set(await asyncio.gather(*(shim.create(v2_body(name=str(n))) for n in range(60))))

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(httpx.AsyncClient(base_url=shim.url, timeout=30)) for _ in range(12)]
        workers = [DocumentedWorker(client) for client in clients]
        taken: list[str] = []
        for _ in range(10):
            for ids in await asyncio.gather(*(worker.take(7) for worker in workers)):
                taken += ids
            if len(taken) >= len(expected):
                break

    assert sorted(taken) == sorted(expected)


async def test_a_stream_that_cannot_be_handed_out_does_not_block_those_behind_it(
    shim: Shim, deployment: Deployment
) -> None:
    body = v2_body()
    body["data"]["reference"] = "rtsp://admin:secret@10.0.0.5/live"
    broken = await shim.create(body)
    [secret] = await deployment.secrets_of(broken)
    await deployment.kube.delete(SECRETS.at(deployment.namespace, secret["metadata"]["name"]))
    await eventually_async(lambda: reads_without_secret(shim, broken))
    behind = await shim.create(v2_body())
    assert await DocumentedWorker(shim.http).take(limit=1) == [behind]


async def test_a_stream_whose_secret_is_missing_waits_and_says_why(shim: Shim, deployment: Deployment) -> None:
    body = v2_body()
    body["data"]["reference"] = "rtsp://admin:secret@10.0.0.5/live"
    stream_id = await shim.create(body)
    [kept] = await deployment.secrets_of(stream_id)
    await deployment.kube.delete(SECRETS.at(deployment.namespace, kept["metadata"]["name"]))
    worker = DocumentedWorker(shim.http)
    await eventually_async(lambda: reads_without_secret(shim, stream_id))

    assert await worker.take() == []
    stream = await shim.read(stream_id)
    assert (stream["status"], "Secret" in stream["last_error"]) == ("pending", True)

    again = {"metadata": {key: kept["metadata"][key] for key in ("name", "namespace", "labels")}, "data": kept["data"]}
    await deployment.kube.create(SECRETS.within(deployment.namespace), {"apiVersion": "v1", "kind": "Secret", **again})
    async with asyncio.timeout(PATIENCE_S):
        while await worker.take() != [stream_id]:
            await asyncio.sleep(0.05)
    assert worker.work[stream_id].stream["data"]["reference"] == body["data"]["reference"]
    assert (await shim.read(stream_id))["last_error"] is None


async def reads_without_secret(shim: Shim, stream_id: str) -> bool:
    return bool((await shim.read(stream_id))["data"]["reference"] == "rtsp://10.0.0.5/live")


async def eventually_async(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.02)


# --- long poll --------------------------------------------------------------------------------------------------------


async def test_a_waiting_worker_gets_a_new_stream_at_once(shim: Shim) -> None:
    worker = DocumentedWorker(shim.http, headers={"Prefer": "wait=20"})
    waiting = asyncio.create_task(worker.take())
    await asyncio.sleep(0.3)
    assert not waiting.done()

    stream_id = await shim.create(v2_body())

    began = time.monotonic()
    assert await waiting == [stream_id]
    assert time.monotonic() - began < 15


async def test_a_waiting_worker_gets_an_empty_answer_in_time(shim: Shim) -> None:
    worker = DocumentedWorker(shim.http, headers={"Prefer": "respond-async, wait=0.4"})
    began = time.monotonic()
    assert await worker.take() == []
    assert 0.3 < time.monotonic() - began < 15


async def test_a_worker_that_went_away_gets_nothing(shim: Shim, deployment: Deployment) -> None:
    async with httpx.AsyncClient(base_url=shim.url, timeout=30) as client:
        waiting = asyncio.create_task(DocumentedWorker(client, headers={"Prefer": "wait=30"}).take())
        await asyncio.sleep(0.3)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0.2)

    stream_id = await shim.create(v2_body())
    await asyncio.sleep(0.5)  # time enough for a request that still waited to take it

    assert await DocumentedWorker(shim.http).take() == [stream_id]
    status = (await deployment.stream(stream_id)).status
    assert status is not None
    assert [entry.status for entry in status.history] == ["pending", "in_progress"]


async def test_waiting_workers_do_not_keep_the_shim_from_ending(deployment: Deployment) -> None:
    async with deployment.shim() as shim:
        worker = DocumentedWorker(shim.http, headers={"Prefer": "wait=30"})
        waiting = asyncio.create_task(worker.take())
        await asyncio.sleep(0.3)
        began = time.monotonic()
        shim.service.stop()
        assert await waiting == []
    assert time.monotonic() - began < 15


# --- handlers that are lost -------------------------------------------------------------------------------------------


async def test_a_silent_handler_is_lost_and_the_stream_queued_again(deployment: Deployment) -> None:
    async with deployment.shim(obsoleting_period=4, lease_duration=2) as shim:
        silent_id, heard_id = await shim.create(v2_body(name="silent")), await shim.create(v2_body(name="heard"))
        silent, heard = DocumentedWorker(shim.http), DocumentedWorker(shim.http)
        await silent.take(1)
        await heard.take(1)

        async with asyncio.timeout(PATIENCE_S):
            while (stream := await shim.read(silent_id))["status"] != "pending":
                await asyncio.sleep(0.2)
                await heard.report()

        assert "did not report" in stream["last_error"]
        history = [entry.status for entry in (await deployment.stream(silent_id)).status.history]  # type: ignore[union-attr]
        assert history == ["pending", "in_progress", "handler_lost", "restart", "pending"]
        assert (await shim.read(heard_id))["status"] == "in_progress"
        assert (await silent.report())["modified"] == [{"stream_id": silent_id, "status": "pending", "version": 1}]


# --- processors of the cluster ----------------------------------------------------------------------------------------


async def test_a_processor_gets_what_is_assigned_to_its_pod_and_others_do_not(
    shim: Shim, deployment: Deployment
) -> None:
    await make_pool(deployment, names=["pooled"])
    pod, token = await deployment.pod_with_token()
    other_pod, other_token = await deployment.pod_with_token()
    pooled, outside = await shim.create(v2_body(name="pooled")), await shim.create(v2_body(name="outside"))
    await eventually(lambda: len(list(shim.service.store.pools)) == 1, "the shim knows the pool")
    mine, other = processor(shim, token), processor(shim, other_token)

    assert await DocumentedWorker(shim.http).take() == [outside]
    assert await mine.take() == []
    waiting = asyncio.create_task(processor(shim, token, **(mine.headers | {"Prefer": "wait=20"})).take())
    await asyncio.sleep(0.2)
    await deployment.assign(pooled, pod)

    assert await waiting == [pooled]
    assert await other.take() == []
    stream = await deployment.stream(pooled)
    assert stream.status is not None
    assert stream.status.processor.pod_uid == pod["metadata"]["uid"]
    assert stream.status.processor.worker == mine.headers["Luna-Worker-Id"]
    assert other_pod["metadata"]["uid"] != pod["metadata"]["uid"]


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer nonsense", "Bearer a.b.c", "Basic YTpi"])
async def test_a_wrong_token_is_refused_and_never_taken_for_a_worker_from_outside(shim: Shim, shown: str) -> None:
    await shim.create(v2_body())
    for path, body in (
        ("queue", {"filters": {}, "limit": 1}),
        ("feedback", {"streams": []}),
    ):
        answer = await shim.http.post(f"/2/streams/processing/{path}", json=body, headers={"Authorization": shown})
        assert (answer.status_code, answer.json()["error_code"]) == (401, 11062)


async def test_a_token_for_another_audience_or_of_a_pod_that_is_gone_is_refused(
    shim: Shim, deployment: Deployment
) -> None:
    _, foreign = await deployment.pod_with_token("somebody-else")
    pod, late = await deployment.pod_with_token()
    await deployment.kube.delete(PODS.at(deployment.namespace, pod["metadata"]["name"]), grace_period_s=0)
    for token in (foreign, late):
        answer = await shim.http.post(
            "/2/streams/processing/queue",
            json={"filters": {}, "limit": 1},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 401


async def test_a_processor_that_is_known_is_answered_while_the_api_server_is_silent(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Before it gives up waiting: it stops its streams if no report is answered."""
    pod, token = await deployment.pod_with_token()
    headers, times = {"Authorization": f"Bearer {token}"}, [0.0]
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(Relay(deployment.api.url).running())
        credentials = await load_credentials(a_kubeconfig(deployment.api, wire.url, tmp_path / "kubeconfig"))
        client = await stack.enter_async_context(KubeClient(credentials, timeout_s=4))
        workers = Workers(client, lambda: times[-1])
        known = await workers.identify(headers)
        assert known.pod is not None
        assert known.pod.uid == pod["metadata"]["uid"]

        wire.freeze()
        times.append(31)
        async with asyncio.timeout(FEEDBACK_TIMEOUT_S * 3 / 4):
            assert await workers.identify(headers) == known
        async with asyncio.timeout(0):  # without asking again
            assert await workers.identify(headers) == known
        times.append(331)
        with pytest.raises(Unavailable):
            await workers.identify(headers)

        wire.mend()
        assert await workers.identify(headers) == known


async def test_a_restarted_processor_frees_what_its_predecessor_held(shim: Shim, deployment: Deployment) -> None:
    pod, token = await deployment.pod_with_token()
    stream_id = await shim.create(v2_body())
    await deployment.assign(stream_id, pod)
    first = processor(shim, token)
    assert await first.take() == [stream_id]

    second = processor(shim, token)
    assert await second.take() == []
    stream = await shim.until(stream_id, status="pending")
    assert "started again" in stream["last_error"]
    assert (await first.report())["modified"] == [{"stream_id": stream_id, "status": "pending", "version": 1}]

    await deployment.assign(stream_id, pod)
    assert await processor(shim, token, **(second.headers | {"Prefer": "wait=5"})).take() == [stream_id]


async def test_feedback_of_a_process_that_does_not_hold_the_stream_is_answered_with_modified(
    shim: Shim, deployment: Deployment
) -> None:
    stream_id = await shim.create(v2_body())
    holder = DocumentedWorker(shim.http, headers={"Luna-Worker-Id": "holder"})
    await holder.take()
    stranger = DocumentedWorker(shim.http, headers={"Luna-Worker-Id": "stranger"}, work=dict(holder.work))

    assert (await stranger.report())["modified"] == [{"stream_id": stream_id, "status": "in_progress", "version": 1}]
    assert (await holder.report())["unmodified"] == [{"stream_id": stream_id, "status": "in_progress", "version": 1}]


async def test_a_report_that_was_late_does_not_end_the_next_run_at_the_same_worker(
    deployment: Deployment,
) -> None:
    """Failed, started again at once, taken again; then the network delivers the first report a second time."""
    async with (
        deployment.shim() as leader,
        deployment.shim() as follower,
        aclosing(StreamsApi(follower.url, "2", "w-1", lambda: None)) as client,
    ):
        stream_id = await leader.create(v2_body(autorestart={"restart": 1, "attempt_count": 3, "delay": 600}))

        async def take() -> None:
            taken = await client.take(QueueFilters(), 1, 10)
            assert [stream.stream_id for stream in taken] == [stream_id]

        await take()
        failure = FeedbackItem(stream_id=stream_id, status="failure", version=1, error="gone", video_info=None)
        received_until = client.received_until
        assert received_until is not None
        await client.report([failure], received_until)
        await leader.http.patch(f"/2/streams/{stream_id}", json={"status": "pending"})
        await take()

        assert [told.status for told in (await client.report([failure], received_until)).modified] == ["in_progress"]
        assert (await leader.read(stream_id))["status"] == "in_progress"
        assert (await client.report([failure], client.received_until)).modified == ()
        assert (await leader.read(stream_id))["last_error"] == "gone"


@pytest.mark.parametrize("shown", ["", "yesterday", "2026-01-31T12:00:00", "0" * 5000])
async def test_a_time_that_is_none_is_refused(shim: Shim, shown: str) -> None:
    answer = await shim.http.post(
        "/2/streams/processing/feedback", json={"streams": []}, headers={"Luna-Received-Until": shown}
    )
    assert (answer.status_code, answer.json()["error_code"]) == (400, 12046)


async def test_a_version_beyond_64_bits_is_answered_as_it_was_sent(shim: Shim) -> None:
    unheard_of = "beb7b150-c2e9-511d-bd42-beb1f3b44045"  # may be a manifest's, which this leader has not heard of yet
    item = {"stream_id": unheard_of, "version": 10**30, "status": "in_progress", "error": None, "video_info": None}
    answer = await shim.http.post("/2/streams/processing/feedback", json={"streams": [item]})
    assert answer.status_code == 200
    assert answer.json()["streams"]["unmodified"] == [
        {"stream_id": unheard_of, "version": 10**30, "status": "in_progress"}
    ]
