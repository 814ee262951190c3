"""Groups and the linker over REST, against the embedded and a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from luna_kube import STREAM_GROUPS, Json
from luna_streams import naming
from support.apiservers import ApiServer
from support.builders import ACCOUNT, HANDLER, OTHER_ACCOUNT, v2_body
from support.shims import Deployment, Shim, a_deployment
from support.waiting import PATIENCE_S, eventually
from support.worker import DocumentedWorker


@pytest.fixture
async def deployment(any_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(any_api) as deployment:
        yield deployment


@pytest.fixture
async def shim(deployment: Deployment) -> AsyncIterator[Shim]:
    async with deployment.shim() as shim:
        yield shim


async def make(shim: Shim, name: str, account_id: str = ACCOUNT, **fields: Any) -> str:
    answer = await shim.http.post("/2/groups", json={"account_id": account_id, "group_name": name, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["group_id"])


async def link(shim: Shim, action: str, group_id: str, *stream_ids: str, **params: str) -> int:
    body = {"action": action, "group_id": group_id, "stream_ids": stream_ids}
    return (await shim.http.patch("/2/linker", json=body, params=params)).status_code


async def groups_of(shim: Shim, stream_id: str) -> list[str]:
    return list((await shim.read(stream_id))["groups"])


@pytest.mark.parametrize("api", [1, 2])
async def test_a_group_is_created_read_described_and_deleted(shim: Shim, deployment: Deployment, api: int) -> None:
    body = {"account_id": ACCOUNT, "group_name": "doors", "description": "all doors"}
    answer = await shim.http.post(f"/{api}/groups", json=body)
    group_id = answer.json()["group_id"]
    assert answer.json() == {"group_id": group_id, "group_name": "doors"}
    assert answer.headers["Location"] == f"/{api}/groups/{group_id}"

    url = f"/{api}/groups/{group_id}"
    group = (await shim.http.get(url)).json()
    assert group == body | {"group_id": group_id, "create_time": group["create_time"]}
    assert (await shim.http.patch(url, json={"description": "some doors"})).status_code == 204
    assert (await shim.http.get(url)).json()["description"] == "some doors"
    stored = await deployment.kube.get(STREAM_GROUPS.at(deployment.namespace, group_id))
    assert stored["spec"]["description"] == "some doors"
    assert (await shim.http.delete(url)).status_code == 204
    gone = await shim.http.get(url)
    assert (gone.status_code, gone.json()["detail"]) == (404, f"Group with id {group_id} not found")
    assert gone.json()["error_code"] == 39008


async def test_a_name_is_unique_within_its_account(shim: Shim) -> None:
    await make(shim, "doors")
    await make(shim, "doors", OTHER_ACCOUNT)
    answer = await shim.http.post("/1/groups", json={"account_id": ACCOUNT, "group_name": "doors"})
    assert (answer.status_code, answer.json()["error_code"]) == (409, 39006)
    assert answer.json()["detail"] == "Group named 'doors' already exists"


async def test_of_many_that_create_one_group_at_once_one_succeeds(shim: Shim) -> None:
    body = {"account_id": ACCOUNT, "group_name": "doors"}
    answers = await asyncio.gather(*(shim.http.post("/2/groups", json=body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_groups_are_listed_and_counted_by_filters(shim: Shim) -> None:
    ids = {name: await make(shim, name) for name in ("a", "b", "c")}
    await make(shim, "d", OTHER_ACCOUNT)

    async def names(**params: Any) -> list[str]:
        listed = (await shim.http.get("/1/groups", params=params)).json()["groups"]
        counted = (await shim.http.get("/2/groups/count", params=params)).json()["groups_count"]
        assert "page" in params or counted == len(listed)
        return sorted(group["group_name"] for group in listed)

    assert await names() == ["a", "b", "c", "d"]
    assert await names(account_id=OTHER_ACCOUNT) == ["d"]
    assert await names(group_names="a,d") == ["a", "d"]
    assert await names(group_ids=[ids["b"], ids["c"]], group_names="a,b") == ["b"]
    assert len(await names(page=2, page_size=3)) == 1


async def test_groups_of_another_account_are_not_found(shim: Shim) -> None:
    group_id = await make(shim, "doors")
    for method in ("GET", "DELETE", "PATCH"):
        body = {"description": ""} if method == "PATCH" else None
        answer = await shim.http.request(
            method, f"/2/groups/{group_id}", params={"account_id": OTHER_ACCOUNT}, json=body
        )
        assert answer.json()["error_code"] == 39008
    assert await link(shim, "attach", group_id, account_id=OTHER_ACCOUNT) == 404


async def test_streams_are_attached_and_detached_without_touching_their_work(shim: Shim) -> None:
    group_id, other_id = await make(shim, "doors"), await make(shim, "gates")
    first, second = await shim.create(v2_body()), await shim.create(v2_body())
    foreign = await shim.create(v2_body(account_id=OTHER_ACCOUNT))
    worker = DocumentedWorker(shim.http)
    await worker.take()

    assert await link(shim, "attach", group_id, first, second, foreign, HANDLER, first) == 204
    assert await link(shim, "attach", group_id, first) == 204
    assert await link(shim, "attach", other_id, first) == 204
    assert await groups_of(shim, first) == ["doors", "gates"]
    assert await groups_of(shim, second) == ["doors"]
    assert await groups_of(shim, foreign) == []

    assert await link(shim, "detach", group_id, first, HANDLER) == 204
    assert await groups_of(shim, first) == ["gates"]
    assert (await worker.report())["modified"] == []


async def test_deleting_a_group_removes_it_from_its_streams(shim: Shim) -> None:
    group_id, kept_id = await make(shim, "doors"), await make(shim, "gates")
    streams = [await shim.create(v2_body(group_name="doors", group_id=kept_id)) for _ in range(3)]

    assert (await shim.http.delete(f"/2/groups/{group_id}")).status_code == 204

    assert [await groups_of(shim, stream_id) for stream_id in streams] == [["gates"]] * 3
    answer = await shim.http.post("/2/streams", json=v2_body(group_name="doors"))
    assert answer.json()["error_code"] == 39007


async def test_a_group_made_by_kubectl_is_a_group(shim: Shim, deployment: Deployment) -> None:
    body = {
        "apiVersion": naming.API_VERSION,
        "kind": "StreamGroup",
        "metadata": {"namespace": deployment.namespace, "name": "doors"},
        "spec": {"accountId": ACCOUNT, "groupName": "doors"},
    }
    await deployment.kube.create(STREAM_GROUPS.within(deployment.namespace), body)
    group_id = naming.group_id(deployment.namespace, "doors")
    async with asyncio.timeout(PATIENCE_S):
        while (await shim.http.get(f"/2/groups/{group_id}")).status_code != 200:
            await asyncio.sleep(0.02)
    stream_id = await shim.create(v2_body(group_id=group_id))
    assert await groups_of(shim, stream_id) == ["doors"]
    answer = await shim.http.post("/2/groups", json={"account_id": ACCOUNT, "group_name": "doors"})
    assert answer.status_code == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "path_of_fault", "message"),
    [
        ("POST", "/1/groups", {"group_name": "a"}, "account_id", "field required"),
        (
            "POST",
            "/1/groups",
            {"account_id": ACCOUNT, "group_name": "a b"},
            "group_name",
            'string does not match regex "^[a-zA-Z0-9_\\-]{1,128}$"',
        ),
        ("PATCH", f"/1/groups/{HANDLER}", {}, "description", "field required"),
        (
            "PATCH",
            "/1/linker",
            {"action": "join", "stream_ids": [], "group_id": HANDLER},
            "action",
            "unexpected value; permitted: 'attach', 'detach'",
        ),
        (
            "PATCH",
            "/1/linker",
            {"action": "attach", "stream_ids": [HANDLER] * 1001, "group_id": HANDLER},
            "stream_ids",
            "ensure this value has at most 1000 items",
        ),
    ],
)
async def test_wrong_bodies_are_refused(
    shim: Shim, method: str, path: str, body: Json, path_of_fault: str, message: str
) -> None:
    answer = await shim.http.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, 12022)
    detail = f"Failed to validate input json. Path: '{path_of_fault}', message: '{message}'"
    assert answer.json()["detail"] == detail


async def test_groups_that_manifests_made_under_one_name_are_told_apart(shim: Shim, deployment: Deployment) -> None:
    """REST makes no second one; a name means the oldest, and streams stay as long as a group has the name."""
    ids: list[str] = []
    for name in ("z-first", "a-second"):
        await deployment.kube.create(
            STREAM_GROUPS.within(deployment.namespace),
            {
                "apiVersion": naming.API_VERSION,
                "kind": "StreamGroup",
                "metadata": {"name": name},
                "spec": {"accountId": ACCOUNT, "groupName": "doors", "description": name},
            },
        )
        ids.append(naming.group_id(deployment.namespace, name))
        await eventually(lambda: len(list(shim.service.store.groups)) == len(ids), "the shim knows the group")
        await asyncio.sleep(1.1)  # timestamps of the API server count whole seconds
    refused = await shim.http.post("/2/groups", json={"account_id": ACCOUNT, "group_name": "doors"})
    assert (refused.status_code, refused.json()["error_code"]) == (409, 39006)
    for _ in range(2):
        meant = shim.service.store.groups.named(ACCOUNT, "doors")
        assert meant is not None
        assert meant.group_id == ids[0]
        await deployment.kube.patch(
            STREAM_GROUPS.at(deployment.namespace, "z-first"), {"spec": {"description": "changed"}}
        )
        await eventually(lambda: shim.service.store.groups.get(ids[0]).spec.description == "changed")  # type: ignore[union-attr]

    stream_id = await shim.create(v2_body(group_name="doors"))
    assert (await shim.http.delete(f"/2/groups/{ids[0]}")).status_code == 204
    assert await groups_of(shim, stream_id) == ["doors"]
    assert (await shim.http.delete(f"/2/groups/{ids[1]}")).status_code == 204
    assert await groups_of(shim, stream_id) == []
    assert await make(shim, "doors") != ids[0]
