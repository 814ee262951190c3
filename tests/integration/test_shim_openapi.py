"""A running shim against its own OpenAPI document: every answer is described, every parameter is read as described."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from support.apiservers import ApiServer
from support.builders import v1_body, v2_body
from support.described_answers import Judge, our_document
from support.shims import Deployment, Shim, a_deployment
from support.worker import VIDEO_INFO

BODIES = {1: v1_body, 2: v2_body}
NUL = "\0"
NEEDS_A_PICTURE = {
    1: {"previewFrameProxy", "previewLiveProxy"},
    2: {"previewFrameProxyV2", "previewLiveProxyV2"},
}
"""Operations that answer 200 only where a worker shows something; tests of previews ask them."""


@pytest.fixture
async def deployment(embedded_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(embedded_api) as deployment:
        yield deployment


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
async def shim(deployment: Deployment, judge: Judge) -> AsyncIterator[Shim]:
    async with deployment.shim() as shim:
        shim.http.event_hooks["response"].append(judge.check)
        yield shim


@pytest.mark.parametrize("api", [1, 2])
async def test_every_answer_of_a_streams_life_is_described(shim: Shim, judge: Judge, api: int) -> None:
    http, root = shim.http, f"/{api}/streams"
    account = BODIES[api]()["account_id"]
    group = await http.post(f"/{api}/groups", json={"account_id": account, "group_name": "doors"})
    stream_id = await shim.create(BODIES[api](name="a", group_name="doors", autorestart={"restart": 1}), api)
    spare = await shim.create(BODIES[api](status="pause"), api)
    queue, one = f"{root}/processing/queue", f"{root}/{stream_id}"
    await http.get(queue, params={"limit": 5})
    await http.post(queue, json={"filters": {}, "limit": 5})
    report = {"stream_id": stream_id, "version": 1, "error": None, "video_info": VIDEO_INFO}
    preview = {"live": {"url": "http://127.0.0.1:9/live"}}
    for status in ("in_progress", "failure"):
        reports = [report | {"status": status, "preview": preview}, report | {"status": status, "stream_id": spare}]
        await http.post(f"{root}/processing/feedback", json={"streams": reports})
        await http.get(one)
        await http.get(f"{root}/{spare}")
    await http.get(root, params={"order": "desc"})
    await http.get(f"{root}/count")
    await http.get(f"{root}/logs")
    await http.get(f"{root}/logs", params={"targets": "status,log_time"})
    await http.delete(f"{root}/logs", params={"log_time__lt": "2020-01-01T00:00:00Z"})
    await http.patch(one, json={"description": "a", "status": "pending"})
    await http.put(one, json=BODIES[api]())
    for view in ("frame", "live"):
        await http.get(f"{root}/{spare}/preview/handler/{view}")
    group_id = group.json()["group_id"]
    for action in ("attach", "detach"):
        body = {"action": action, "stream_ids": [spare], "group_id": group_id}
        await http.patch(f"/{api}/linker", json=body)
    for path in ("", "/count", f"/{group_id}"):
        await http.get(f"/{api}/groups{path}")
    await http.patch(f"/{api}/groups/{group_id}", json={"description": "b"})
    await http.delete(f"/{api}/groups/{group_id}")
    await http.delete(one)
    await http.request("DELETE", root, json={"stream_ids": [spare]})
    for path in ("docs/spec", "docs/dev", "config", "plugins"):
        await http.get(f"/{api}/{path}")
    for path in ("/version", "/healthcheck", "/metrics"):
        await http.get(path)
    served = {name for name, status in judge.seen if status < 400}
    here = (f"/{api}/", "/version", "/healthcheck", "/metrics")
    asked = {operation["operationId"] for path, _, operation in operations() if path.startswith(here)}
    assert asked - served == NEEDS_A_PICTURE[api]


# --- parameters -------------------------------------------------------------------------------------------------------


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method and operation of the whole document."""
    for path, methods in our_document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def parameters_of(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the query parameters of an operation."""
    components = our_document()["components"]["parameters"]
    for reference in operation["parameters"]:
        parameter = components[reference["$ref"].rpartition("/")[2]]
        if parameter["in"] == "query":
            yield parameter


def worst_of(schema: dict[str, Any]) -> list[str]:
    """Return values that a schema just forbids."""
    if schema["type"] == "array":
        return [bad for bad in worst_of(schema["items"]) if bad]  # an empty text is how an empty array is written
    if schema["type"] == "integer":
        bounds = [schema[word] + step for word, step in (("minimum", -1), ("maximum", 1)) if word in schema]
        return ["one", "1.5", *map(str, bounds), *(["7"] if "enum" in schema else [])]
    if "enum" in schema:
        return [schema["enum"][0] + "x", ""]
    if "maxLength" in schema:
        return ["x" * (schema["maxLength"] + 1), NUL]
    if "pattern" in schema:
        return ["not good!", ""]
    return ["yesterday", "2026-13-01T00:00:00Z"] if schema.get("format") == "date-time" else [NUL]


async def send(shim: Shim, path: str, method: str, operation: dict[str, Any], params: dict[str, str]) -> httpx.Response:
    """Send a request that is right but for its query."""
    json = None
    if body := operation.get("requestBody"):
        json = next(iter(body["content"]["application/json"]["examples"].values()))["value"]
    needed = {one["name"]: str(one["example"]) for one in parameters_of(operation) if one.get("required")}
    url = path.replace("{stream_id}", str(uuid4())).replace("{group_id}", str(uuid4()))
    return await shim.http.request(method, url, params=needed | params, json=json)


async def test_a_value_that_a_parameter_forbids_is_refused_by_name(shim: Shim) -> None:
    tried = 0
    for path, method, operation in operations():
        for parameter in parameters_of(operation):
            for value in worst_of(parameter["schema"]):
                answer = await send(shim, path, method, operation, {parameter["name"]: value})
                told = f"{method} {path} {parameter['name']}={value!r}: {answer.text}"
                assert (answer.status_code, answer.json().get("error_code")) == (400, 12012), told
                assert answer.json()["detail"] == f"Bad query parameters '{parameter['name']}'"
                tried += 1
    assert tried > 200


async def test_a_required_parameter_is_asked_for_by_name(shim: Shim) -> None:
    for api in (1, 2):
        answer = await shim.http.get(f"/{api}/streams/processing/queue")
        assert (answer.status_code, answer.json()["error_code"]) == (400, 12014)
        assert answer.json()["detail"] == "Required parameters 'limit' not found"


async def test_what_is_not_declared_is_passed_over(shim: Shim) -> None:
    for path, method, operation in operations():
        if method == "get":
            asked = await send(shim, path, method, operation, {"nothing_of_ours": "x", "Page": "0"})
            plain = await send(shim, path, method, operation, {})
            assert asked.status_code == plain.status_code, path


async def test_the_examples_of_parameters_and_their_defaults_are_accepted(shim: Shim) -> None:
    for path, method, operation in operations():
        if method != "get":
            continue
        for parameter in parameters_of(operation):
            value = parameter.get("example", parameter["schema"].get("default", "asc"))
            text = ",".join(value) if isinstance(value, list) else str(value)
            if parameter["name"] == "reference":
                text = "rtsp://camera/1"
            answer = await send(shim, path, method, operation, {parameter["name"]: text})
            assert answer.status_code in (200, 404), f"{path} {parameter['name']}={text}: {answer.text}"
