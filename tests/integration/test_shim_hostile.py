"""Whatever a client sends is answered in the documented form, never by a 5xx: bodies, queries and headers at random.

The seed is fixed, so that a failure comes back; LUNA_FUZZ_SEED and LUNA_FUZZ_REQUESTS ask for others and more.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from support.apiservers import ApiServer
from support.builders import HANDLER, v1_body, v2_body
from support.shims import Shim, a_deployment
from support.worker import VIDEO_INFO

SEED = int(os.environ.get("LUNA_FUZZ_SEED", "7"))
REQUESTS = int(os.environ.get("LUNA_FUZZ_REQUESTS", "300"))

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, -0.0, 1e308, 10**19, 10**400, "", "x", "\0", "\U0001f600" * 10, "a" * 5000,
    [], [None], [[[]]], {}, {"a": 1}, HANDLER, HANDLER.upper(), "pending", "videofile", "images", "tcp", "\u202e",
    "2024-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-14:00", "0001-01-01T00:00:00+14:00",
    "rtsp://u:p@h/x", "file:///etc/passwd", "concat:a|b", "rtsp://:@/", "http://[::1", "http://h:99999",
]  # fmt: skip
ODD_HEADERS = ["", "x", "a" * 3000, 'application/json; charset="', "text/plain", "Bearer x", "1", "wait=x", ",", "=;="]
HEADERS = ["Luna-Request-Id", "Luna-Worker-Id", "Content-Type", "Authorization", "Prefer", "Accept", "Luna-Forwarded"]
PARAMETERS = [
    "account_id", "stream_ids", "names", "reference", "statuses", "create_time__gte", "create_time__lt", "group_name",
    "order", "page", "page_size", "stream_id__gte", "stream_id__lt", "limit", "group_ids", "group_names",
    "include_luna_services",
]  # fmt: skip
REPORT = {
    "stream_id": HANDLER,
    "status": "in_progress",
    "version": 1,
    "error": None,
    "video_info": VIDEO_INFO | {"duration": 1, "progress": 0.5},
    "preview": {"live": {"url": "http://h/x"}, "last_frame": {"url": "http://h/y"}},
}
FILTERS = {"stream_ids": [HANDLER], "names": ["a"], "group_ids": [HANDLER], "group_names": ["g"]}


class Mischief:
    """Makes requests that are wrong in one place or several."""

    def __init__(self, seed: int, stream_id: str) -> None:
        self._random = random.Random(seed)
        self._requests: list[tuple[str, str, Any]] = [
            ("POST", "/1/streams", v1_body()),
            ("POST", "/2/streams", v2_body()),
            ("PUT", f"/1/streams/{stream_id}", v1_body()),
            ("PUT", f"/2/streams/{stream_id}", v2_body(autorestart={"restart": 1}, location={"city": "a"})),
            ("PATCH", f"/2/streams/{stream_id}", {"status": "pause", "description": "x"}),
            ("DELETE", "/1/streams", {"stream_ids": [HANDLER], "names": ["none"]}),
            ("POST", "/2/streams/processing/queue", {"filters": FILTERS, "limit": 5}),
            ("POST", "/1/streams/processing/feedback", {"streams": [REPORT, REPORT | {"stream_id": stream_id}]}),
            ("POST", "/1/groups", {"account_id": HANDLER, "group_name": "g", "description": "x"}),
            ("PATCH", f"/1/groups/{HANDLER}", {"description": "x"}),
            ("PATCH", "/2/linker", {"action": "attach", "stream_ids": [stream_id], "group_id": HANDLER}),
        ]
        self._pages = [
            "/1/streams", "/2/streams/count", "/1/streams/processing/queue", f"/1/streams/{stream_id}", "/healthcheck",
            "/2/groups", "/1/groups/count", f"/2/groups/{HANDLER}",
        ]  # fmt: skip

    def __call__(self) -> httpx.Request:
        pick = self._random
        kind = pick.choice(["body", "body", "body", "bytes", "query", "header"])
        if kind == "query":
            chosen = tuple((pick.choice(PARAMETERS), str(pick.choice(ODD))) for _ in range(pick.randint(1, 4)))
            return httpx.Request("GET", "http://shim" + pick.choice(self._pages), params=chosen)
        method, path, body = pick.choice(self._requests)
        headers = {"Content-Type": "application/json"}
        content = json.dumps(self._spoilt(body) if kind == "body" else body).encode()
        if kind == "bytes":
            at = pick.randrange(len(content))
            content = content[:at] + bytes([pick.randrange(256)]) + content[at + pick.randrange(3) :]
        if kind == "header":
            headers[pick.choice(HEADERS)] = pick.choice(ODD_HEADERS)
        return httpx.Request(method, f"http://shim{path}", content=content, headers=headers)

    def _spoilt(self, body: Any) -> Any:
        for _ in range(self._random.choice([1, 1, 1, 2, 3])):
            body = self._changed(body, self._random.choice(list(_places(body))))
        return body

    def _changed(self, body: Any, place: tuple[Any, ...]) -> Any:
        value = copy.deepcopy(self._random.choice(ODD))
        if not place:
            return value
        body = copy.deepcopy(body)
        parent = body
        for step in place[:-1]:
            parent = parent[step]
        how = self._random.random()
        if how < 0.15 and isinstance(parent, dict):
            del parent[place[-1]]
        elif how < 0.25 and isinstance(parent, dict):
            parent[f"odd{self._random.random()}"] = value
        else:
            parent[place[-1]] = value
        return body


def _places(body: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(body, dict | list):
        for name, value in body.items() if isinstance(body, dict) else enumerate(body):
            yield from _places(value, (*place, name))


@pytest.fixture
async def shim(embedded_api: ApiServer) -> AsyncIterator[Shim]:
    async with a_deployment(embedded_api) as deployment, deployment.shim() as shim:
        yield shim


@pytest.mark.timeout(max(180, REQUESTS // 5))
async def test_nothing_a_client_sends_is_answered_with_a_fault_of_ours(shim: Shim) -> None:
    mischief = Mischief(SEED, await shim.create(v2_body()))
    refused = 0
    for number in range(REQUESTS):
        request = mischief()
        answer = await shim.http.request(
            request.method, shim.url + request.url.raw_path.decode(), content=request.content, headers=request.headers
        )
        what = f"seed {SEED}, request {number}: {request.method} {request.url} {request.content[:2000]!r}"
        assert answer.status_code < 500, f"{what} -> {answer.status_code} {answer.text}"
        if answer.status_code >= 400:
            assert set(answer.json()) == {"error_code", "desc", "detail", "link"}, what
            assert "refused by the cluster" not in answer.text, f"{what}: the models let pass what the CRD refuses"
            refused += 1
    assert refused > REQUESTS / 2
