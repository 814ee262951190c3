"""The Kubernetes client, reflector and leadership against the embedded and the real API server: the same behaviour."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from luna_kube import (
    LEASES,
    NAMESPACES,
    PODS,
    SECRETS,
    STREAMS,
    AlreadyExists,
    Conflict,
    Invalid,
    KubeClient,
    LeaseSettings,
    NotFound,
    Reflector,
    leadership,
    load_credentials,
)
from luna_kube.reflector import ReflectorSettings
from support.apiservers import ApiServer, unique
from support.builders import stream_object
from support.operators import install_crds
from support.waiting import PATIENCE_S, eventually


@pytest.fixture
async def client(any_api: ApiServer) -> AsyncIterator[KubeClient]:
    async with KubeClient(await load_credentials(any_api.kubeconfig)) as client:
        await install_crds(client)
        yield client


@pytest.fixture
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    name = unique("kube")
    await client.create(NAMESPACES.everywhere(), {"metadata": {"name": name}})
    yield name
    await client.delete(NAMESPACES.at(None, name))


async def test_writes_and_their_errors(client: KubeClient, namespace: str) -> None:
    ref = STREAMS.at(namespace, "cam")
    with pytest.raises(NotFound):
        await client.get(ref)
    created = await client.create(STREAMS.within(namespace), stream_object("cam", namespace=namespace))
    with pytest.raises(AlreadyExists):
        await client.create(STREAMS.within(namespace), stream_object("cam", namespace=namespace))
    with pytest.raises(Invalid):
        await client.patch(ref, {"spec": {"desiredStatus": "no such status"}})
    changed = await client.patch(ref, {"spec": {"displayName": "entrance"}})
    assert changed["metadata"]["generation"] == 2
    with pytest.raises(Conflict):
        await client.replace(ref, created)
    version = {"resourceVersion": created["metadata"]["resourceVersion"]}
    with pytest.raises(Conflict):
        await client.patch(ref.status, {"metadata": version, "status": {}})
    with pytest.raises(Conflict):
        await client.delete(ref, uid="00000000-0000-4000-8000-000000000000")
    await client.delete(ref, uid=created["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.get(ref)


async def test_apply_owns_the_fields_it_names(client: KubeClient, namespace: str) -> None:
    ref = SECRETS.at(namespace, "s")
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "1"}}
    await client.apply(ref, body | {"metadata": {"name": "s", "labels": {"x": "1", "y": "2"}}}, field_manager="first")
    await client.apply(ref, body | {"metadata": {"name": "s", "labels": {"x": "1"}}}, field_manager="first")
    assert (await client.get(ref))["metadata"]["labels"] == {"x": "1"}


async def test_a_list_is_paged_and_selects(client: KubeClient, namespace: str) -> None:
    for number in range(7):
        labels = {"parity": "odd" if number % 2 else "even"}
        body = {"metadata": {"name": f"s{number}", "labels": labels}}
        await client.create(SECRETS.within(namespace), body)
    listed = await client.list(SECRETS.within(namespace), labels="parity", page_size=3)
    assert [obj["metadata"]["name"] for obj in listed.items] == [f"s{number}" for number in range(7)]
    odd = await client.list(SECRETS.within(namespace), labels="parity=odd")
    assert len(odd.items) == 3
    one = await client.list(SECRETS.within(namespace), fields="metadata.name=s4")
    assert [obj["metadata"]["name"] for obj in one.items] == ["s4"]


async def test_a_copy_of_a_server_that_was_restored_from_a_backup_is_mended(client: KubeClient, namespace: str) -> None:
    """Such a server is behind its clients: the real one says nothing about it, the embedded one says 410."""
    settings = ReflectorSettings(stall_timeout_s=1.0)
    reflector = Reflector(client, SECRETS.within(namespace), settings=settings)
    async with reflector.running():
        await asyncio.wait_for(reflector.synced.wait(), PATIENCE_S)
        future = str(int(reflector.resource_version or "0") + 10_000_000)
        lost = {"metadata": {"name": "lost", "namespace": namespace, "uid": "lost", "resourceVersion": future}}
        reflector.observe(lost)
    reflector._version = future  # as if the watch had seen it too
    async with reflector.running():
        await client.create(SECRETS.within(namespace), {"metadata": {"name": "kept"}})
        await eventually(lambda: {name for _, name in reflector.cache} == {"kept"})


async def test_the_reflector_follows_with_selectors_and_own_writes(client: KubeClient, namespace: str) -> None:
    quick = ReflectorSettings(page_size=2)
    reflector = Reflector(client, SECRETS.within(namespace), labels="watched=yes", settings=quick)
    types: list[str] = []
    reflector.subscribe(lambda event: types.append(f"{event.type} {event.key[1]}"))
    async with reflector.running():
        await asyncio.wait_for(reflector.synced.wait(), PATIENCE_S)
        made = await client.create(SECRETS.within(namespace), {"metadata": {"name": "a", "labels": {"watched": "yes"}}})
        reflector.observe(made)
        assert reflector.get(namespace, "a") is not None
        await client.patch(SECRETS.at(namespace, "a"), {"metadata": {"labels": {"watched": "no"}}})
        await eventually(lambda: types == ["ADDED a", "DELETED a"])
        await client.patch(SECRETS.at(namespace, "a"), {"metadata": {"labels": {"watched": "yes"}}})
        await eventually(lambda: types[2:] == ["ADDED a"])
        await client.delete(SECRETS.at(namespace, "a"))
        reflector.observe_deleted(namespace, "a", made["metadata"]["uid"])
        assert reflector.get(namespace, "a") is None
        await client.create(SECRETS.within(namespace), {"metadata": {"name": "end", "labels": {"watched": "yes"}}})
        await eventually(lambda: types[3:] == ["DELETED a", "ADDED end"])


async def test_a_stopping_pod_lives_on_for_a_while(client: KubeClient, namespace: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "somewhere"}}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(Invalid, NotFound, Conflict):
                await client.create(PODS.within(namespace), pod)
                break
            await asyncio.sleep(0.1)
    answer = await client.delete(PODS.at(namespace, "p"))
    assert answer["metadata"]["deletionTimestamp"]
    await client.delete(PODS.at(namespace, "p"), grace_period_s=0)
    with pytest.raises(NotFound):
        await client.get(PODS.at(namespace, "p"))


async def test_a_lease_is_taken_renewed_and_given_back(client: KubeClient, namespace: str) -> None:
    lease = LEASES.at(namespace, "op")
    settings = LeaseSettings(namespace, "op", "first", duration_s=600.0, renew_deadline_s=500.0, retry_s=0.1)
    async with leadership(client, settings):
        before = (await client.get(lease))["spec"]
        assert before["holderIdentity"] == "first"
        async with asyncio.timeout(PATIENCE_S):
            while (after := (await client.get(lease))["spec"])["renewTime"] == before["renewTime"]:
                await asyncio.sleep(0.05)
        assert after["renewTime"] > before["renewTime"]
        assert after["acquireTime"] == before["acquireTime"]
    # As every Lease that is given back: the field is there, and empty.
    assert not (await client.get(lease))["spec"].get("holderIdentity")
