"""The store's own promises, where no request shows them: what the watch has not told yet is found all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from luna_api_shim.storage.kubernetes_store import KubernetesStore
from luna_api_shim.upkeep.sweeper import GRACE, GRACE_WITHOUT_STREAM, Sweeper
from luna_kube import SECRETS, STREAM_GROUPS, STREAMS
from luna_streams import naming
from luna_streams.stream import SecretKeyRef, Stream
from support.apiservers import ApiServer
from support.builders import ACCOUNT, STREAM_ID, a_group, some_data, stream_object
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


# --- Secrets ----------------------------------------------------------------------------------------------------------


async def a_secret(deployment: Deployment, stream: str, owner: Stream | None = None, mark: str = "0a1b") -> str:
    """Make a Secret for a stream as a request does that is then cut short; return its name."""
    store = KubernetesStore(deployment.kube, namespace=deployment.namespace)
    name = naming.secret_name(stream, mark)
    await store.vault.create((deployment.namespace, stream), name, {"reference": "user:password"}, owner)
    return name


async def sweep(deployment: Deployment, after: timedelta) -> list[str]:
    """Sweep some time later; return the names of the Secrets that are left."""
    store = KubernetesStore(deployment.kube, namespace=deployment.namespace)
    async with store.running():
        await eventually(lambda: store.is_synced)
        await Sweeper(deployment.kube, store.vault, store.catalogue).sweep(datetime.now(UTC) + after)
    left = await deployment.kube.list(SECRETS.within(deployment.namespace), labels=naming.LABEL_CREDENTIALS)
    return sorted(obj["metadata"]["name"] for obj in left.items)


async def test_what_a_crash_left_behind_is_swept_and_nothing_else(deployment: Deployment) -> None:
    """Before a stream was created; between a spec and its predecessor's Secret; before a new stream's got its owner."""
    named = naming.secret_name(STREAM_ID, "0a1b")
    data = some_data(type="tcp", reference="rtsp://a/b", reference_from=SecretKeyRef(name=named, key="reference"))
    body = stream_object(STREAM_ID, namespace=deployment.namespace, data=data)
    stream = Stream.from_object(await deployment.kube.create(STREAMS.within(deployment.namespace), body))
    await a_secret(deployment, STREAM_ID)
    replaced = await a_secret(deployment, STREAM_ID, stream, "2c3d")
    orphan = await a_secret(deployment, "never-created")
    await deployment.kube.create(
        SECRETS.within(deployment.namespace),
        {"metadata": {"name": "by-hand", "labels": {naming.LABEL_CREDENTIALS: "stream"}}, "stringData": {"a": "b"}},
    )

    assert await sweep(deployment, timedelta()) == sorted(["by-hand", named, replaced, orphan])
    assert await sweep(deployment, GRACE + timedelta(seconds=2)) == sorted(["by-hand", named, orphan])
    kept = await deployment.kube.get(SECRETS.at(deployment.namespace, named))
    assert [owner["uid"] for owner in kept["metadata"]["ownerReferences"]] == [stream.uid]
    before = kept["metadata"]["resourceVersion"]
    assert await sweep(deployment, GRACE_WITHOUT_STREAM - timedelta(minutes=1)) == sorted(["by-hand", named, orphan])
    assert await sweep(deployment, GRACE_WITHOUT_STREAM + timedelta(seconds=2)) == sorted(["by-hand", named])
    kept = await deployment.kube.get(SECRETS.at(deployment.namespace, named))
    assert kept["metadata"]["resourceVersion"] == before


async def test_a_secret_the_watch_has_not_told_of_is_found(deployment: Deployment, deaf_store: KubernetesStore) -> None:
    name = await a_secret(deployment, STREAM_ID)
    data = some_data(type="tcp", reference="rtsp://a/b", reference_from=SecretKeyRef(name=name, key="reference"))
    body = stream_object(STREAM_ID, namespace=deployment.namespace, data=data)
    await deployment.kube.create(STREAMS.within(deployment.namespace), body)
    entry = await deaf_store.find(STREAM_ID)
    assert entry is not None

    await deaf_store.fetch_secrets(entry.stream)

    user_info = deaf_store.credentials(entry.stream).user_info
    assert user_info is not None
    assert user_info.get_secret_value() == "user:password"
