"""Streams over REST: create, read, list, change, replace, delete; against the embedded and a real API server."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from luna_kube import SECRETS, STREAM_GROUPS, STREAMS, Json
from luna_streams import naming
from luna_streams.stream import SecretKeyRef, StreamState
from support.apiservers import ApiServer, unique
from support.builders import ACCOUNT, HANDLER, OTHER_ACCOUNT, a_group, some_data, stream_object, v1_body, v2_body
from support.shims import Deployment, Shim, a_deployment
from support.waiting import PATIENCE_S
from support.worker import DocumentedWorker

REQUEST_ID = "1536751345,8b8b5937-2e9c-4e8b-a7a7-5caf86621b5a"
LINK = "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-"


@pytest.fixture
async def deployment(any_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(any_api) as deployment:
        yield deployment


@pytest.fixture
async def shim(deployment: Deployment) -> AsyncIterator[Shim]:
    async with deployment.shim() as shim:
        yield shim


def with_credentials(user_info: str = "admin:s3cret-pa55", token: str = "eyJ0b2tlbg.s3cret.token") -> Json:  # noqa: S107
    handler = {"handler_id": HANDLER, "frame_store": None, "authorization": {"token": token}}
    return v2_body(
        data={
            "type": "tcp",
            "reference": f"rtsp://{user_info}@10.0.0.5:554/live",
            "analytics": [{"event_handler": handler}],
        }
    )


def videofile() -> Json:
    body = v2_body()
    body["data"] |= {"type": "videofile", "reference": "/media/clip.mp4"}
    return body


# --- create and read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", [1, 2])
async def test_a_created_stream_reads_back_with_what_was_sent_and_the_defaults(shim: Shim, api: int) -> None:
    body = (v1_body if api == 1 else v2_body)(name="Stream 1", description="a door")

    answer = await shim.http.post(f"/{api}/streams", json=body, headers={"Luna-Request-Id": REQUEST_ID})

    assert answer.status_code == 201
    assert answer.json() == {"stream_id": answer.json()["stream_id"], "version": 1}
    assert answer.headers["Luna-Request-Id"] == REQUEST_ID
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Location"] == f"/{api}/streams/{answer.json()['stream_id']}"
    stream = await shim.read(answer.json()["stream_id"], api)
    assert stream["status"] == "pending"
    assert stream["version"] == 1
    assert (stream["name"], stream["description"]) == ("Stream 1", "a door")
    assert stream["data"]["endless"] is True
    assert stream["data"]["roi"] == {"x": 0, "y": 0, "width": 0, "height": 0, "mode": "abs"}
    assert (stream["last_error"], stream["video_info"], stream["preview"], stream["groups"]) == (None, None, None, [])


async def test_a_stream_is_a_resource_with_a_status_and_a_name_that_tells_its_age(
    shim: Shim, deployment: Deployment
) -> None:
    before = datetime.now(UTC)
    stream_id = await shim.create(v2_body())

    async with asyncio.timeout(PATIENCE_S):
        while (await deployment.stream(stream_id)).status is None:
            await asyncio.sleep(0.02)

    stream = await deployment.stream(stream_id)
    assert stream.status is not None
    assert (stream.status.status, stream.status.version) == ("pending", 1)
    assert {condition.type for condition in stream.status.conditions} >= {"Ready", "Processing", "Scheduled"}
    assert abs((stream.create_time - before).total_seconds()) < 5
    assert (await shim.read(stream_id))["create_time"].startswith(stream.create_time.isoformat()[:23])


async def test_a_stream_made_by_kubectl_appears_under_a_lasting_id_and_gets_a_status(
    shim: Shim, deployment: Deployment
) -> None:
    name = unique("door")
    await deployment.kube.create(
        STREAMS.within(deployment.namespace), stream_object(name, namespace=deployment.namespace)
    )
    stream_id = naming.stream_id(deployment.namespace, name)

    async with asyncio.timeout(PATIENCE_S):
        while (await shim.http.get(f"/1/streams/{stream_id}")).status_code != 200:
            await asyncio.sleep(0.02)
        while (await deployment.stream(name)).status is None:
            await asyncio.sleep(0.05)

    assert (await shim.read(stream_id))["status"] == "pending"


async def test_a_stream_that_does_not_exist_is_answered_in_the_documented_form(shim: Shim) -> None:
    missing = "7acc35cf-a3b2-4f87-8d8b-5496a2782d37"
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        body = {"PATCH": {"status": "pause"}, "PUT": v2_body()}.get(method)
        answer = await shim.http.request(method, f"/2/streams/{missing}", json=body)
        assert answer.status_code == 404
        assert answer.json() == {
            "error_code": 39001,
            "desc": "Object not found",
            "detail": f"Stream with id '{missing}' not found",
            "link": f"{LINK}39001",
        }


async def test_streams_of_another_account_are_not_found(shim: Shim) -> None:
    stream_id = await shim.create(v2_body())

    for method in ("GET", "DELETE", "PATCH"):
        body = {"status": "pause"} if method == "PATCH" else None
        answer = await shim.http.request(
            method, f"/2/streams/{stream_id}", params={"account_id": OTHER_ACCOUNT}, json=body
        )
        assert answer.json()["error_code"] == 39001
    assert (await shim.http.get(f"/2/streams/{stream_id}", params={"account_id": ACCOUNT})).status_code == 200


# --- credentials ------------------------------------------------------------------------------------------------------


async def test_credentials_stand_in_a_secret_only_and_are_put_back_on_read(
    shim: Shim, deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = with_credentials()
    stream_id = await shim.create(body)

    stream = await shim.read(stream_id)
    assert stream["data"]["reference"] == body["data"]["reference"]
    assert stream["data"]["analytics"][0]["event_handler"]["authorization"] == {"token": "eyJ0b2tlbg.s3cret.token"}
    resource = orjson.dumps(await deployment.kube.get(STREAMS.at(deployment.namespace, stream_id))).decode()
    metrics = (await shim.http.get("/metrics")).text
    for place in (resource, metrics, caplog.text):
        assert "s3cret" not in place
    [secret] = await deployment.secrets_of(stream_id)
    assert secret["metadata"]["ownerReferences"][0]["name"] == stream_id
    assert secret["immutable"] is True
    async with deployment.shim() as another:
        assert (await another.read(stream_id))["data"]["reference"] == body["data"]["reference"]


async def test_without_credentials_there_is_no_secret(shim: Shim, deployment: Deployment) -> None:
    stream_id = await shim.create(v2_body())
    assert await deployment.secrets_of(stream_id) == []


async def test_put_replaces_credentials_and_removes_the_secret_with_the_last_one(
    shim: Shim, deployment: Deployment
) -> None:
    stream_id = await shim.create(with_credentials())
    url = f"/2/streams/{stream_id}"

    await shim.http.put(url, json=with_credentials(user_info="root:other"))
    assert (await shim.read(stream_id))["data"]["reference"] == "rtsp://root:other@10.0.0.5:554/live"
    assert len(await deployment.secrets_of(stream_id)) == 1

    await shim.http.put(url, json=v2_body())
    assert (await shim.read(stream_id))["data"]["reference"] == "rtsp://some_stream_address"
    assert await deployment.secrets_of(stream_id) == []


async def test_puts_at_once_mix_no_credentials(shim: Shim, deployment: Deployment) -> None:
    stream_id = await shim.create(with_credentials())
    async with deployment.shim() as another:

        async def put(number: int) -> None:
            body = with_credentials(user_info=f"user{number}:s3cret")
            body["data"]["reference"] += f"/{number}"
            body["data"]["analytics"][0]["event_handler"]["authorization"] = {"token": f"token{number}"}
            replica = (shim, another)[number % 2]
            assert (await replica.http.put(f"/2/streams/{stream_id}", json=body)).status_code == 200

        for _ in range(3):
            await asyncio.gather(*map(put, range(10)))
            data = (await shim.read(stream_id))["data"]
            number = data["reference"].rpartition("/")[2]
            assert data["reference"] == f"rtsp://user{number}:s3cret@10.0.0.5:554/live/{number}"
            token = data["analytics"][0]["event_handler"]["authorization"]["token"]
            assert token == f"token{number}"
            assert len(await deployment.secrets_of(stream_id)) == 1


async def test_a_secret_that_a_user_made_outlives_a_put(shim: Shim, deployment: Deployment) -> None:
    """Also one that is named like ours and carries the label that every such Secret needs."""
    name = naming.secret_name("front-door", "0a1b2c3d4e")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {naming.LABEL_CREDENTIALS: "stream"}},
        "stringData": {"reference": "viewer:change-me"},
    }
    await deployment.kube.create(SECRETS.within(deployment.namespace), secret)
    data = some_data(
        type="tcp", reference="rtsp://10.0.0.5/live", reference_from=SecretKeyRef(name=name, key="reference")
    )
    body = stream_object("front-door", namespace=deployment.namespace, data=data)
    await deployment.kube.create(STREAMS.within(deployment.namespace), body)
    stream_id = naming.stream_id(deployment.namespace, "front-door")
    assert (await shim.read(stream_id))["data"]["reference"] == "rtsp://viewer:change-me@10.0.0.5/live"

    await shim.http.put(f"/2/streams/{stream_id}", json=with_credentials())

    assert (await shim.read(stream_id))["data"]["reference"] == with_credentials()["data"]["reference"]
    assert await deployment.kube.get(SECRETS.at(deployment.namespace, name))


async def test_a_refused_body_says_nothing_of_its_credentials(shim: Shim, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = with_credentials() | {"status": "done"}
    answer = await shim.http.post("/2/streams", json=body)
    assert answer.status_code == 400
    assert "s3cret" not in answer.text + caplog.text


# --- list and count ---------------------------------------------------------------------------------------------------


async def names_of(shim: Shim, api: int = 1, **params: Any) -> list[str]:
    answer = await shim.http.get(f"/{api}/streams", params=params)
    assert answer.status_code == 200, answer.text
    return [stream["name"] for stream in answer.json()["streams"]]


async def test_every_filter_finds_what_it_asks_for(shim: Shim, deployment: Deployment) -> None:
    start = datetime.now(UTC).isoformat()
    ids = {name: await shim.create(v2_body(name=name)) for name in ("a", "b", "c")}
    ids["d"] = await shim.create(v2_body(name="d", account_id=OTHER_ACCOUNT, status="pause"))
    secret_reference = with_credentials()["data"]["reference"]
    await shim.create(with_credentials() | {"name": "e"})

    assert await names_of(shim) == ["a", "b", "c", "d", "e"]
    assert await names_of(shim, order="desc") == ["e", "d", "c", "b", "a"]
    assert await names_of(shim, account_id=OTHER_ACCOUNT) == ["d"]
    assert await names_of(shim, stream_ids=f"{ids['c']},{ids['a']}") == ["a", "c"]
    assert await names_of(shim, stream_ids=[ids["c"], ids["a"]]) == ["a", "c"]
    assert await names_of(shim, names="b,d,x") == ["b", "d"]
    assert await names_of(shim, statuses="pause") == ["d"]
    assert await names_of(shim, statuses=["pending", "pause"], names="a,d") == ["a", "d"]
    assert await names_of(shim, statuses="restart") == []
    assert await names_of(shim, reference="rtsp://some_stream_address") == ["a", "b", "c", "d"]
    assert await names_of(shim, reference=secret_reference) == ["e"]
    assert await names_of(shim, reference="rtsp://10.0.0.5:554/live") == []
    assert await names_of(shim, create_time__gte=start) == ["a", "b", "c", "d", "e"]
    assert await names_of(shim, create_time__lt=start) == []
    assert await names_of(shim, stream_id__gte=ids["b"], stream_id__lt=ids["d"]) == ["b", "c"]
    assert await names_of(shim, page=2, page_size=2) == ["c", "d"]
    assert await names_of(shim, page=10**15, page_size=1000) == []
    count = await shim.http.get("/2/streams/count", params={"names": "a,b,zzz"})
    assert count.json() == {"streams_count": 2}


async def test_a_group_filter_finds_the_members(shim: Shim, deployment: Deployment) -> None:
    group = await make_group(deployment, "doors")
    await shim.create(v2_body(name="by-name", group_name="doors"))
    await shim.create(v2_body(name="by-id", group_id=group))
    await shim.create(v2_body(name="none"))

    assert await names_of(shim, group_name="doors") == ["by-name", "by-id"]
    assert (await shim.http.get("/2/streams", params={"group_name": "doors"})).json()["streams"][0]["groups"] == [
        "doors"
    ]


async def make_group(deployment: Deployment, name: str, account_id: str = ACCOUNT) -> str:
    group = a_group(name, account_id=account_id)
    body = {
        "apiVersion": naming.API_VERSION,
        "kind": "StreamGroup",
        "metadata": {"namespace": deployment.namespace, "name": group.name},
        "spec": group.spec.to_resource(),
    }
    await deployment.kube.create(STREAM_GROUPS.within(deployment.namespace), body)
    return group.group_id


async def test_unknown_groups_and_groups_of_others_are_refused(shim: Shim, deployment: Deployment) -> None:
    group = await make_group(deployment, "doors", OTHER_ACCOUNT)

    for field, value, code in (
        ("group_name", "doors", 39007),
        ("group_name", "nope", 39007),
        ("group_id", group, 39008),
    ):
        answer = await shim.http.post("/2/streams", json=v2_body(**{field: value}))
        assert (answer.status_code, answer.json()["error_code"]) == (400, code)
    assert await names_of(shim) == []


# --- change -----------------------------------------------------------------------------------------------------------


async def test_patch_pauses_cancels_and_queues_again(shim: Shim) -> None:
    stream_id = await shim.create(v2_body())
    for status in ("pause", "cancel", "pending", "pending", "cancel", "pause"):
        answer = await shim.http.patch(f"/2/streams/{stream_id}", json={"status": status, "description": status})
        assert (answer.status_code, answer.content) == (204, b"")
        stream = await shim.read(stream_id)
        assert (stream["status"], stream["description"], stream["version"]) == (status, status, 1)


async def test_patch_writes_the_wish_into_the_spec(shim: Shim, deployment: Deployment) -> None:
    stream_id = await shim.create(v2_body())
    await shim.http.patch(f"/2/streams/{stream_id}", json={"status": "cancel"})

    stream = await deployment.stream(stream_id)
    assert stream.status is not None
    assert {stream.spec.desired_status, stream.status.observed_intent.desired_status} == {StreamState.CANCEL}
    assert [entry.status for entry in stream.status.history] == ["pending", "cancel"]


async def test_a_file_in_progress_cannot_be_paused_but_a_camera_can(shim: Shim) -> None:
    file_id, camera_id = await shim.create(videofile()), await shim.create(v2_body())
    await DocumentedWorker(shim.http).take()

    refused = await shim.http.patch(f"/2/streams/{file_id}", json={"status": "pause"})
    accepted = await shim.http.patch(f"/2/streams/{camera_id}", json={"status": "pause"})

    assert refused.status_code == 400
    assert refused.json() == {
        "error_code": 39003,
        "desc": "Unable to stop processing",
        "detail": f"Processing of stream with id '{file_id}' is already in progress and cannot be stopped.",
        "link": f"{LINK}39003",
    }
    assert (await shim.read(file_id))["status"] == "in_progress"
    assert accepted.status_code == 204


async def test_a_finished_stream_cannot_be_cancelled_but_run_again(shim: Shim, deployment: Deployment) -> None:
    stream_id = await shim.create(videofile())
    worker = DocumentedWorker(shim.http)
    await worker.take()
    await worker.finish(stream_id)

    refused = await shim.http.patch(f"/2/streams/{stream_id}", json={"status": "cancel"})
    assert refused.status_code == 400
    assert refused.json()["error_code"] == 39005
    assert (
        refused.json()["detail"] == f"Processing of streams with id '{stream_id}' is finished and cannot be cancelled"
    )
    assert (await deployment.stream(stream_id)).spec.desired_status == StreamState.PENDING

    assert (await shim.http.patch(f"/2/streams/{stream_id}", json={"status": "pending"})).status_code == 204
    assert (await shim.read(stream_id))["status"] == "pending"
    assert await worker.take() == [stream_id]


async def test_put_raises_the_version_by_one_each_time_and_starts_over(shim: Shim, deployment: Deployment) -> None:
    await make_group(deployment, "doors")
    stream_id = await shim.create(v2_body(group_name="doors"))
    worker = DocumentedWorker(shim.http)
    await worker.take()
    worker.work[stream_id].error = "no signal"
    await worker.report()

    for version in (2, 3):  # the same body twice: a PUT is a change even if it changes nothing
        answer = await shim.http.put(f"/2/streams/{stream_id}", json=v2_body(name="new"))
        assert answer.status_code == 200
        assert answer.json() == {"stream_id": stream_id, "version": version}
    stream = await shim.read(stream_id)
    assert (stream["status"], stream["name"], stream["last_error"]) == ("pending", "new", None)
    assert stream["groups"] == ["doors"]


async def test_put_right_after_post_is_version_two(shim: Shim) -> None:
    for _ in range(5):
        stream_id = await shim.create(v2_body())
        assert (await shim.http.put(f"/2/streams/{stream_id}", json=v2_body())).json()["version"] == 2


async def test_put_with_status_pause_keeps_the_stream_out_of_the_queue(shim: Shim) -> None:
    stream_id = await shim.create(v2_body())
    await shim.http.put(f"/1/streams/{stream_id}", json=v1_body(status="pause"))
    assert (await shim.read(stream_id))["status"] == "pause"
    assert await DocumentedWorker(shim.http).take() == []


async def test_concurrent_changes_of_one_stream_all_get_through(shim: Shim) -> None:
    stream_id = await shim.create(v2_body())
    url = f"/2/streams/{stream_id}"

    answers = await asyncio.gather(
        *(shim.http.patch(url, json={"description": str(number)}) for number in range(6)),
        *(shim.http.put(url, json=v2_body(name=str(number))) for number in range(3)),
        *(shim.http.patch(url, json={"status": "pause"}) for _ in range(3)),
    )

    assert [answer.status_code for answer in answers] == [204] * 6 + [200] * 3 + [204] * 3
    stream = await shim.read(stream_id)
    assert 2 <= stream["version"] <= 4
    assert stream["version"] == max(answer.json()["version"] for answer in answers[6:9])


# --- delete -----------------------------------------------------------------------------------------------------------


async def test_a_deleted_stream_is_gone_at_once(shim: Shim) -> None:
    stream_id = await shim.create(with_credentials())

    assert (await shim.http.delete(f"/2/streams/{stream_id}")).status_code == 204
    assert (await shim.http.get(f"/2/streams/{stream_id}")).status_code == 404
    assert (await shim.http.delete(f"/2/streams/{stream_id}")).status_code == 404
    assert await names_of(shim) == []


async def test_bulk_delete_takes_ids_or_names_of_the_account(shim: Shim) -> None:
    ids = {name: await shim.create(v2_body(name=name)) for name in ("a", "b", "c", "keep")}
    await shim.create(v2_body(name="a", account_id=OTHER_ACCOUNT))

    answer = await shim.http.request(
        "DELETE",
        "/2/streams",
        params={"account_id": ACCOUNT},
        json={"stream_ids": [ids["b"], HANDLER], "names": ["a", "c"]},
    )

    assert answer.status_code == 204
    assert sorted(await names_of(shim)) == ["a", "keep"]


@pytest.mark.parametrize("body", [{}, {"stream_ids": None}, {"stream_ids": [], "names": []}])
async def test_bulk_delete_without_filters_deletes_nothing(shim: Shim, body: Json) -> None:
    await shim.create(v2_body(name="a"))
    assert (await shim.http.request("DELETE", "/1/streams", json=body)).status_code == 204
    assert await names_of(shim) == ["a"]


# --- what is wrong with a request -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code", "detail"),
    [
        ("GET", "/nope", {}, 404, 12013, "Page not found"),
        ("GET", "/3/streams", {}, 404, 12013, "Page not found"),
        ("GET", "/1/streams/not-an-id", {}, 404, 12013, "Page not found"),
        ("PUT", "/1/streams", {}, 405, 12021, "Method not allowed"),
        ("POST", "/healthcheck", {}, 405, 12021, "Method not allowed"),
        ("GET", "/1/streams?page=0", {}, 400, 12012, "Bad query parameters 'page'"),
        ("GET", "/1/streams?page_size=1001", {}, 400, 12012, "Bad query parameters 'page_size'"),
        ("GET", "/1/streams?stream_ids=x", {}, 400, 12012, "Bad query parameters 'stream_ids'"),
        ("GET", "/1/streams?order=up", {}, 400, 12012, "Bad query parameters 'order'"),
        ("GET", "/1/streams?create_time__lt=yesterday", {}, 400, 12012, "Bad query parameters 'create_time__lt'"),
        ("GET", "/1/streams?names=%00", {}, 400, 12012, "Bad query parameters 'names'"),
        ("GET", "/1/streams/processing/queue", {}, 400, 12014, "Required parameters 'limit' not found"),
        ("GET", "/1/streams/processing/queue?limit=0", {}, 400, 12012, "Bad query parameters 'limit'"),
        ("POST", "/1/streams", {"content": b""}, 400, 12030, "Request does not contain data"),
        ("POST", "/1/streams", {"content": b"{"}, 400, 12027, None),
        ("POST", "/1/streams", {"content": b'{"a": NaN}'}, 400, 12027, None),
        ("POST", "/1/streams", {"content": b'"\\ud800"'}, 400, 12027, None),
        ("POST", "/1/streams", {"content": "{}".encode("utf-16")}, 400, 12027, None),
        ("POST", "/1/streams", {"content": b"[" * 100_000}, 400, 12027, None),
        ("POST", "/1/streams", {"content": b"[1]"}, 400, 12022, None),
        (
            "POST",
            "/1/streams",
            {"content": b"a=1", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            400,
            12023,
            "Content type is unacceptable allowed types: 'application/json'",
        ),
        ("POST", "/1/streams", {"content": b"{}", "headers": {"Content-Type": "json"}}, 400, 12017, "Bad content type"),
        (
            "POST",
            "/1/streams",
            {"content": b"{}", "headers": {"Content-Type": "application/json; charset=utf-16"}},
            400,
            12017,
            "Bad content type",
        ),
        (
            "POST",
            "/2/streams",
            {"json": {}},
            400,
            12022,
            "Failed to validate input json. Path: 'account_id', message: 'field required'",
        ),
        (
            "POST",
            "/2/streams",
            {"json": v2_body(name="a\0b")},
            400,
            12022,
            "Failed to validate input json. Path: 'name', message: 'null characters are not permitted'",
        ),
        (
            "PATCH",
            f"/2/streams/{HANDLER}",
            {"json": {}},
            400,
            12022,
            "Failed to validate input json. Path: '', message: 'at least one field must have a value'",
        ),
        (
            "DELETE",
            "/2/streams",
            {"json": {"faces": []}},
            400,
            12022,
            "Failed to validate input json. Path: '', message: 'Additional properties are not allowed "
            "('faces' was unexpected)'",
        ),
        (
            "POST",
            "/2/streams/processing/queue",
            {"json": {"limit": 1}},
            400,
            12022,
            "Failed to validate input json. Path: 'filters', message: 'field required'",
        ),
    ],
)
async def test_wrong_requests_are_answered_as_documented(
    shim: Shim, method: str, path: str, sent: Json, status: int, code: int, detail: str | None
) -> None:
    answer = await shim.http.request(method, path, **sent)

    error = answer.json()
    assert (answer.status_code, error["error_code"]) == (status, code), answer.text
    assert set(error) == {"error_code", "desc", "detail", "link"}
    assert error["link"] == f"{LINK}{code}"
    assert detail in (None, error["detail"])
    assert answer.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"[0-9]{10},[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}", answer.headers["Luna-Request-Id"])


async def test_a_body_beyond_the_limit_is_refused_unread(deployment: Deployment) -> None:
    async with deployment.shim(max_body_bytes=2048) as shim:
        answer = await shim.http.post("/2/streams", content=b" " * 4096)
        chunked = await shim.http.post("/2/streams", content=_chunks(4096))
    for refused in (answer, chunked):
        assert (refused.status_code, refused.json()["error_code"]) == (413, 12046)


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 512):
        yield b" " * 512


# --- the service itself -----------------------------------------------------------------------------------------------


async def test_the_service_tells_its_version_health_and_counts(shim: Shim) -> None:
    assert (await shim.http.get("/version")).json() == {"Version": {"api": 1, "major": 1, "minor": 1, "patch": 18}}
    health = await shim.http.get("/healthcheck")
    assert (health.status_code, set(health.json())) == (200, {"execution_time"})
    await shim.http.get("/2/streams/7acc35cf-a3b2-4f87-8d8b-5496a2782d37")
    await shim.http.get("/made-up")
    metrics = await shim.http.get("/metrics")
    assert metrics.headers["Content-Type"].lower() == "text/plain; charset=utf-8"
    assert 'request_count_total{path="GET:/healthcheck",status_code="200"} 1.0' in metrics.text
    assert 'request_count_total{path="GET:/2/streams/{stream_id}",status_code="404"} 1.0' in metrics.text
    assert "made-up" not in metrics.text


async def test_metrics_can_be_switched_off(deployment: Deployment) -> None:
    async with deployment.shim(metrics_enabled=False) as shim:
        answer = await shim.http.get("/metrics")
    assert (answer.status_code, answer.json()["error_code"]) == (403, 12049)
    assert answer.json()["detail"] == "Resource is disabled."
