"""The collector: whose objects go, and whose stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from luna_local.apiserver import EmbeddedApiServer
from support.kubernetes_api import a_camera, a_config_map, a_definition


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedApiServer]:
    async with EmbeddedApiServer() as server:
        server.apply(a_definition())
        server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
        yield server


def owned_by(*owners: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"apiVersion": each["apiVersion"], "kind": each["kind"], "name": each["metadata"]["name"],
         "uid": each["metadata"]["uid"]}
        for each in owners
    ]  # fmt: skip


async def settled(server: EmbeddedApiServer) -> None:
    """Return when the collector has nothing left to do."""
    while server._collector._queue or server._collector._wake.is_set():
        await asyncio.sleep(0.001)


def config_map(server: EmbeddedApiServer, name: str, namespace: str = "default") -> dict[str, Any] | None:
    return server.get("v1", "ConfigMap", name, namespace)


async def test_an_object_with_two_owners_goes_with_the_second(server: EmbeddedApiServer) -> None:
    one, two = server.apply(a_camera("one")), server.apply(a_camera("two"))
    server.apply(a_config_map("owned", ownerReferences=owned_by(one, two)))
    server.delete("contract.luna.test/v1", "Camera", "one", "default")
    await settled(server)
    left = config_map(server, "owned")
    assert left is not None
    assert [each["name"] for each in left["metadata"]["ownerReferences"]] == ["two"]
    server.delete("contract.luna.test/v1", "Camera", "two", "default")
    await settled(server)
    assert config_map(server, "owned") is None


async def test_an_owner_in_another_namespace_is_none(server: EmbeddedApiServer) -> None:
    owner = server.apply(a_camera("one"))
    server.apply(a_config_map("stranger", namespace="other", ownerReferences=owned_by(owner)))
    await settled(server)
    assert config_map(server, "stranger", "other") is None


async def test_a_cluster_wide_owner_owns_everywhere(server: EmbeddedApiServer) -> None:
    owner = server.get("v1", "Namespace", "default")
    assert owner is not None
    server.apply(a_config_map("mine", namespace="other", ownerReferences=owned_by(owner)))
    await settled(server)
    assert config_map(server, "mine", "other") is not None


async def test_a_chain_of_owners_goes_link_by_link(server: EmbeddedApiServer) -> None:
    owner = server.apply(a_camera("link-0"))
    for index in range(1, 120):
        owner = server.apply(a_camera(f"link-{index}", ownerReferences=owned_by(owner)))
    server.delete("contract.luna.test/v1", "Camera", "link-0", "default")
    await settled(server)
    assert list(server.list("contract.luna.test/v1", "Camera")) == []


async def test_a_service_account_that_is_deleted_comes_back(server: EmbeddedApiServer) -> None:
    first = server.get("v1", "ServiceAccount", "default", "other")
    server.delete("v1", "ServiceAccount", "default", "other")
    await settled(server)
    second = server.get("v1", "ServiceAccount", "default", "other")
    assert first is not None
    assert second is not None
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
