"""The inbox over real HTTP: what LUNA's clients send, what a person and a test see of it, and faults on request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.images import a_jpeg, an_image
from support.inboxes import an_inbox

HANDLER = "0bb71ed6-ff21-4b70-bc47-d2ab8f2ee6fc"
EVENTS = f"/6/handlers/{HANDLER}/events"
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with an_inbox(tmp_path / "inbox") as client:
        yield client


async def listed(inbox: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = (await inbox.get("/events", params=query)).json()
    return events


async def test_a_raw_image_becomes_an_event_with_everything_that_was_said(inbox: httpx.AsyncClient) -> None:
    query = {"stream_id": "s-1", "track_id": "t-1", "source": "door", "image_type": "0"}
    answer = await inbox.post(EVENTS, params=query, content=a_jpeg(64, 48), headers={**JPEG, "Luna-Request-Id": "1,r"})
    assert answer.status_code == 201
    assert answer.headers["Luna-Request-Id"] == "1,r"
    body = answer.json()
    assert set(body) == {"images", "events", "filtered_detections"}
    (event,) = await listed(inbox)
    assert set(event) == {
        "event_id", "handler_id", "stream_id", "track_id", "request_id", "received_at", "query", "fields", "images",
    }  # fmt: skip
    assert body["events"][0]["event_id"] == event["event_id"]
    assert (event["handler_id"], event["stream_id"], event["track_id"]) == (HANDLER, "s-1", "t-1")
    assert (event["request_id"], event["query"], event["fields"]) == ("1,r", query, {})
    (image,) = event["images"]
    assert set(image) == {"name", "url", "content_type", "width", "height"}
    assert (image["content_type"], image["width"], image["height"]) == ("image/jpeg", 64, 48)
    picture = await inbox.get(image["url"])
    assert picture.content == a_jpeg(64, 48)
    assert (await inbox.get(body["events"][0]["url"])).json()["event_id"] == event["event_id"]


async def test_a_form_with_several_images_and_json_fields_is_one_event(inbox: httpx.AsyncClient) -> None:
    files = [
        ("image", ("face_0.jpg", a_jpeg(10, 20), "image/jpeg")),
        ("image", ("face_1.png", an_image("PNG", 30, 40), "image/png")),
    ]
    data = {"meta": json.dumps({"detections": [1]}), "user_data": "gate 3"}
    assert (await inbox.post(EVENTS, files=files, data=data)).status_code == 201
    (event,) = await listed(inbox)
    assert event["fields"] == {"meta": {"detections": [1]}, "user_data": "gate 3"}
    assert [(i["name"], i["content_type"], i["width"], i["height"]) for i in event["images"]] == [
        ("face_0.jpg", "image/jpeg", 10, 20),
        ("face_1.png", "image/png", 30, 40),
    ]


async def test_an_image_part_without_a_file_name_is_an_image(inbox: httpx.AsyncClient) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="image"\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert (await inbox.post(EVENTS, content=body % a_jpeg(), headers=headers)).status_code == 201
    assert (await listed(inbox))[0]["images"][0]["width"] == 64


async def test_the_list_is_oldest_first_and_can_be_narrowed(inbox: httpx.AsyncClient) -> None:
    other = EVENTS.replace("0bb71ed6", "1bb71ed6")
    for path, stream in ((EVENTS, "a"), (EVENTS, "b"), (other, "a"), (EVENTS, "a")):
        await inbox.post(path, params={"stream_id": stream}, content=a_jpeg(), headers=JPEG)
    everything = await listed(inbox)
    assert [event["stream_id"] for event in everything] == ["a", "b", "a", "a"]
    assert [event["received_at"] for event in everything] == sorted(event["received_at"] for event in everything)
    assert await listed(inbox, stream_id="a") == [everything[0], everything[2], everything[3]]
    assert await listed(inbox, handler_id=HANDLER, stream_id="a") == [everything[0], everything[3]]
    assert await listed(inbox, limit=2) == everything[:2]
    assert (await inbox.get("/events", params={"limit": "x"})).json()["error_code"] == 12012


async def test_a_repeated_request_is_kept_twice_under_its_id(inbox: httpx.AsyncClient) -> None:
    for _ in range(2):
        await inbox.post(EVENTS, content=a_jpeg(), headers={**JPEG, "Luna-Request-Id": "1,same"})
    assert [event["request_id"] for event in await listed(inbox)] == ["1,same", "1,same"]


async def test_deleting_forgets_events_and_pictures(inbox: httpx.AsyncClient) -> None:
    await inbox.post(EVENTS, content=a_jpeg(), headers=JPEG)
    url = (await listed(inbox))[0]["images"][0]["url"]
    assert (await inbox.delete("/events")).status_code == 204
    assert await listed(inbox) == []
    assert (await inbox.get(url)).status_code == 404


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"content": b"GIF89a no image", "headers": JPEG}, 12025),
        ({"content": a_jpeg()[:-200], "headers": JPEG}, 12025),
        ({"files": {"image": ("a.jpg", b"<html>", "image/jpeg")}}, 12025),
        ({"files": [("image", ("a.jpg", a_jpeg(), "image/jpeg")), ("image", ("b.jpg", b"x", "image/jpeg"))]}, 12025),
        ({"data": {"meta": "{}"}, "files": {"policies": (None, "{}", "application/json")}}, 12030),
        ({"content": b"", "headers": JPEG}, 12030),
        ({"json": {"url": "http://x"}}, 12017),
    ],
    ids=["not decodable", "truncated", "html as jpeg", "one of two", "no image", "empty", "json"],
)
async def test_what_is_no_image_is_refused_in_lunas_form_and_not_kept(
    inbox: httpx.AsyncClient, tmp_path: Path, request_: dict[str, Any], code: int
) -> None:
    answer = await inbox.post(EVENTS, **request_)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error_code", "desc", "detail", "link"}
    assert answer.json()["error_code"] == code
    assert answer.json()["link"].endswith(f"/code-{code}")
    assert await listed(inbox) == []
    assert not list((tmp_path / "inbox" / "pictures").iterdir())


@pytest.mark.parametrize(
    "path", ["/6/handlers/no-uuid/events", "/nothing", "/pictures/../events.jsonl", "/pictures/a/b"]
)
async def test_unknown_pages_answer_in_lunas_form(inbox: httpx.AsyncClient, path: str) -> None:
    answer = await inbox.post(path) if path.startswith("/6") else await inbox.get(path)
    assert (answer.status_code, answer.json()["error_code"]) == (404, 12013)


async def test_a_wrong_method_answers_in_lunas_form(inbox: httpx.AsyncClient) -> None:
    answer = await inbox.put(EVENTS)
    assert (answer.status_code, answer.json()["error_code"]) == (405, 12021)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_that_is_too_large_gets_a_clear_answer(inbox: httpx.AsyncClient, is_chunked: bool) -> None:
    size, piece = 66 * 1024 * 1024, b"\0" * 1024 * 1024

    async def body() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    headers = JPEG if is_chunked else {**JPEG, "Content-Length": str(size)}
    answer = await inbox.post(EVENTS, content=body(), headers=headers)
    assert answer.status_code == 413
    assert "larger than 67108864 bytes" in answer.json()["detail"]


@pytest.mark.parametrize("store", ["/6/images", "/1/buckets/frames/images"])
async def test_frame_stores_keep_images_and_give_them_back(inbox: httpx.AsyncClient, store: str) -> None:
    answer = await inbox.post(store, content=a_jpeg(), headers=JPEG)
    assert answer.status_code == 201
    assert answer.json()["url"] == f"{store}/{answer.json()['image_id']}"
    picture = await inbox.get(answer.json()["url"])
    assert (picture.content, picture.headers["Content-Type"]) == (a_jpeg(), "image/jpeg")
    own = await inbox.put(f"{store}/frame-7", content=an_image("PNG"), headers={"Content-Type": "image/png"})
    assert own.json() == {"image_id": "frame-7", "url": f"{store}/frame-7"}
    await inbox.put(f"{store}/frame-7", content=a_jpeg(8, 8), headers=JPEG)
    assert (await inbox.get(f"{store}/frame-7")).content == a_jpeg(8, 8)
    assert (await inbox.post(store, content=b"x", headers=JPEG)).status_code == 400
    assert (await inbox.get(f"{store}/absent")).status_code == 404


async def test_everything_survives_a_restart_on_the_same_folder(tmp_path: Path) -> None:
    async with an_inbox(tmp_path) as inbox:
        await inbox.post(EVENTS, content=a_jpeg(), headers=JPEG)
        frame = (await inbox.post("/6/images", content=a_jpeg(), headers=JPEG)).json()["url"]
        before = await listed(inbox)
    async with an_inbox(tmp_path) as inbox:
        (event,) = await listed(inbox)
        assert event["event_id"] == before[0]["event_id"]
        assert (await inbox.get(event["images"][0]["url"])).content == a_jpeg()
        assert (await inbox.get(frame)).content == a_jpeg()


async def test_it_fails_as_often_as_it_is_told(inbox: httpx.AsyncClient) -> None:
    await inbox.put("/faults", json={"mode": "fail", "status": 503, "count": 2})
    statuses = [(await inbox.post(EVENTS, content=a_jpeg(), headers=JPEG)).status_code for _ in range(3)]
    assert statuses == [503, 503, 201]
    assert len(await listed(inbox)) == 1
    state = (await inbox.get("/faults")).json()
    assert (state["mode"], state["hits"], state["is_on"]) == ("fail", 2, False)


async def test_a_fault_can_be_limited_to_a_path_and_switched_off(inbox: httpx.AsyncClient) -> None:
    await inbox.put("/faults", json={"mode": "fail", "path": "/1/buckets"})
    assert (await inbox.post(EVENTS, content=a_jpeg(), headers=JPEG)).status_code == 201
    assert (await inbox.post("/1/buckets/f/images", content=a_jpeg(), headers=JPEG)).status_code == 500
    await inbox.put("/faults", json={"mode": "off"})
    assert (await inbox.post("/1/buckets/f/images", content=a_jpeg(), headers=JPEG)).status_code == 201


async def test_a_stalling_inbox_answers_late_and_serves_others_meanwhile(inbox: httpx.AsyncClient) -> None:
    await inbox.put("/faults", json={"mode": "stall", "seconds": 0.5, "count": 1})
    began = time.monotonic()
    stalled = asyncio.create_task(inbox.post(EVENTS, content=a_jpeg(), headers=JPEG))
    while (await inbox.get("/faults")).json()["hits"] == 0:
        pass
    assert await listed(inbox) == []
    assert (await stalled).status_code == 201
    assert time.monotonic() - began >= 0.5
    assert len(await listed(inbox)) == 1


async def test_a_refusing_inbox_closes_the_connection_without_an_answer(
    inbox: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await inbox.put("/faults", json={"mode": "refuse", "count": 1})
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)):
        await inbox.post(EVENTS, content=a_jpeg(), headers=JPEG)
    assert (await inbox.post(EVENTS, content=a_jpeg(), headers=JPEG)).status_code == 201
    assert not caplog.records


@pytest.mark.parametrize("body", [{"mode": "explode"}, {"mode": "fail", "status": 200}, {"mode": "fail", "x": 1}, []])
async def test_a_fault_that_makes_no_sense_is_refused(inbox: httpx.AsyncClient, body: Any) -> None:
    assert (await inbox.put("/faults", json=body)).json()["error_code"] == 12022


async def test_the_page_shows_the_newest_first_and_escapes_what_came_from_outside(inbox: httpx.AsyncClient) -> None:
    empty = await inbox.get("/")
    assert "Nothing has arrived yet" in empty.text
    for source in ("first", "<script>alert(1)</script>"):
        files = {"image": ('"><img src=x>.jpg', a_jpeg(), "image/jpeg")}
        await inbox.post(EVENTS, params={"source": source}, files=files, data={"meta": '"</pre><b>"'})
    page = (await inbox.get("/")).text
    assert page.index("&lt;script&gt;alert(1)") < page.index("<dd>first</dd>")
    assert "<script>alert" not in page
    assert "<img src=x>" not in page
    assert "</pre><b>" not in page


async def test_the_page_needs_nothing_from_elsewhere_and_is_fetched_only_when_it_changed(
    inbox: httpx.AsyncClient,
) -> None:
    page = await inbox.get("/")
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    again = {"If-None-Match": page.headers["ETag"]}
    assert (await inbox.get("/", headers=again)).status_code == 304
    await inbox.post(EVENTS, content=a_jpeg(), headers=JPEG)
    assert (await inbox.get("/", headers=again)).status_code == 200


async def test_health_and_version_are_told(inbox: httpx.AsyncClient) -> None:
    assert (await inbox.get("/healthcheck")).json()["execution_time"] >= 0
    assert (await inbox.get("/version")).json()["Version"]["api"] == 6
