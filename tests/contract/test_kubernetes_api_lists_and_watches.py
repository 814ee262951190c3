"""The contract of a Kubernetes API server: selecting, paging and watching. See `test_kubernetes_api`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.apiservers import ApiServer, unique
from support.kubernetes_api import (
    ALL_CAMERAS,
    AS_TABLE,
    CAMERAS,
    CONFIGMAPS,
    DEFINITIONS,
    PODS,
    Api,
    a_camera,
    a_config_map,
    a_definition,
    a_pod,
    connected,
    define_cameras,
    eventually,
    is_established,
)


@pytest.fixture
async def api(any_api: ApiServer) -> AsyncIterator[Api]:
    async with connected(any_api) as client:
        await define_cameras(client)
        yield client


# --- lists --------------------------------------------------------------------------------------------------------


async def test_a_list_names_its_kind_and_version(api: Api) -> None:
    listed = (await api.get(CAMERAS)).document
    assert (listed["kind"], listed["apiVersion"]) == ("CameraList", "contract.luna.test/v1")
    assert listed["metadata"]["resourceVersion"].isdigit()


async def test_a_list_is_sorted_by_name(api: Api) -> None:
    group = unique()
    for letter in "bca":
        await api.create(CAMERAS, a_camera(f"{group}-{letter}", labels={"group": group}))
    assert (await api.get(CAMERAS, labelSelector=f"group={group}")).names == [f"{group}-{each}" for each in "abc"]


async def test_a_resource_that_nobody_defined_is_not_found(api: Api) -> None:
    assert (await api.get("/apis/contract.luna.test/v1/namespaces/default/doors")).status == 404
    assert (await api.get("/apis/nobody.test/v1/things")).status == 404


@pytest.fixture
async def five(api: Api) -> str:
    """Five cameras, numbered, the odd ones marked; the value of their common label is returned."""
    group = unique()
    for index in range(5):
        marked = {"odd": "yes"} if index % 2 else {}
        labels = {"group": group, "number": str(index), **marked}
        await api.create(CAMERAS, a_camera(f"{group}-{index}", spec={"mode": "night"} if index else {}, labels=labels))
    return group


@pytest.mark.parametrize(
    ("selector", "numbers"),
    [
        ("", "01234"),
        ("number=3", "3"),
        ("number==3", "3"),
        ("number!=3", "0124"),
        ("number in (1,2)", "12"),
        ("number notin (1, 2)", "034"),
        ("odd", "13"),
        ("!odd", "024"),
        ("odd,number!=1", "3"),
        ("odd notin (yes)", "024"),
    ],
)
async def test_labels_select(api: Api, five: str, selector: str, numbers: str) -> None:
    whole = ",".join(filter(None, (f"group={five}", selector)))
    assert (await api.get(CAMERAS, labelSelector=whole)).names == [f"{five}-{number}" for number in numbers]


@pytest.mark.parametrize("selector", ["a in b", "=x", "a=b=c", "a in (x", "a,,b", "/=b"])
async def test_a_selector_that_makes_no_sense_is_refused(api: Api, selector: str) -> None:
    assert (await api.get(CAMERAS, labelSelector=selector)).status == 400


async def test_names_and_declared_fields_can_be_selected(api: Api, five: str) -> None:
    assert (await api.get(CAMERAS, fieldSelector=f"metadata.name={five}-1")).names == [f"{five}-1"]
    assert (await api.get(ALL_CAMERAS, fieldSelector=f"metadata.name={five}-1")).names == [f"{five}-1"]
    others = await api.get(CAMERAS, labelSelector=f"group={five}", fieldSelector=f"metadata.name!={five}-1")
    assert len(others.names) == 4
    night = await api.get(CAMERAS, labelSelector=f"group={five}", fieldSelector="spec.mode=night")
    assert len(night.names) == 4
    unset = await api.get(CAMERAS, labelSelector=f"group={five}", fieldSelector="spec.mode=")
    assert unset.names == [f"{five}-0"]


async def test_a_field_that_is_not_declared_cannot_be_selected(api: Api) -> None:
    assert (await api.get(CAMERAS, fieldSelector="spec.url=x")).status == 400


async def test_pods_are_selected_by_node_and_phase(api: Api) -> None:
    name = unique()
    await api.create(PODS, a_pod(name))
    assert name in (await api.get(PODS, fieldSelector="status.phase=Pending")).names
    assert name in (await api.get("/api/v1/pods", fieldSelector="spec.nodeName=")).names
    assert (await api.get("/api/v1/pods", fieldSelector="spec.nodeName=elsewhere")).names == []


async def test_pages_show_one_moment_and_leave_nothing_out(api: Api, five: str) -> None:
    query: dict[str, Any] = {"labelSelector": f"group={five}", "limit": 2}
    first = await api.get(CAMERAS, **query)
    # What changes between two pages shows in neither.
    await api.delete(f"{CAMERAS}/{five}-4")
    await api.create(CAMERAS, a_camera(f"{five}-x", labels={"group": five}))
    second = await api.get(CAMERAS, **query, **{"continue": first.metadata["continue"]})
    third = await api.get(CAMERAS, **query, **{"continue": second.metadata["continue"]})
    assert first.names + second.names + third.names == [f"{five}-{number}" for number in range(5)]
    assert not third.metadata.get("continue")
    versions = {page.metadata["resourceVersion"] for page in (first, second, third)}
    assert len(versions) == 1


async def test_a_page_says_how_many_remain(api: Api) -> None:
    for _ in range(3):
        await api.create(CONFIGMAPS, a_config_map(unique()))
    total = len((await api.get(CONFIGMAPS)).names)
    assert (await api.get(CONFIGMAPS, limit=2)).metadata["remainingItemCount"] == total - 2


async def test_a_page_token_that_nobody_gave_out_is_refused(api: Api) -> None:
    assert (await api.get(CAMERAS, limit=1, **{"continue": "rubbish"})).status in (400, 410)


async def test_a_list_of_the_future_is_refused(api: Api) -> None:
    assert (await api.get(CAMERAS, resourceVersion="999999999999", limit=1)).status in (400, 504)


# --- watches ------------------------------------------------------------------------------------------------------


async def test_a_watch_gives_what_happens_after_its_version_in_order(api: Api) -> None:
    name = unique()
    version = await api.version_of(CAMERAS)
    watch = asyncio.create_task(
        api.watch(CAMERAS, count=3, resourceVersion=version, fieldSelector=f"metadata.name={name}")
    )
    await api.create(CAMERAS, a_camera(name))
    await api.patch(f"{CAMERAS}/{name}", {"metadata": {"labels": {"step": "1"}}})
    deleted = await api.delete(f"{CAMERAS}/{name}")
    assert deleted.status == 200
    result = await watch
    assert result.types == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in result.events]
    assert versions == sorted(set(versions))


async def test_a_watch_resumes_with_what_was_missed_each_as_it_was(api: Api) -> None:
    name = unique()
    version = (await api.create(CAMERAS, a_camera(name)))["metadata"]["resourceVersion"]
    for step in "123":
        await api.patch(f"{CAMERAS}/{name}", {"metadata": {"labels": {"step": step}}})
    result = await api.watch(CAMERAS, count=3, resourceVersion=version, fieldSelector=f"metadata.name={name}")
    assert [event["object"]["metadata"]["labels"]["step"] for event in result.events] == ["1", "2", "3"]


async def test_a_watch_without_a_version_begins_with_what_there_is(api: Api) -> None:
    group = unique()
    for letter in "ab":
        await api.create(CAMERAS, a_camera(f"{group}-{letter}", labels={"group": group}))
    result = await api.watch(CAMERAS, count=2, labelSelector=f"group={group}")
    assert result.types == ["ADDED", "ADDED"]
    assert [event["object"]["metadata"]["name"] for event in result.events] == [f"{group}-a", f"{group}-b"]


async def test_a_watch_from_a_forgotten_version_must_start_over(api: Api) -> None:
    result = await api.watch("/api/v1/namespaces", count=1, resourceVersion="1")
    told = result.status == 410 or (result.types == ["ERROR"] and result.events[0]["object"]["code"] == 410)
    # A kube-apiserver that has just started may still have its first version.
    assert told or (api.server.is_real and result.types == ["ADDED"])


async def test_a_watch_ends_after_its_timeout_with_a_bookmark(api: Api) -> None:
    version = await api.version_of(CAMERAS)
    result = await api.watch(
        CAMERAS,
        count=1000,
        resourceVersion=version,
        timeoutSeconds=4,
        allowWatchBookmarks="true",
    )
    assert result.ended
    versions = [
        event["object"]["metadata"]["resourceVersion"] for event in result.events if event["type"] == "BOOKMARK"
    ]
    assert all(int(each) >= int(version) for each in versions)
    # kube-apiserver sends bookmarks once a minute, and leaves them out of a watch this short more often than not.
    assert versions or api.server.is_real


async def test_a_watch_without_bookmarks_is_silent(api: Api) -> None:
    version = await api.version_of(CAMERAS)
    result = await api.watch(
        CAMERAS, count=1, resourceVersion=version, timeoutSeconds=1, fieldSelector="metadata.name=nobody"
    )
    assert (result.ended, result.events) == (True, [])


async def test_leaving_a_selection_is_a_deletion_and_entering_it_an_addition(api: Api) -> None:
    name = unique()
    version = await api.version_of(CAMERAS)
    watch = asyncio.create_task(api.watch(CAMERAS, count=3, resourceVersion=version, labelSelector=f"of={name}"))
    await api.create(CAMERAS, a_camera(f"{name}-other"))
    await api.create(CAMERAS, a_camera(name, labels={"of": name}))
    await api.patch(f"{CAMERAS}/{name}", {"metadata": {"labels": {"of": None}}})
    await api.patch(f"{CAMERAS}/{name}", {"metadata": {"labels": {"of": name}}})
    result = await watch
    assert result.types == ["ADDED", "DELETED", "ADDED"]
    assert {event["object"]["metadata"]["name"] for event in result.events} == {name}
    assert result.events[1]["object"]["metadata"]["labels"] == {"of": name}


async def test_a_watch_of_all_namespaces_sees_each(api: Api) -> None:
    name = unique()
    version = await api.version_of(ALL_CAMERAS)
    watch = asyncio.create_task(
        api.watch(ALL_CAMERAS, count=1, resourceVersion=version, fieldSelector=f"metadata.name={name}")
    )
    await api.create(CAMERAS, a_camera(name))
    assert (await watch).events[0]["object"]["metadata"]["namespace"] == "default"


@pytest.mark.parametrize("yes", ["1", "true", "True"])
async def test_yes_may_be_said_in_several_ways(api: Api, yes: str) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    result = await api.watch(CAMERAS, count=1, watch=yes, fieldSelector=f"metadata.name={name}")
    assert result.types == ["ADDED"]


async def test_a_list_can_be_streamed_and_its_end_is_marked(api: Api) -> None:
    group = unique()
    await api.create(CAMERAS, a_camera(group, labels={"group": group}))
    result = await api.watch(
        CAMERAS,
        count=2,
        labelSelector=f"group={group}",
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true",
        timeoutSeconds=60,
    )
    assert result.types == ["ADDED", "BOOKMARK"]
    assert result.events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_can_be_shown_as_a_table(api: Api) -> None:
    name = unique()
    await api.create(CAMERAS, a_camera(name))
    query = f"watch=true&fieldSelector=metadata.name={name}&timeoutSeconds=1"
    reply = await api.get(f"{CAMERAS}?{query}", accept=AS_TABLE)
    first = reply.text.splitlines()[0]
    assert '"kind":"Table"' in first
    assert '"URL"' in first


async def test_the_deletion_of_a_definition_ends_the_watches_of_its_objects(api: Api) -> None:
    plural = f"w{unique()[2:]}"
    definition = a_definition(plural, plural.capitalize())
    await api.create(DEFINITIONS, definition)
    await eventually(lambda: is_established(api, plural))
    path = f"/apis/contract.luna.test/v1/namespaces/default/{plural}"

    async def is_served() -> bool:
        return (await api.get(path)).status == 200

    await eventually(is_served)
    version, opened = await api.version_of(path), asyncio.Event()
    watch = asyncio.create_task(api.watch(path, count=100, opened=opened, resourceVersion=version, timeoutSeconds=100))
    await opened.wait()
    await api.create(path, {**a_camera("last"), "kind": plural.capitalize()})
    await api.delete(f"{DEFINITIONS}/{plural}.contract.luna.test")
    result = await watch
    assert result.ended
    assert result.types[:2] == ["ADDED", "DELETED"]
