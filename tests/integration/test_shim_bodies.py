"""Bodies that are no JSON, hardly JSON, of another kind, or far too large: each has its documented error."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from support.apiservers import ApiServer
from support.builders import HANDLER, v2_body
from support.served_shims import a_served_shim

NO_JSON, EMPTY, WRONG, BAD_TYPE, OTHER_TYPE = 12027, 12030, 12022, 12017, 12023
GOOD = json.dumps(v2_body())


@pytest.fixture(scope="module")
def http(embedded_api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("shim")
    with a_served_shim(embedded_api, folder) as url, httpx.Client(base_url=url, timeout=60) as http:
        yield http
        assert "Traceback" not in (folder / "shim.log").read_text()


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Return code and detail of a refusal in the documented form."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert set(body) == {"error_code", "desc", "detail", "link"}
    assert (body["desc"], body["link"].rpartition("-")[2]) == ("Bad/incomplete input data", str(body["error_code"]))
    return body["error_code"], body["detail"]


BODIES = [
    pytest.param(b"", EMPTY, id="empty"),
    pytest.param(b" \r\n\t", EMPTY, id="blanks"),
    pytest.param(b"{", NO_JSON, id="open object"),
    pytest.param(b"nul", NO_JSON, id="half a word"),
    pytest.param(b"{'a': 1}", NO_JSON, id="single quotes"),
    pytest.param(b'{"a": 1,}', NO_JSON, id="comma at the end"),
    pytest.param(b"{}{}", NO_JSON, id="two documents"),
    pytest.param(b"// a\n{}", NO_JSON, id="comment"),
    pytest.param(b'{"a": "\n"}', NO_JSON, id="line break in a text"),
    pytest.param(b'{"a": NaN}', NO_JSON, id="NaN"),
    pytest.param(b'{"a": -Infinity}', NO_JSON, id="infinity"),
    pytest.param(b'{"a": 0x10}', NO_JSON, id="hexadecimal"),
    pytest.param(b'{"a": 010}', NO_JSON, id="octal"),
    pytest.param(b'{"a": ' + b"9" * 100_000 + b"}", NO_JSON, id="number of 100,000 digits"),
    pytest.param(b"[" * 100_000, NO_JSON, id="deep list"),
    pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, NO_JSON, id="deep object"),
    pytest.param(b"\xef\xbb\xbf" + GOOD.encode(), NO_JSON, id="byte order mark"),
    pytest.param(GOOD.encode("utf-16"), NO_JSON, id="UTF-16"),
    pytest.param(GOOD.encode("utf-32"), NO_JSON, id="UTF-32"),
    pytest.param(b'{"name": "\xff"}', NO_JSON, id="no UTF-8"),
    pytest.param(b'{"name": "\x80"}', NO_JSON, id="lone continuation"),
    pytest.param(b'{"name": "\xed\xa0\x80"}', NO_JSON, id="surrogate in UTF-8"),
    pytest.param(b'{"name": "\\ud800"}', NO_JSON, id="lone surrogate"),
    pytest.param(b"account_id=" + HANDLER.encode(), NO_JSON, id="a form"),
    pytest.param(b"\x1f\x8b\x08\x00\x00", NO_JSON, id="gzip"),
    pytest.param(b"\x81\xa1a\x01", NO_JSON, id="msgpack"),
    pytest.param(b"null", WRONG, id="null"),
    pytest.param(b"[]", WRONG, id="list"),
    pytest.param(b'"a"', WRONG, id="text"),
    pytest.param(b"1e999", WRONG, id="number beyond all"),
    pytest.param(b'{"account_id": "a\\u0000"}', WRONG, id="NUL"),
    pytest.param(b"[" + b"1," * 500_000 + b"1]", WRONG, id="long list"),
    pytest.param(b"{" + b",".join(b'"%d":1' % n for n in range(100_000)) + b"}", WRONG, id="many fields"),
]


@pytest.mark.parametrize(("body", "code"), BODIES)
def test_what_cannot_be_read_is_refused(http: httpx.Client, body: bytes, code: int) -> None:
    answer = http.post("/2/streams", content=body, headers={"Content-Type": "application/json"})
    refused, detail = refusal(answer)
    assert refused == code
    assert len(detail) < 1000
    if code == NO_JSON:
        assert detail.startswith("Failed to validate input json. Message: ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"/1/streams/{HANDLER}"),
        ("PATCH", f"/2/streams/{HANDLER}"),
        ("DELETE", "/1/streams"),
        ("POST", "/2/streams/processing/queue"),
        ("POST", "/1/streams/processing/feedback"),
        ("POST", "/1/groups"),
        ("PATCH", f"/2/groups/{HANDLER}"),
        ("PATCH", "/1/linker"),
    ],
)
def test_every_operation_with_a_body_says_what_is_wrong_with_it(http: httpx.Client, method: str, path: str) -> None:
    def code(content: bytes, media_type: str = "application/json") -> int:
        return refusal(http.request(method, path, content=content, headers={"Content-Type": media_type}))[0]

    assert code(b"") == EMPTY
    assert code(b"{") == NO_JSON
    assert code(b'{"unknown": 1}') == WRONG
    assert code(b"{}", "text/plain") == OTHER_TYPE
    assert code(b"{}", "application/json; charset=utf-16") == BAD_TYPE


@pytest.mark.parametrize(
    ("media_type", "code"),
    [
        ("application/json", WRONG),
        ("Application/JSON", WRONG),
        ("application/json;charset=UTF-8", WRONG),
        ('application/json; charset="utf-8"', WRONG),
        ("application/json;", WRONG),
        ("application/json; charset=utf-16", BAD_TYPE),
        ("application/json; charset=nonsense", BAD_TYPE),
        ("json", BAD_TYPE),
        ("", BAD_TYPE),
        ("text/plain", OTHER_TYPE),
        ("text/json", OTHER_TYPE),
        ("application/vnd.api+json", OTHER_TYPE),
        ("application/x-www-form-urlencoded", OTHER_TYPE),
        ("multipart/form-data; boundary=a", OTHER_TYPE),
        ("application/msgpack", OTHER_TYPE),
        ("*/*", OTHER_TYPE),
        ("/", OTHER_TYPE),
    ],
)
def test_a_body_is_json_by_its_content_type(http: httpx.Client, media_type: str, code: int) -> None:
    assert refusal(http.post("/1/streams", content=b"{}", headers={"Content-Type": media_type}))[0] == code


def test_a_body_without_a_content_type_is_json(http: httpx.Client) -> None:
    answer = http.post("/2/streams", content=GOOD)
    assert "content-type" not in answer.request.headers
    assert answer.status_code == 201


def test_of_a_field_that_is_there_twice_the_last_counts(http: httpx.Client) -> None:
    body = GOOD[:-1] + ', "name": "first", "name": "second"}'
    created = http.post("/2/streams", content=body, headers={"Content-Type": "application/json"})
    assert http.get(f"/2/streams/{created.json()['stream_id']}").json()["name"] == "second"


def test_texts_come_back_as_they_were_sent(http: httpx.Client) -> None:
    name, description = "\u202e\U0001f600é\u0301 \t\n'\"\\<b>%00${x}", "\ufffe" * 512
    created = http.post("/2/streams", json=v2_body(name=name, description=description)).json()
    stream = http.get(f"/2/streams/{created['stream_id']}").json()
    assert (stream["name"], stream["description"]) == (name, description)
    found = http.get("/2/streams", params={"names": name}).json()["streams"]
    assert [one["stream_id"] for one in found] == [created["stream_id"]]


def test_a_thousand_ids_are_the_most(http: httpx.Client) -> None:
    for method, path, body in (
        ("DELETE", "/2/streams", {"stream_ids": [HANDLER] * 1000, "names": ["x" * 128] * 1000}),
        ("POST", "/2/streams/processing/queue", {"filters": {"stream_ids": [HANDLER] * 1000}, "limit": 1}),
    ):
        assert http.request(method, path, json=body).status_code in (200, 204)
    for path, body in (
        ("/2/streams", {"stream_ids": [HANDLER] * 1001}),
        ("/1/streams", {"names": ["x"] * 1001}),
    ):
        field = next(iter(body))
        assert refusal(http.request("DELETE", path, json=body)) == (
            WRONG,
            f"Failed to validate input json. Path: '{field}', message: 'ensure this value has at most 1000 items'",
        )
