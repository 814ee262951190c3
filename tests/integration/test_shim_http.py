"""Requests as bytes: what is hardly HTTP is refused in the documented form, and a connection outlives a refusal."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import pytest

from luna_api_shim.http.protocol import LONGEST_HEAD
from support.apiservers import ApiServer
from support.builders import HANDLER, v2_body
from support.raw_http import Answer, Connection, a_request, connected_to
from support.shims import Shim, a_deployment

JSON = b"Content-Type: application/json\r\n"
NOT_FOUND, NO_METHOD, BAD_QUERY, NO_HTTP = (404, 12013), (405, 12021), (400, 12012), (400, 12046)
LINK = "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-"
REQUEST_ID = re.compile(r"\d{10},[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}")


@pytest.fixture
async def shim(embedded_api: ApiServer) -> AsyncIterator[Shim]:
    async with a_deployment(embedded_api) as deployment, deployment.shim() as shim:
        yield shim


@pytest.fixture
async def connection(shim: Shim) -> AsyncIterator[Connection]:
    async with connected_to(shim.url) as connection:
        yield connection


def refusal(answer: Answer) -> tuple[int, int]:
    """Return status and code of an answer in the documented form."""
    body = json.loads(answer.body)
    assert set(body) == {"error_code", "desc", "detail", "link"}
    assert body["link"] == f"{LINK}{body['error_code']}"
    assert answer.headers["content-type"] == "application/json"
    assert REQUEST_ID.fullmatch(answer.headers["luna-request-id"])
    return answer.status, body["error_code"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00\x01\x02\r\n\r\n", id="no text"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(a_request(method=b"FOO"), id="unknown method"),
        pytest.param(a_request(method=b"get"), id="method in lower case"),
        pytest.param(a_request(b"2/streams"), id="path without a slash"),
        pytest.param(a_request(b"/2/str eams"), id="blank in the path"),
        pytest.param(a_request(b"/2/streams\x00"), id="NUL in the path"),
        pytest.param(a_request(b"/2/streams?names=\xe9"), id="bytes in the query"),
        pytest.param(a_request(b"/2/streams?names=" + b"a," * 100_000), id="URL of 200 kB"),
        pytest.param(a_request(headers=b"no colon\r\n"), id="header without a colon"),
        pytest.param(a_request(headers=b"A B: c\r\n"), id="blank in a header's name"),
        pytest.param(a_request(headers=b"A: b\x01c\r\n"), id="control character in a header"),
        pytest.param(a_request(headers=b"Luna-Request-Id: a\r\n Set-Cookie: b\r\n"), id="folded header"),
        pytest.param(a_request(method=b"POST", headers=b"Content-Length: -1\r\n"), id="negative length"),
        pytest.param(a_request(method=b"POST", headers=b"Content-Length: 1e3\r\n"), id="length that is none"),
        pytest.param(a_request(method=b"POST", headers=b"Content-Length: " + b"9" * 30 + b"\r\n"), id="huge length"),
        pytest.param(
            a_request(method=b"POST", headers=b"Content-Length: 2\r\nContent-Length: 3\r\n", body=b"{}"),
            id="two lengths",
        ),
        pytest.param(
            a_request(
                method=b"POST", headers=b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"
            ),
            id="length and chunks",
        ),
        pytest.param(
            a_request(method=b"POST", headers=b"Transfer-Encoding: chunked\r\n", body=b"xyz\r\n{}\r\n0\r\n\r\n"),
            id="chunk without a size",
        ),
        pytest.param(a_request(method=b"POST", headers=b"Transfer-Encoding: gzip\r\n", body=b"abc"), id="not chunked"),
    ],
)
async def test_what_is_no_http_is_refused_in_the_documented_form(connection: Connection, data: bytes) -> None:
    answer = await connection.ask(data)

    assert refusal(answer) == NO_HTTP
    assert answer.headers["connection"] == "close"
    assert await connection.is_closed()


async def test_headers_without_end_are_refused(connection: Connection) -> None:
    await connection.send(b"GET /version HTTP/1.1\r\nHost: shim\r\nX: ")
    try:
        for _ in range(2 * LONGEST_HEAD // 65536 + 8):
            await connection.send(b"a" * 65536)
        assert refusal(await connection.read()) == NO_HTTP
    except ConnectionError:
        pass  # what was still on its way reset the connection before the answer could be read
    assert await connection.is_closed()


@pytest.mark.parametrize("headers", [1, 20], ids=["one", "twenty"])
async def test_headers_count_together_however_they_come(connection: Connection, headers: int) -> None:
    line = b"X: " + b"a" * ((LONGEST_HEAD - 500) // headers - 5) + b"\r\n"
    assert (await connection.ask(a_request(b"/version", headers=line * headers))).status == 200
    answer = await connection.ask(a_request(b"/version", headers=line * headers + b"Y: " + b"a" * 1000 + b"\r\n"))
    assert refusal(answer) == NO_HTTP
    assert b"the headers are too long" in answer.body
    assert await connection.is_closed()


async def test_a_long_body_is_no_long_head(connection: Connection) -> None:
    body = json.dumps({"stream_ids": [HANDLER] * 1000, "names": ["n" * 128] * 1000}).encode()
    padded = body + b" " * (2 * LONGEST_HEAD)
    for _ in range(3):
        answer = await connection.ask(a_request(b"/2/streams", method=b"DELETE", headers=JSON, body=padded))
        assert answer.status == 204


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(a_request(b"//2/streams"), NOT_FOUND, id="two slashes"),
        pytest.param(a_request(b"/2//streams"), NOT_FOUND, id="two slashes inside"),
        pytest.param(a_request(b"/2/streams/"), NOT_FOUND, id="slash at the end"),
        pytest.param(a_request(b"/2/groups/../streams"), NOT_FOUND, id="dots"),
        pytest.param(a_request(b"/2/Streams"), NOT_FOUND, id="capital letter"),
        pytest.param(a_request(b"/3/streams"), NOT_FOUND, id="version 3"),
        pytest.param(a_request(b"/\xd9\xa2/streams".replace(b"\xd9\xa2", b"%D9%A2")), NOT_FOUND, id="another 2"),
        pytest.param(a_request(b"/2/streams/%00"), NOT_FOUND, id="NUL"),
        pytest.param(a_request(b"/2/streams/%ff"), NOT_FOUND, id="no UTF-8"),
        pytest.param(a_request(b"/2/streams/%zz"), NOT_FOUND, id="no escape"),
        pytest.param(a_request(b"/2/streams/" + b"a" * 30_000), NOT_FOUND, id="long"),
        pytest.param(a_request(b"/" + b"../" * 50 + b"etc/passwd"), NOT_FOUND, id="another file"),
        pytest.param(a_request(b"*", method=b"OPTIONS"), NOT_FOUND, id="asterisk"),
        pytest.param(a_request(method=b"OPTIONS"), NO_METHOD, id="OPTIONS"),
        pytest.param(a_request(method=b"TRACE"), NO_METHOD, id="TRACE"),
        pytest.param(a_request(method=b"PROPFIND"), NO_METHOD, id="PROPFIND"),
        pytest.param(a_request(method=b"DELETE"), NO_METHOD, id="DELETE"),
        pytest.param(a_request(b"/2/streams/processing/feedback"), NO_METHOD, id="GET of what takes POST"),
        pytest.param(a_request(b"/2/streams?names=%00"), BAD_QUERY, id="NUL in a name"),
        pytest.param(a_request(b"/2/streams?page=%D9%A3"), BAD_QUERY, id="another 3"),
        pytest.param(a_request(b"/2/streams?stream_ids=%ff"), BAD_QUERY, id="an id that is no UTF-8"),
    ],
)
async def test_a_connection_outlives_a_refusal(connection: Connection, data: bytes, expected: tuple[int, int]) -> None:
    answer = await connection.ask(data)

    assert refusal(answer) == expected
    assert (await connection.ask(a_request())).status == 200
    if expected == NO_METHOD:
        assert "GET" in answer.headers["allow"] or "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(a_request(b"http://elsewhere/2/streams/count"), id="absolute URL"),
        pytest.param(a_request(b"/2/streams/count#part"), id="fragment"),
        pytest.param(a_request(b"/2/streams/count?&&=&unknown=%ff"), id="queer query"),
        pytest.param(a_request(body=b"x" * 1000, headers=b"Content-Type: text/plain\r\n"), id="GET with a body"),
        pytest.param(a_request(headers=b"X: y\r\n" * 200), id="many headers"),
        pytest.param(a_request(headers=b"X: " + b"y" * 100_000 + b"\r\n"), id="a header of 100 kB"),
        pytest.param(a_request(headers=b"Luna-Request-Id: \xff\xfe\r\n"), id="a request id that is no text"),
        pytest.param(a_request(headers=b"Upgrade: websocket\r\nConnection: Upgrade\r\n"), id="websocket"),
        pytest.param(a_request(b"/2/streams/count?stream_ids=" + b",".join([HANDLER.encode()] * 1000)), id="1000 ids"),
        pytest.param(a_request(b"/2/streams/count?" + b"&".join([b"names=n"] * 3000)), id="3000 parameters"),
    ],
)
async def test_what_is_odd_and_harmless_is_answered(connection: Connection, data: bytes) -> None:
    answer = await connection.ask(data)
    assert (answer.status, json.loads(answer.body)) == (200, {"streams_count": 0})


async def test_head_answers_without_a_body(connection: Connection) -> None:
    answer = await connection.ask(a_request(b"/version", method=b"HEAD"), has_body=False)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert (await connection.ask(a_request(b"/nothing", method=b"HEAD"), has_body=False)).status == 404
    assert (await connection.ask(a_request())).status == 200


async def test_requests_sent_ahead_are_answered_in_their_order(connection: Connection) -> None:
    await connection.send(
        a_request(b"/nothing")
        + a_request(b"/2/streams", method=b"POST", headers=JSON, body=b"{")
        + a_request(b"/2/streams", method=b"POST", headers=JSON, body=json.dumps(v2_body()).encode())
        + a_request()
    )
    assert [(await connection.read()).status for _ in range(3)] == [404, 400, 201]
    assert json.loads((await connection.read()).body) == {"streams_count": 1}


async def test_a_body_in_chunks_is_a_body(connection: Connection) -> None:
    body = json.dumps(v2_body()).encode()
    chunks = (
        b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:300], body[300:])) + b"0\r\n\r\n"
    )
    answer = await connection.ask(
        a_request(b"/2/streams", method=b"POST", headers=JSON + b"Transfer-Encoding: chunked\r\n", body=chunks)
    )
    assert answer.status == 201


async def test_a_body_nobody_reads_is_passed_over(connection: Connection) -> None:
    answer = await connection.ask(a_request(b"/nothing", method=b"POST", headers=JSON, body=b"{" * 300_000))
    assert refusal(answer) == NOT_FOUND
    assert (await connection.ask(a_request())).status == 200


async def test_a_client_that_is_told_to_continue_is_answered(connection: Connection) -> None:
    await connection.send(
        a_request(b"/2/streams", method=b"POST", headers=JSON + b"Content-Length: 2\r\nExpect: 100-continue\r\n")
    )
    await connection.send(b"{}")
    assert refusal(await connection.read()) == (400, 12022)


async def test_a_body_that_is_announced_too_large_is_not_waited_for(connection: Connection) -> None:
    answer = await connection.ask(
        a_request(b"/2/streams", method=b"POST", headers=JSON + b"Content-Length: 999999999\r\n")
    )
    assert refusal(answer) == (413, 12046)


async def test_a_client_that_goes_away_in_the_middle_harms_nobody(shim: Shim, caplog: pytest.LogCaptureFixture) -> None:
    async with connected_to(shim.url) as connection:
        await connection.send(a_request(b"/2/streams", method=b"POST", headers=JSON + b"Content-Length: 50\r\n"))
        await connection.send(b"{")
        await connection.close_writing()
    assert (await shim.http.get("/2/streams/count")).json() == {"streams_count": 0}
    assert "Traceback" not in caplog.text
