"""A client that knows the API document and nothing of us walks through every operation of both versions.

It speaks through httpx alone; every answer is held against our own document, and the original where there is a copy.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.apiservers import ApiServer
from support.documented_examples import GROUP, GROUP_PATCH, NEW_GROUP, PATCH, command_line_sample, new_streams
from support.judges import Judge, judges
from support.served_shims import a_served_shim
from support.worker import VIDEO_INFO

Json = dict[str, Any]
UNKNOWN = "7acc35cf-a3b2-4f87-8d8b-5496a2782d37"
LINK = "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-"


class Client:
    """A client of one version of the API, written from its document."""

    def __init__(self, http: httpx.Client, api: int) -> None:
        self._http, self.api = http, api
        self.judges: list[Judge] = judges()

    def call(self, method: str, path: str, expected: int, **options: Any) -> httpx.Response:
        """Call an operation of this version; its answer has the expected status and is documented."""
        return self.call_service(method, f"/{self.api}{path}", expected, **options)

    def call_service(self, method: str, path: str, expected: int, **options: Any) -> httpx.Response:
        """Call an operation that has no version."""
        answer = self._http.request(method, path, **options)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        for judge in self.judges:
            judge.check(answer)
        return answer

    def ids(self, **filters: Any) -> set[str]:
        """Return the streams that filters mean; the count is the same."""
        listed = self.call("GET", "/streams", 200, params={"page_size": 1000, **filters}).json()["streams"]
        counted = self.call("GET", "/streams/count", 200, params=filters).json()["streams_count"]
        assert counted == len(listed)
        return {stream["stream_id"] for stream in listed}

    def refused(self, method: str, path: str, status: int, code: int, **options: Any) -> str:
        """Return the detail of a refusal."""
        body = self.call(method, path, status, **options).json()
        assert (body["error_code"], body["link"]) == (code, f"{LINK}{code}")
        return str(body["detail"])


@pytest.fixture(scope="module")
def url(embedded_api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_served_shim(embedded_api, tmp_path_factory.mktemp("shim")) as url:
        yield url


@pytest.fixture(params=[1, 2])
def client(url: str, request: pytest.FixtureRequest) -> Iterator[Client]:
    with httpx.Client(base_url=url, timeout=30) as http:
        yield Client(http, request.param)


def contains(whole: object, part: object) -> bool:
    """Tell whether everything of a body is in an answer; arrays [x, y, w, h] of regions come back as objects."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and contains(whole[name], value) for name, value in part.items())
    if isinstance(part, list) and isinstance(whole, dict):
        return part == [whole["x"], whole["y"], whole["width"], whole["height"]]
    if isinstance(part, list) and isinstance(whole, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part


def test_every_operation_serves_a_client_that_knows_only_the_document(client: Client) -> None:
    ask_the_service(client)
    examples = make_streams(client)
    find_streams(client, examples)
    change_streams(client, examples)
    work(client, examples)
    tidy_up(client, examples)
    for judge in client.judges:
        other = f"/{3 - client.api}/"
        assert {one for one in judge.operations if f" {other}" not in one} == judge.used


def ask_the_service(client: Client) -> None:
    assert client.call_service("GET", "/version", 200).json()["Version"]["api"] == 1
    assert (
        client.call_service("GET", "/healthcheck", 200, params={"include_luna_services": 1}).json()["execution_time"]
        >= 0
    )
    assert "request_count_total" in client.call_service("GET", "/metrics", 200).text
    spec = client.call("GET", "/docs/spec", 200, headers={"Accept": "application/x-yaml"})
    assert spec.text.startswith("openapi: ")
    assert "<html" in client.call("GET", "/docs/spec", 200, headers={"Accept": "text/html"}).text
    assert "html" in client.call("GET", "/docs/dev", 200).headers["content-type"]
    assert isinstance(client.call("GET", "/config", 200, headers={"Accept": "application/json"}).json(), dict)
    assert "[" in client.call("GET", "/config", 200, headers={"Accept": "text/plain"}).text
    client.refused("GET", "/config", 415, 12024, headers={"Accept": "image/png"})
    assert isinstance(client.call("GET", "/plugins", 200).json()["plugins"], list)


def make_streams(client: Client) -> dict[str, Json]:
    """Create what the examples say; return the streams by their ids."""
    bodies = list(new_streams(client.api).values())
    account_id = bodies[0]["account_id"]
    detail = client.refused("POST", "/streams", 400, 39007, json=bodies[0])
    assert detail == f"Group named {GROUP} not found"
    group = client.call("POST", "/groups", 201, json={"account_id": account_id, "group_name": GROUP})
    assert group.headers["Location"] == f"/{client.api}/groups/{group.json()['group_id']}"
    client.refused("POST", "/groups", 409, 39006, json={"account_id": account_id, "group_name": GROUP})
    if client.api == 2:
        bodies.append(command_line_sample())
    made = {}
    for body in bodies:
        created = client.call("POST", "/streams", 201, json=body).json()
        assert created["version"] == 1
        stream = client.call("GET", f"/streams/{created['stream_id']}", 200).json()
        sent = {name: value for name, value in body.items() if name != "group_name"}
        assert contains(stream, sent), (stream, sent)
        assert stream["groups"] == ([GROUP] if "group_name" in body else [])
        made[created["stream_id"]] = stream
    return made


def find_streams(client: Client, streams: dict[str, Json]) -> None:
    one, two, *_ = streams
    first, account_id = streams[one], streams[one]["account_id"]
    assert client.ids(account_id=account_id) == set(streams)
    assert client.ids(stream_ids=f"{one},{two}") == client.ids(stream_ids=[one, two]) == {one, two}
    assert client.ids(names=f"{first['name']},none", account_id=account_id) == set(streams)
    assert one in client.ids(reference=first["data"]["reference"])
    assert client.ids(statuses="pending,pause", account_id=account_id) == set(streams)
    assert client.ids(statuses="done", account_id=account_id) == set()
    made = {stream["create_time"] for stream in streams.values()}
    assert set(streams) == client.ids(create_time__gte=min(made), account_id=account_id)
    assert one not in client.ids(create_time__lt=min(made), account_id=account_id)
    page = {"account_id": account_id, "page_size": 2}
    pages = [client.call("GET", "/streams", 200, params=page | {"page": n}).json()["streams"] for n in (1, 2, 3, 4)]
    assert [stream["stream_id"] for page in pages for stream in page] == list(streams)
    grouped = client.call("GET", "/streams", 200, params={"group_name": GROUP, "page_size": 1000}).json()["streams"]
    assert one in {stream["stream_id"] for stream in grouped}
    if client.api == 1:
        ordered = {"order": "desc", "account_id": account_id, "stream_id__gte": two}
        newest = client.call("GET", "/streams", 200, params=ordered).json()["streams"]
        assert [stream["stream_id"] for stream in newest] == [one for one in reversed(list(streams)) if one >= two]
    assert (
        client.refused("GET", "/streams", 400, 12012, params={"stream_ids": "x"}) == "Bad query parameters 'stream_ids'"
    )
    client.refused("GET", "/streams/count", 400, 12012, params={"stream_ids": "x"})
    assert client.refused("GET", f"/streams/{UNKNOWN}", 404, 39001) == f"Stream with id '{UNKNOWN}' not found"
    for picture in ("frame", "live"):
        client.refused("GET", f"/streams/{one}/preview/handler/{picture}", 404, 39009)


def change_streams(client: Client, streams: dict[str, Json]) -> None:
    one, two, *_ = streams
    account_id = streams[one]["account_id"]
    client.call("PATCH", f"/streams/{one}", 204, json=PATCH)
    assert contains(client.call("GET", f"/streams/{one}", 200).json(), PATCH)
    replaced = client.call("PUT", f"/streams/{one}", 200, json=next(iter(new_streams(client.api).values()))).json()
    assert replaced == {"stream_id": one, "version": 2}
    for body, message in (
        ({}, "Path: '', message: 'at least one field must have a value'"),
        ({"status": "done"}, "Path: 'status', message: 'unexpected value; permitted: 'pending', 'pause', 'cancel''"),
        ({"user_data": 1}, "Path: 'user_data', message: 'extra fields not permitted'"),
    ):
        detail = client.refused("PATCH", f"/streams/{two}", 400, 12022, json=body)
        assert detail == f"Failed to validate input json. {message}"
    change_groups(client, account_id, two)


def change_groups(client: Client, account_id: str, stream_id: str) -> None:
    account = {"account_id": account_id}
    made = client.call("POST", "/groups", 201, json=NEW_GROUP).json()
    client.call("PATCH", f"/groups/{made['group_id']}", 204, json=GROUP_PATCH)
    assert contains(client.call("GET", f"/groups/{made['group_id']}", 200).json(), NEW_GROUP | GROUP_PATCH)
    client.call("DELETE", f"/groups/{made['group_id']}", 204, params={"account_id": NEW_GROUP["account_id"]})
    detail = client.refused("GET", f"/groups/{made['group_id']}", 404, 39008)
    assert detail == f"Group with id {made['group_id']} not found"
    groups = client.call("GET", "/groups", 200, params=account | {"group_names": f"{GROUP},other"}).json()["groups"]
    assert [group["group_name"] for group in groups] == [GROUP]
    assert client.call("GET", "/groups/count", 200, params=account).json() == {"groups_count": 1}
    link = {"action": "detach", "stream_ids": [stream_id], "group_id": groups[0]["group_id"]}
    for action, expected in (("detach", []), ("attach", [GROUP])):
        client.call("PATCH", "/linker", 204, json=link | {"action": action}, params=account)
        assert client.call("GET", f"/streams/{stream_id}", 200).json()["groups"] == expected


def work(client: Client, streams: dict[str, Json]) -> None:
    filters = {"stream_ids": list(streams), "group_names": [GROUP]}
    looked = {"limit": 10, "stream_ids": ",".join(streams), "group_names": GROUP}
    waiting = client.call("GET", "/streams/processing/queue", 200, params=looked).json()["streams"]
    client.refused("GET", "/streams/processing/queue", 400, 12012, params={"limit": "x"})
    assert client.refused("POST", "/streams/processing/queue", 400, 12022, json={"limit": 1}).endswith(
        "Path: 'filters', message: 'field required'"
    )
    taken = client.call("POST", "/streams/processing/queue", 200, json={"filters": filters, "limit": 10}).json()[
        "streams"
    ]
    assert [one["stream_id"] for one in taken] == [one["stream_id"] for one in waiting]
    ends = {"videofile": "done", "images": "failure"}
    reports = [
        {
            "stream_id": stream["stream_id"],
            "version": stream["version"],
            "status": ends.get(stream["data"]["type"], "in_progress"),
            "error": "no such folder" if stream["data"]["type"] == "images" else None,
            "video_info": VIDEO_INFO,
        }
        for stream in taken
    ]
    gone = reports[0] | {"stream_id": UNKNOWN}
    told = client.call("POST", "/streams/processing/feedback", 200, json={"streams": [*reports, gone]}).json()[
        "streams"
    ]
    assert told["modified"] == [{"stream_id": UNKNOWN, "status": "not_found", "version": 0}]
    assert len(told["unmodified"]) == len(taken) == 4
    client.refused("POST", "/streams/processing/feedback", 400, 12022, json={})
    finished = [report["stream_id"] for report in reports if report["status"] != "in_progress"]
    for stream_id in finished:
        detail = client.refused("PATCH", f"/streams/{stream_id}", 400, 39005, json={"status": "cancel"})
        assert detail == f"Processing of streams with id '{stream_id}' is finished and cannot be cancelled"
    wanted = {"stream_ids": ",".join(finished), "statuses": "done,failure", "targets": "stream_id,status,error"}
    read_logs(client, wanted, {"done", "failure"})


def read_logs(client: Client, wanted: Json, expected: set[str]) -> None:
    """Read the log until what happened stands there: it is written a moment later."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        logs = client.call("GET", "/streams/logs", 200, params=wanted).json()["logs"]
        if {entry["status"] for entry in logs} == expected:
            assert all(set(entry) == {"stream_id", "status", "error"} for entry in logs)
            return
        time.sleep(0.05)
    raise AssertionError(f"the log does not tell of {expected}: {logs}")


def tidy_up(client: Client, streams: dict[str, Json]) -> None:
    one, two, *others = streams
    deleted = client.call("DELETE", "/streams/logs", 200, params={"log_time__lt": "2021-09-21T19:11:41.674Z"}).json()
    assert deleted == {"deleted_count": 0}
    client.call("DELETE", f"/streams/{one}", 204, params={"account_id": streams[one]["account_id"]})
    client.refused("DELETE", f"/streams/{one}", 404, 39001)
    assert client.refused("DELETE", "/streams", 400, 12022, json={"faces": []}).endswith("('faces' was unexpected)'")
    client.call("DELETE", "/streams", 204, json={"stream_ids": [two, UNKNOWN], "names": [streams[one]["name"]]})
    assert client.ids(stream_ids=",".join(streams)) == set()
    assert others
