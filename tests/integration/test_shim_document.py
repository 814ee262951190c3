"""Every example the API document gives is accepted, and every answer is what the document says it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from luna_kube import STREAM_GROUPS
from luna_streams import naming
from support import api_document
from support.apiservers import ApiServer
from support.builders import HANDLER, v1_body, v2_body
from support.shims import Deployment, Shim, a_deployment
from support.worker import VIDEO_INFO

PREVIEW = {"live": {"url": "http://10.0.0.7:34569/live"}, "last_frame": {"url": "http://10.0.0.7:34569/frame"}}
BODIES = {1: v1_body, 2: v2_body}


@pytest.fixture
async def deployment(embedded_api: ApiServer) -> AsyncIterator[Deployment]:
    api_document.document()  # skips early
    async with a_deployment(embedded_api) as deployment:
        yield deployment


@pytest.fixture
async def shim(deployment: Deployment) -> AsyncIterator[Shim]:
    async with deployment.shim() as shim:
        yield shim


@pytest.mark.parametrize("api", [1, 2])
async def test_every_example_of_a_new_stream_is_accepted_and_reads_back_as_sent(
    shim: Shim, deployment: Deployment, api: int
) -> None:
    examples = api_document.request_examples(f"/{api}/streams", "post")
    assert examples
    for body in examples.values():
        if group := body.get("group_name"):
            await ensure_group(deployment, body["account_id"], group)
        sent = {key: value for key, value in body.items() if key not in ("group_name", "group_id")}
        answer = await shim.http.post(f"/{api}/streams", json=body)
        assert answer.status_code == 201, answer.text
        api_document.check(f"/{api}/streams", "post", 201, answer.json())
        stream = await shim.read(answer.json()["stream_id"], api)
        api_document.check(f"/{api}/streams/{{stream_id}}", "get", 200, stream)
        assert contains(stream, sent), (stream, sent)


async def ensure_group(deployment: Deployment, account_id: str, name: str) -> None:
    body = {
        "apiVersion": naming.API_VERSION,
        "kind": "StreamGroup",
        "metadata": {"namespace": deployment.namespace, "name": naming.group_object_name(account_id, name)},
        "spec": {"accountId": account_id, "groupName": name},
    }
    ref = STREAM_GROUPS.at(deployment.namespace, body["metadata"]["name"])  # type: ignore[index]  # a dict
    await deployment.kube.apply(ref, body)


def contains(whole: object, part: object) -> bool:
    """Tell whether everything of a body is in an answer; arrays [x, y, w, h] of regions come back as objects."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and contains(whole[name], value) for name, value in part.items())
    if isinstance(part, list) and isinstance(whole, dict):
        return part == [whole["x"], whole["y"], whole["width"], whole["height"]]
    if isinstance(part, list) and isinstance(whole, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part


@pytest.mark.parametrize("api", [1, 2])
async def test_answers_of_a_streams_life_fit_their_schemas(shim: Shim, api: int) -> None:
    root = f"/{api}/streams"
    stream_id = await shim.create(BODIES[api](name="a", autorestart={"restart": 1}), api)

    listed = await shim.http.get(root)
    api_document.check(root, "get", 200, listed.json())
    api_document.check(f"{root}/count", "get", 200, (await shim.http.get(f"{root}/count")).json())
    queue = f"{root}/processing/queue"
    api_document.check(queue, "get", 200, (await shim.http.get(queue, params={"limit": 5})).json())
    taken = await shim.http.post(queue, json={"filters": {}, "limit": 5})
    assert len(taken.json()["streams"]) == 1
    api_document.check(queue, "post", 200, taken.json())

    report = {"stream_id": stream_id, "status": "in_progress", "version": 1, "error": None, "video_info": VIDEO_INFO}
    missing = report | {"stream_id": HANDLER}
    told = await shim.http.post(
        f"{root}/processing/feedback", json={"streams": [report | {"preview": PREVIEW}, missing]}
    )
    assert len(told.json()["streams"]["modified"]) == len(told.json()["streams"]["unmodified"]) == 1
    api_document.check(f"{root}/processing/feedback", "post", 200, told.json())
    api_document.check(f"{root}/{{stream_id}}", "get", 200, await shim.read(stream_id, api))

    put = await shim.http.put(f"{root}/{stream_id}", json=BODIES[api]())
    api_document.check(f"{root}/{{stream_id}}", "put", 200, put.json())


@pytest.mark.parametrize("api", [1, 2])
async def test_errors_fit_their_schemas(shim: Shim, api: int) -> None:
    root = f"/{api}/streams"
    for path, template, method, body, status in (
        (root, root, "get", None, 400),
        (root, root, "post", {}, 400),
        (root, root, "delete", {"faces": 1}, 400),
        (f"{root}/{HANDLER}", f"{root}/{{stream_id}}", "get", None, 404),
        (f"{root}/{HANDLER}", f"{root}/{{stream_id}}", "patch", {}, 400),
        (f"{root}/processing/queue", f"{root}/processing/queue", "post", {}, 400),
        (f"{root}/processing/feedback", f"{root}/processing/feedback", "post", {}, 400),
    ):
        answer = await shim.http.request(method, path, json=body, params={"page": 0} if path == root else {})
        assert answer.status_code == status
        api_document.check(template, method, status, answer.json())


async def test_answers_of_the_service_fit_their_schemas(shim: Shim) -> None:
    for path in ("/version", "/healthcheck"):
        api_document.check(path, "get", 200, (await shim.http.get(path)).json())
