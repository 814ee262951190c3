"""A server that was killed anywhere: every beginning of its journal is a state from which a restart comes right."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luna_local.apiserver import ApiError, EmbeddedApiServer
from luna_local.apiserver.deletion import DeleteOptions
from luna_local.apiserver.documents import Document
from luna_local.apiserver.resources import NAMESPACES
from support.kubernetes_api import a_camera, a_config_map, a_definition
from support.waiting import PATIENCE_S

CAMERAS = ("contract.luna.test", "cameras")
HOLD = ["luna.test/hold"]


async def settled(server: EmbeddedApiServer) -> None:
    """Return when the collector has nothing left to do."""
    await asyncio.sleep(0)  # a collector that has just been started looks at everything first
    async with asyncio.timeout(PATIENCE_S):
        while server._collector._queue or server._collector._wake.is_set():
            await asyncio.sleep(0)


def a_reference(owner: Document, *, blocks: bool = False) -> Document:
    metadata = owner["metadata"]
    kind = {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}
    return {**kind, "name": metadata["name"], "uid": metadata["uid"], "blockOwnerDeletion": blocks}


def remove(server: EmbeddedApiServer, name: str, propagation: str) -> None:
    resource = server._registry.any_version(CAMERAS)
    assert resource is not None
    server._backend.deletions.delete(resource, ("default", name), DeleteOptions(propagation=propagation))


async def a_life(server: EmbeddedApiServer) -> None:
    """Make and delete objects in every way that takes the server more than one step."""
    server.apply(a_definition())
    server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    server.apply(a_camera("held", finalizers=HOLD))
    server.apply(a_config_map("inside", namespace="n", finalizers=HOLD))
    for name in ("background", "foreground", "orphan"):
        owner = server.apply(a_camera(name))
        server.apply(a_config_map(f"of-{name}", ownerReferences=[a_reference(owner, blocks=True)]))
    remove(server, "held", "Background")
    server.apply(a_camera("held"))
    for name in ("background", "foreground", "orphan"):
        remove(server, name, name.capitalize())
        await settled(server)
    server.delete("v1", "Namespace", "n")
    await settled(server)
    server.apply(a_config_map("inside", namespace="n"))
    await settled(server)
    server.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", "cameras.contract.luna.test")
    await settled(server)


def inconsistencies(server: EmbeddedApiServer) -> list[str]:
    """Return what must not be so once the collector is through."""
    everything = [(resource, record.load()) for resource, record in server._store.everything()]
    uids = {document["metadata"]["uid"] for _, document in everything}
    spaces = {document["metadata"]["name"]: document for key, document in everything if key == NAMESPACES}
    found = []
    for _, document in everything:
        metadata = document["metadata"]
        what = f"{document['kind']} {metadata['name']}"
        owners = metadata.get("ownerReferences") or []
        inside = metadata.get("namespace")
        is_ending = "deletionTimestamp" in metadata
        if is_ending and not metadata.get("finalizers") and document["kind"] != "Namespace":
            found.append(f"{what} is ending, and nothing holds it")
        if owners and not any(owner["uid"] in uids for owner in owners):
            found.append(f"{what} outlived its owners")
        if inside is not None and inside not in spaces:
            found.append(f"{what} is in a namespace that is not there")
        if document["kind"] == "Namespace" and is_ending and not any(
            other["metadata"].get("namespace") == metadata["name"] for _, other in everything
        ):  # fmt: skip
            found.append(f"{what} is ending, and empty")
        if document["apiVersion"].startswith("contract.") and server._registry.any_version(CAMERAS) is None:
            found.append(f"{what} is of a kind that is not served")
    return found


async def restarted(folder: Path, beginning: bytes) -> list[str]:
    folder.mkdir()
    (folder / "objects.jsonl").write_bytes(beginning)
    async with EmbeddedApiServer(folder) as server:
        await settled(server)
        return inconsistencies(server)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("life")

    async def live() -> bytes:
        async with EmbeddedApiServer(folder) as server:
            await a_life(server)
            assert inconsistencies(server) == []
            return (folder / "objects.jsonl").read_bytes()

    return asyncio.run(live())


async def test_a_restart_after_any_line_comes_right(journal: bytes, tmp_path: Path) -> None:
    lines = journal.splitlines(keepends=True)
    assert len(lines) > 30
    for count in range(len(lines) + 1):
        found = await restarted(tmp_path / str(count), b"".join(lines[:count]))
        assert found == [], f"after line {count}: {lines[count - 1]!r}"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_restart_after_any_byte_comes_right(
    journal: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(journal)))
    assert asyncio.run(restarted(tmp_path_factory.mktemp("cut") / "data", journal[:cut])) == []


async def test_an_object_that_an_older_release_left_ending_goes(journal: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with EmbeddedApiServer(folder) as server:
        document = server.apply(a_config_map("left", finalizers=HOLD))
        document["metadata"] |= {"deletionTimestamp": "2026-01-31T12:00:00Z", "deletionGracePeriodSeconds": 0}
        del document["metadata"]["finalizers"]
        server._store.put(("", "configmaps"), document)
        beginning = (folder / "objects.jsonl").read_bytes()
    assert await restarted(tmp_path / "again", beginning) == []


async def test_the_write_that_takes_off_the_last_finalizer_is_one_line(tmp_path: Path) -> None:
    async with EmbeddedApiServer(tmp_path) as server:
        server.apply(a_config_map("held", finalizers=HOLD))
        server.delete("v1", "ConfigMap", "held", "default")
        before = len((tmp_path / "objects.jsonl").read_bytes().splitlines())
        answer = server.apply(a_config_map("held"))
        assert "finalizers" not in answer["metadata"]
        assert len((tmp_path / "objects.jsonl").read_bytes().splitlines()) == before + 1
        with pytest.raises(ApiError):
            server._objects.get(server._resource("v1", "ConfigMap"), ("default", "held"))
