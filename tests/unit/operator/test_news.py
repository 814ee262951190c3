"""What kopf gets to see: answers of an API server over HTTP, without what is known already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from luna_operator.news import is_known_event, leaving_out, without_known

Json = dict[str, Any]
PATH = "/apis/lunastreams.dev/v1alpha1/streams"


def an_object(name: str, version: int = 1) -> Json:
    return {"metadata": {"namespace": "ns", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}}


def an_event(event_type: str, name: str) -> bytes:
    return orjson.dumps({"type": event_type, "object": an_object(name)}) + b"\n"


def is_old(obj: Json) -> bool:
    return str(obj["metadata"]["name"]).startswith("old")


class _Server:
    """Answers with one body, in the pieces that it is told."""

    def __init__(self, *pieces: bytes, status: int = 200) -> None:
        self.pieces = pieces
        self.status = status
        self.listed: list[str] = []

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=self.status, headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        for piece in self.pieces:
            await answer.write(piece)
            await asyncio.sleep(0.01)
        return answer

    @asynccontextmanager
    async def get(self, query: str = "") -> AsyncIterator[aiohttp.ClientResponse]:
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        middleware = leaving_out(lambda path, obj: path == PATH and is_old(obj), self.listed.append)
        port = runner.addresses[0][1]
        try:
            async with (
                aiohttp.ClientSession(middlewares=(middleware,)) as session,
                session.get(f"http://127.0.0.1:{port}{PATH}{query}") as response,
            ):
                yield response
        finally:
            await runner.cleanup()


async def test_known_objects_are_left_out_of_a_list() -> None:
    page = {"metadata": {"resourceVersion": "7"}, "items": [an_object("old-1"), an_object("new"), an_object("old-2")]}
    server = _Server(orjson.dumps(page))
    async with server.get("?limit=500") as response:
        answer = await response.json()
    assert [item["metadata"]["name"] for item in answer["items"]] == ["new"]
    assert answer["metadata"] == {"resourceVersion": "7"}


@pytest.mark.parametrize(
    ("query", "listed"),
    [("?limit=500", [PATH]), ("?limit=500&continue=abc", []), ("?watch=true", [])],
    ids=["first page", "next page", "watch"],
)
async def test_each_list_is_told_once(query: str, listed: list[str]) -> None:
    server = _Server(b'{"items": []}')
    async with server.get(query) as response:
        await response.read()
    assert server.listed == listed


async def test_a_refused_list_is_none() -> None:
    server = _Server(b'{"kind": "Status", "code": 410}', status=410)
    async with server.get() as response:
        assert await response.json() == {"kind": "Status", "code": 410}
    assert server.listed == []


async def test_known_changes_are_left_out_of_a_watch_wherever_its_lines_are_cut() -> None:
    lines = [an_event("ADDED", "old-1"), an_event("MODIFIED", "new"), an_event("MODIFIED", "old-2")]
    text = b"".join([*lines, an_event("DELETED", "old-1")])
    seen = b""
    async with _Server(text[:50], text[50:180], text[180:]).get("?watch=true") as response:
        async for chunk in response.content.iter_chunked(1024 * 1024):
            seen += chunk
    events = [orjson.loads(line) for line in seen.splitlines()]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("MODIFIED", "new"),
        ("DELETED", "old-1"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        an_event("DELETED", "old"),
        orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}),
        orjson.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410}}),
        orjson.dumps({"type": "MODIFIED", "object": {"metadata": {}}}),
        b"[]",
        b"not JSON",
    ],
    ids=["deletion", "bookmark", "error", "no name", "no event", "no JSON"],
)
def test_what_is_no_known_change_goes_to_kopf(line: bytes) -> None:
    assert not is_known_event(line, is_old)


@pytest.mark.parametrize("body", [b'{"kind": "APIResourceList"}', b"[]", b"not JSON", b""])
def test_what_is_no_list_goes_to_kopf_as_it_is(body: bytes) -> None:
    assert without_known(body, is_old) == body
