"""The store's own promises, where no request shows them: what the watch has not told yet is found all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from luna_api_shim.kubernetes_store import KubernetesStore
from luna_kube import STREAM_GROUPS, STREAMS
from luna_streams import naming
from support.apiservers import ApiServer
from support.builders import ACCOUNT, STREAM_ID, a_group, stream_object
from support.shims import Deployment, a_deployment
from support.waiting import eventually


@pytest.fixture
async def deployment(any_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(any_api) as deployment:
        yield deployment


@pytest.fixture
async def deaf_store(deployment: Deployment) -> KubernetesStore:
    """A store that has read everything once and hears nothing any more."""
    store = KubernetesStore(deployment.kube, namespace=deployment.namespace)
    async with store.running():
        await eventually(lambda: store.is_synced)
    return store


async def test_a_stream_the_watch_has_not_told_of_is_found_by_its_id(
    deployment: Deployment, deaf_store: KubernetesStore
) -> None:
    assert await deaf_store.find(STREAM_ID) is None
    body = stream_object(STREAM_ID, namespace=deployment.namespace)
    await deployment.kube.create(STREAMS.within(deployment.namespace), body)

    found = await deaf_store.find(STREAM_ID)

    assert found is not None
    assert deaf_store.catalogue.get(STREAM_ID) is found


async def test_a_group_the_watch_has_not_told_of_is_found_by_id_and_name(
    deployment: Deployment, deaf_store: KubernetesStore
) -> None:
    group = a_group("doors")
    body = {
        "apiVersion": naming.API_VERSION,
        "kind": "StreamGroup",
        "metadata": {"namespace": deployment.namespace, "name": group.name},
        "spec": group.spec.to_resource(),
    }
    assert await deaf_store.find_group_named(ACCOUNT, "doors") is None
    await deployment.kube.create(STREAM_GROUPS.within(deployment.namespace), body)

    named = await deaf_store.find_group_named(ACCOUNT, "doors")

    assert named is not None
    assert await deaf_store.find_group(group.group_id) == named


async def test_a_write_keeps_what_others_wrote_into_the_object(
    deployment: Deployment, deaf_store: KubernetesStore
) -> None:
    body = stream_object(STREAM_ID, namespace=deployment.namespace)
    body["metadata"] |= {"labels": {"site": "north"}, "annotations": {"note": "by hand"}}
    await deployment.kube.create(STREAMS.within(deployment.namespace), body)
    entry = await deaf_store.find(STREAM_ID)
    assert entry is not None

    entry = await deaf_store.write_status(entry, entry.record)
    entry = await deaf_store.replace_spec(entry, entry.stream.spec.model_copy(update={"description": "new"}))
    await deaf_store.write_status(entry, entry.record)

    stored = await deployment.kube.get(STREAMS.at(deployment.namespace, STREAM_ID))
    assert stored["metadata"]["labels"] == {"site": "north"}
    assert stored["metadata"]["annotations"] == {"note": "by hand"}
    assert stored["spec"]["description"] == "new"
    assert stored["status"]["version"] == 1
