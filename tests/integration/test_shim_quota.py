"""Quota and account rule over REST, on one replica and on two; against the embedded and a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from luna_kube import STREAMS, Json
from support.apiservers import ApiServer, unique
from support.builders import ACCOUNT, HANDLER, OTHER_ACCOUNT, stream_object, v1_body, v2_body
from support.shims import Deployment, Shim, a_deployment
from support.waiting import eventually
from support.worker import DocumentedWorker

EXCEEDED = {
    "error_code": 11055,
    "desc": "Forbidden",
    "detail": "License problem: Streams license limit exceeded. "
    "Please contact VisionLabs for license upgrade or delete redundant streams",
    "link": "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-11055",
}


@pytest.fixture
async def deployment(any_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(any_api) as deployment:
        yield deployment


def active(shim: Shim) -> int:
    return len(shim.service.store.catalogue)


async def test_of_fifty_creations_at_once_exactly_the_quota_is_accepted(deployment: Deployment) -> None:
    async with deployment.shim(stream_quota=10) as shim:
        answers = await asyncio.gather(*(shim.http.post("/2/streams", json=v2_body()) for _ in range(50)))
        assert sorted(answer.status_code for answer in answers) == [201] * 10 + [403] * 40
        assert all(answer.json() == EXCEEDED for answer in answers if answer.status_code == 403)
        assert active(shim) == 10


async def test_with_two_replicas_the_leader_counts_for_both(deployment: Deployment) -> None:
    async with deployment.shim(stream_quota=10) as leader, deployment.shim(stream_quota=10) as follower:
        asked = (shim.http.post("/2/streams", json=v2_body()) for _ in range(25) for shim in (leader, follower))
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [201] * 10 + [403] * 40
        forwarded = next(answer for answer in answers if answer.status_code == 201)
        assert forwarded.headers["Location"] == f"/2/streams/{forwarded.json()['stream_id']}"
        stream_id = forwarded.json()["stream_id"]

        assert (await follower.http.patch(f"/2/streams/{stream_id}", json={"status": "cancel"})).status_code == 204
        other = {"account_id": OTHER_ACCOUNT}
        missing = await follower.http.patch(f"/2/streams/{stream_id}", json={"status": "pending"}, params=other)
        assert (missing.status_code, missing.json()["error_code"]) == (404, 39001)
        replaced = await follower.http.put(f"/2/streams/{stream_id}", json=v2_body(name="again"))
        assert (replaced.status_code, replaced.json()) == (200, {"stream_id": stream_id, "version": 2})


@pytest.mark.parametrize("api", [1, 2])
async def test_a_finished_stream_needs_a_place_to_start_again(deployment: Deployment, api: int) -> None:
    body = v1_body if api == 1 else v2_body
    async with deployment.shim(stream_quota=1) as shim:
        first = await shim.create(body(), api)
        worker = DocumentedWorker(shim.http, headers={"Prefer": "wait=5"})
        assert await worker.take() == [first]
        assert await worker.finish(first)
        second = await shim.create(body(), api)
        for refused in (
            await shim.http.patch(f"/{api}/streams/{first}", json={"status": "pending"}),
            await shim.http.put(f"/{api}/streams/{first}", json=body()),
            await shim.http.post(f"/{api}/streams", json=body(status="pause")),
        ):
            assert (refused.status_code, refused.json()) == (403, EXCEEDED)
        assert (await shim.read(first, api))["status"] == "done"

        assert (await shim.http.put(f"/{api}/streams/{second}", json=body())).status_code == 200
        assert (await shim.http.patch(f"/{api}/streams/{first}", json={"description": "x"})).status_code == 204
        assert (await shim.http.delete(f"/{api}/streams/{second}")).status_code == 204
        assert (await shim.http.patch(f"/{api}/streams/{first}", json={"status": "pending"})).status_code == 204


async def test_each_account_has_its_own_quota(deployment: Deployment) -> None:
    async with deployment.shim(account_stream_quota=1) as shim:
        await shim.create(v2_body())
        assert (await shim.http.post("/2/streams", json=v2_body())).json() == EXCEEDED
        await shim.create(v2_body(account_id=OTHER_ACCOUNT))


async def test_streams_of_kubectl_count_and_are_not_refused(deployment: Deployment) -> None:
    async with deployment.shim(stream_quota=1) as shim:
        for _ in range(2):
            obj = stream_object(unique("door"), namespace=deployment.namespace)
            await deployment.kube.create(STREAMS.within(deployment.namespace), obj)
        await eventually(lambda: active(shim) == 2, "both streams are seen")
        assert (await shim.http.post("/2/streams", json=v2_body())).json() == EXCEEDED


# --- the account of a stream and of its handler -----------------------------------------------------------------------


def for_account(api: int, account_id: str) -> Json:
    authorization: dict[str, Any] = {"account_id": account_id}
    if api == 1:
        body = v1_body()
        body["event_handler"]["authorization"] = authorization
        return body
    body = v2_body()
    handlers = [
        {"handler_id": HANDLER, "frame_store": None, "authorization": it} for it in ({"token": "t"}, authorization)
    ]
    body["data"]["analytics"] = [{"event_handler": handler} for handler in handlers]
    return body


@pytest.mark.parametrize(
    ("api", "path"),
    [(1, "event_handler.authorization.account_id"), (2, "data.analytics.1.event_handler.authorization.account_id")],
)
async def test_a_handler_of_another_account_is_refused(deployment: Deployment, api: int, path: str) -> None:
    async with deployment.shim() as shim:
        stream_id = await shim.create(for_account(api, ACCOUNT), api)
        wrong = for_account(api, OTHER_ACCOUNT)
        for refused in (
            await shim.http.post(f"/{api}/streams", json=wrong),
            await shim.http.put(f"/{api}/streams/{stream_id}", json=wrong),
        ):
            assert (refused.status_code, refused.json()["error_code"]) == (400, 12022)
            assert refused.json()["detail"] == (
                f"Failed to validate input json. Path: '{path}', "
                "message: 'value does not match 'account_id' of the stream'"
            )
        assert (await shim.read(stream_id, api))["version"] == 1
