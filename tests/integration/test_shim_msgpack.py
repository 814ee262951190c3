"""msgpack where the API document offers it: in the answer of /version, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import ormsgpack
import pytest

from support.apiservers import ApiServer
from support.builders import v2_body
from support.shims import Shim, a_deployment

VERSION = {"Version": {"api": 1, "major": 1, "minor": 1, "patch": 18}}
JSON, MSGPACK = "application/json", "application/msgpack"


@pytest.fixture
async def shim(embedded_api: ApiServer) -> AsyncIterator[Shim]:
    async with a_deployment(embedded_api) as deployment, deployment.shim() as shim:
        yield shim


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/msgpack", MSGPACK),
        ("Application/MsgPack", MSGPACK),
        ("application/msgpack, application/json;q=0.9", MSGPACK),
        ("application/json;q=0.2, application/msgpack;q=0.3", MSGPACK),
        ("application/msgpack, text/html", MSGPACK),
        ("application/json, application/msgpack", JSON),
        ("application/*", JSON),
        ("*/*", JSON),
        ("", JSON),
        ("text/html", JSON),
        ("application/msgpack;q=0", JSON),
        ("application/msgpack;q=x", JSON),
        (";;,,=\xff", JSON),
    ],
)
async def test_the_version_comes_in_the_form_that_is_wanted(shim: Shim, accept: str, expected: str) -> None:
    answer = await shim.http.get("/version", headers={b"Accept": accept.encode("latin-1")})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, expected)
    assert (ormsgpack.unpackb(answer.content) if expected == MSGPACK else answer.json()) == VERSION
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Content-Length"] == str(len(answer.content))


async def test_several_headers_count_as_one(shim: Shim) -> None:
    headers = [("Accept", "application/json;q=0.1"), ("Accept", MSGPACK)]
    async with httpx.AsyncClient() as client:  # without an Accept of its own
        client.headers.pop("Accept")
        answer = await client.get(f"{shim.url}/version", headers=headers)
    assert answer.headers["Content-Type"] == MSGPACK


async def test_other_answers_and_errors_are_json_whatever_is_wanted(shim: Shim) -> None:
    for path, status in (("/2/streams", 200), ("/2/streams/count", 200), ("/2/streams?page=0", 400), ("/none", 404)):
        answer = await shim.http.get(path, headers={"Accept": MSGPACK})
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, JSON)
        answer.json()


@pytest.mark.parametrize(
    "body",
    [
        ormsgpack.packb(v2_body()),
        b"\xc1",  # never used
        b"\xdf\xff\xff\xff\xff",  # a map of 2**32 - 1 items
        b"\x91" * 100_000,  # an array in an array in an array
        b"\xc4\x01\x00",  # bytes, which JSON lacks
    ],
    ids=["a stream", "no msgpack", "a huge length", "deep", "bytes"],
)
async def test_bodies_in_msgpack_are_refused_unread(shim: Shim, body: bytes) -> None:
    refused = await shim.http.post("/2/streams", content=body, headers={"Content-Type": MSGPACK})
    assert (refused.status_code, refused.json()["error_code"]) == (400, 12023)
    assert refused.json()["detail"] == "Content type is unacceptable allowed types: 'application/json'"
    mislabelled = await shim.http.post("/2/streams", content=body, headers={"Content-Type": JSON})
    assert (mislabelled.status_code, mislabelled.json()["error_code"]) == (400, 12027)
