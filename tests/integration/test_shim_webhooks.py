"""Streams that deliver to a webhook: made by REST or as a manifest, read as what they are, put back as they stood."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from luna_kube import SECRETS, STREAMS
from luna_streams import naming
from luna_streams.rest import v1, v2
from support.apiservers import ApiServer
from support.builders import ACCOUNT, HANDLER, v1_body, v2_body
from support.described_answers import Judge
from support.facestream import FaceStream, Ledger, Pace
from support.shims import Deployment, Shim, a_deployment
from support.waiting import eventually

HOOK = {"type": "cloudevents", "url": "https://hook/events?key=1", "frame_store": None, "authorization": None}
WITH_TOKEN = HOOK | {"authorization": {"token": "jwt"}}
KNOWS_WEBHOOKS = {"Luna-Worker-Handlers": "luna_handler, cloudevents"}
QUICK = Pace(request_stream_s=0.05, send_feedback_s=0.2, max_feedback_delay_s=1.5)


@pytest.fixture
async def deployment(embedded_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(embedded_api) as deployment:
        yield deployment


@pytest.fixture
async def shim(deployment: Deployment) -> AsyncIterator[Shim]:
    async with deployment.shim() as shim:
        shim.http.event_hooks["response"].append(Judge().check)
        yield shim


def body_of(api: int, handler: dict[str, Any]) -> dict[str, Any]:
    if api == 1:
        return v1_body(event_handler=handler)
    body = v2_body()
    body["data"]["analytics"] = [{"event_handler": handler}, *body["data"]["analytics"]]
    return body


def handler_of(stream: dict[str, Any], api: int) -> dict[str, Any]:
    if api == 1:
        return dict(stream["event_handler"])
    return dict(stream["data"]["analytics"][0]["event_handler"])


@pytest.mark.parametrize("handler", [HOOK, WITH_TOKEN], ids=["open", "by-token"])
@pytest.mark.parametrize("api", [1, 2])
async def test_what_was_read_can_be_put_back_and_nothing_is_lost(
    deployment: Deployment, shim: Shim, api: int, handler: dict[str, Any]
) -> None:
    stream_id = await shim.create(body_of(api, handler), api)
    read = await shim.read(stream_id, api)
    assert handler_of(read, api) == handler
    changed = {name: read[name] for name in body_of(api, handler)} | {"name": "renamed"}
    answer = await shim.http.put(f"/{api}/streams/{stream_id}", json=changed)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert (await shim.http.patch(f"/{api}/streams/{stream_id}", json={"description": "new"})).status_code == 204
    for version in (1, 2):
        assert handler_of(await shim.read(stream_id, version), version) == handler
    stored = (await deployment.kube.get(STREAMS.at(deployment.namespace, stream_id)))["spec"]
    assert "jwt" not in str(stored)


@pytest.mark.parametrize("api", [1, 2])
async def test_a_stream_of_a_manifest_is_shown_with_its_webhook_and_token(
    deployment: Deployment, shim: Shim, api: int
) -> None:
    secret = {"name": "hook", "namespace": deployment.namespace, "labels": {naming.LABEL_CREDENTIALS: "stream"}}
    await deployment.kube.create(
        SECRETS.within(deployment.namespace),
        {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": {"token": "jwt"}},
    )
    handler = {
        "type": "cloudevents",
        "url": HOOK["url"],
        "authorization": {"tokenFrom": {"name": "hook", "key": "token"}},
    }
    stream_id = "0193e0d5-5f6a-7c3e-8a5b-2f6d0c1b4a39"
    await deployment.kube.create(
        STREAMS.within(deployment.namespace),
        {
            "apiVersion": f"{naming.GROUP}/{naming.VERSION}",
            "kind": "Stream",
            "metadata": {"name": stream_id},
            "spec": {
                "accountId": ACCOUNT,
                "data": {"type": "videofile", "reference": "/a.mp4", "analytics": [{"eventHandler": handler}]},
            },
        },
    )

    async def shown() -> dict[str, Any] | None:
        answer = await shim.http.get(f"/{api}/streams/{stream_id}")
        return handler_of(answer.json(), api) if answer.status_code == 200 else None

    await eventually(lambda: shim.service.store.catalogue.get(stream_id), "the shim knows the stream")
    assert await shown() == WITH_TOKEN


@pytest.mark.parametrize("api", [1, 2])
async def test_a_worker_that_knows_webhooks_reads_them_from_the_queue(shim: Shim, api: int) -> None:
    stream_id = await shim.create(body_of(api, WITH_TOKEN), api)
    request = {"filters": {}, "limit": 5}
    answer = await shim.http.post(f"/{api}/streams/processing/queue", json=request, headers=KNOWS_WEBHOOKS)
    [stream] = answer.json()["streams"]
    assert handler_of(stream, api) == WITH_TOKEN
    queued = (v1.queued_stream if api == 1 else v2.queued_stream)(stream)
    handler = queued.submission.spec.data.analytics[0].event_handler
    assert (queued.stream_id, handler.type, handler.url) == (stream_id, "cloudevents", HOOK["url"])
    assert queued.submission.credentials.token(0) == "jwt"


async def test_what_a_worker_knows_is_heard_through_any_replica(deployment: Deployment, shim: Shim) -> None:
    stream_id = await shim.create(body_of(2, HOOK))
    async with deployment.shim() as follower:
        assert not follower.service.election.is_leader
        request = {"filters": {}, "limit": 5}
        answer = await follower.http.post("/2/streams/processing/queue", json=request, headers=KNOWS_WEBHOOKS)
    assert [stream["stream_id"] for stream in answer.json()["streams"]] == [stream_id]


@pytest.mark.parametrize("api", [1, 2])
async def test_a_facestream_is_given_none_and_goes_on_with_the_others(shim: Shim, api: int) -> None:
    webhook = await shim.create(body_of(api, HOOK), api)
    plain = await shim.create(v1_body() if api == 1 else v2_body(), api)
    async with FaceStream(shim.url, "one", Ledger(), api=api, max_streams=3, pace=QUICK).running() as worker:
        await eventually(lambda: plain in worker.work, "it has the stream that it understands")
        waiting = await shim.until(
            webhook,
            status="pending",
            last_error="The processor that asked for streams cannot deliver to event handlers of type cloudevents",
        )
        assert waiting["version"] == 1
        assert list(worker.work) == [plain]
    assert worker.refusals == []


@pytest.mark.parametrize(
    ("handler", "detail"),
    [
        pytest.param({"type": "cloudevents"}, "url', message: 'field required'", id="no-url"),
        pytest.param(HOOK | {"handler_id": HANDLER}, "handler_id', message: 'extra fields", id="both"),
        pytest.param(HOOK | {"url": "http://u:marked@hook"}, "must not contain user or password", id="password"),
    ],
)
async def test_a_webhook_that_makes_no_sense_is_refused_in_documented_words(
    shim: Shim, handler: dict[str, Any], detail: str
) -> None:
    for api in (1, 2):
        answer = await shim.http.post(f"/{api}/streams", json=body_of(api, handler))
        assert (answer.status_code, answer.json()["error_code"]) == (400, 12022)
        assert detail in answer.json()["detail"]
        assert "marked" not in answer.text
