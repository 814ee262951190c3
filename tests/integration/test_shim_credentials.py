"""Credentials are seen in a stream as its owner reads it and a worker gets it, in Secrets, and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest

from luna_streams.naming import GROUP
from support.apiservers import ApiServer
from support.builders import ACCOUNT, HANDLER, OTHER_ACCOUNT, v1_body, v2_body
from support.served_shims import a_served_shim

MARK = re.compile(r"marked\d\d", re.IGNORECASE)
"""Part of every secret below, in whatever form it is written."""

PLAIN = "rtsp://marked01:marked02@camera.example/live"
ENCODED = "rtsp://marked03%40site:%6Darked04marked05%2F@camera.example/live"
BARE = "http://marked06:marked/07?#marked08@camera.example:8080/live"
JWT = "eyJtYXJrZWQwOQ.eyJtarked09.marked10"
KINDS = [
    "api/v1/events", "api/v1/configmaps", "apis/coordination.k8s.io/v1/leases",
    f"apis/{GROUP}/v1alpha1/streams", f"apis/{GROUP}/v1alpha1/streamgroups",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def http(embedded_api: ApiServer, folder: Path) -> Iterator[httpx.Client]:
    with a_served_shim(embedded_api, folder, "--log-level", "debug") as url, httpx.Client(base_url=url) as http:
        yield http


def with_secrets(api: int, reference: str, token: str) -> dict[str, Any]:
    """Return a stream with secrets wherever the API has a place for them."""
    data = {"type": "tcp", "reference": reference}
    if api == 1:
        handler = v1_body()["event_handler"] | {"authorization": {"token": token}}
        return v1_body(name="secret", data=data, event_handler=handler)
    items = [
        {"event_handler": {"handler_id": HANDLER, "frame_store": None, "authorization": {"token": f"{token}{index}"}}}
        for index in range(2)
    ]
    return v2_body(name="secret", data=data | {"analytics": items})


def refused_bodies(api: int) -> Iterator[bytes]:
    """Yield bodies that are wrong, beside or within a secret."""
    good = with_secrets(api, PLAIN, JWT)
    text = json.dumps(good)
    yield text.replace("rtsp:", "marked11:").encode()
    yield text.replace("camera", "c" * 600).encode()
    for before in (" ", "\t", "\n", "\u00a0", "\u200b", "'", "#"):
        yield json.dumps(with_secrets(api, before + PLAIN, JWT)).encode()
    yield text.replace(f'"{JWT}', f'["{JWT}').replace('"}', '"]}', 1).encode()
    yield text[: text.index("marked02") + 4].encode()
    yield json.dumps(good | {"extra": JWT}).encode()
    yield json.dumps(good | {"account_id": OTHER_ACCOUNT, "group_name": "unknown"}).encode()
    yield json.dumps(good | {"data": PLAIN}).encode()
    yield json.dumps(good | {"status": PLAIN}).encode()
    for name, value in (("token", {"a": JWT}), ("account_id", JWT)):
        handler = {"handler_id": HANDLER, "frame_store": PLAIN, "authorization": {name: value}}
        yield json.dumps(
            v2_body(data={"type": "tcp", "reference": PLAIN, "analytics": [{"event_handler": handler}]})
        ).encode()
        yield json.dumps(
            v1_body(event_handler=v1_body()["event_handler"] | {"origin": PLAIN, "authorization": {name: value}})
        ).encode()


def errors_of(http: httpx.Client, stream_id: str) -> Iterator[httpx.Response]:
    """Yield answers to requests that are refused."""
    headers = {"Content-Type": "application/json"}
    for api in (1, 2):
        for body in refused_bodies(api):
            yield http.post(f"/{api}/streams", content=body, headers=headers)
            yield http.put(f"/{api}/streams/{stream_id}", content=body, headers=headers)
        yield http.get(f"/{api}/streams", params={"reference": PLAIN * 20})
        for url in (PLAIN.replace("rtsp", "http"), "http://h/x " + PLAIN):
            report = {"stream_id": stream_id, "status": "in_progress", "version": 1, "error": None, "video_info": None}
            report["preview"] = {"live": {"url": url}}
            yield http.post(f"/{api}/streams/processing/feedback", json={"streams": [report]})
        yield http.get(f"/{api}/streams/{PLAIN}")
        yield http.get(f"/{api}/streams", params={"account_id": JWT})
        yield http.patch(f"/{api}/streams/{stream_id}", json={"status": PLAIN})
        report = {"stream_id": stream_id, "status": PLAIN, "version": 1, "error": PLAIN, "video_info": None}
        yield http.post(f"/{api}/streams/processing/feedback", json={"streams": [report]})
        authorized = {"Authorization": f"Bearer {JWT}"}
        yield http.post(f"/{api}/streams/processing/queue", json={"filters": {}, "limit": 1}, headers=authorized)


def fail(http: httpx.Client, stream_id: str) -> None:
    """Take the stream as a worker does, and fail it with all it knows in the error."""
    taken = http.post("/2/streams/processing/queue", json={"filters": {"stream_ids": [stream_id]}, "limit": 1}).json()
    stream = taken["streams"][0]
    assert len(MARK.findall(json.dumps(stream))) >= 2, "a worker gets what it needs"
    reference = stream["data"]["reference"]
    token = stream["data"]["analytics"][0]["event_handler"]["authorization"]["token"]
    user_info = reference.partition("://")[2].rpartition("@")[0]
    password = user_info.partition(":")[2]
    error = f"cannot open {reference}; told LUNA PLATFORM with Bearer {JWT}, in vain; {token}; {user_info}@cam:1; "
    error += f"{password} or {unquote(password)} or {quote(unquote(password), safe='')} is wrong"
    report = {
        "stream_id": stream_id,
        "status": "failure",
        "version": stream["version"],
        "error": error,
        "video_info": None,
    }
    told = http.post("/2/streams/processing/feedback", json={"streams": [report]}).json()["streams"]
    assert [one["status"] for one in told["unmodified"]] == ["failure"]


def test_credentials_are_seen_by_whom_they_are_for_and_by_nobody_else(
    http: httpx.Client, folder: Path, embedded_api: ApiServer
) -> None:
    seen: dict[str, str] = {}
    for api, reference in ((1, PLAIN), (2, ENCODED), (2, BARE), (1, ENCODED)):
        created = http.post(f"/{api}/streams", json=with_secrets(api, reference, JWT))
        assert created.status_code == 201, created.text
        stream_id = created.json()["stream_id"]
        fail(http, stream_id)
        shown = http.get(f"/2/streams/{stream_id}").json()
        assert shown["data"]["reference"] == reference
        assert shown["last_error"].startswith("cannot open ")
        assert shown["last_error"].endswith("*** or *** or *** is wrong")
        seen[f"last_error of {reference}"] = shown["last_error"]
        assert http.get("/2/streams/count", params={"reference": reference}).json()["streams_count"] >= 1

        for number, answer in enumerate(errors_of(http, stream_id)):
            what = f"{number}: {answer.request.method} {answer.request.url.path[:40]}"
            assert 400 <= answer.status_code < 500, f"{what} {answer.text}"
            seen[what + answer.text[:150]] = answer.text
        replaced = http.put(f"/{api}/streams/{stream_id}", json=with_secrets(api, BARE, f"{JWT}new"))
        assert replaced.status_code == 200
        fail(http, stream_id)

    seen |= {path: http.get(path).text for path in ("/metrics", "/healthcheck", "/2/config", "/2/streams/logs")}
    with httpx.Client(base_url=embedded_api.url, **embedded_api.client_options()) as kube:
        seen |= {kind: kube.get(f"/{kind}").raise_for_status().text for kind in KINDS}
        assert MARK.search(kube.get("/api/v1/secrets").text) is None, "Secrets hold them in base64"
    assert (
        http.request("DELETE", "/2/streams", params={"account_id": ACCOUNT}, json={"names": ["secret"]}).status_code
        == 204
    )
    for file in filter(Path.is_file, folder.rglob("*")):
        seen[f"{file.relative_to(folder)} after the run"] = file.read_bytes().decode(errors="replace")

    assert "shim.log after the run" in seen
    assert len(json.loads(seen[f"apis/{GROUP}/v1alpha1/streams"])["items"]) >= 4
    leaks = {where: found[0] for where, text in seen.items() if (found := MARK.search(text))}
    assert leaks == {}
