"""A Lease goes with the ServiceAccount of the process that holds it, and never under a process that leads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from luna_kube import (
    LEASES,
    NAMESPACES,
    Json,
    KubeClient,
    LeaseSettings,
    NotFound,
    Outlook,
    leadership,
    load_credentials,
)
from luna_kube.leadership import now_s
from luna_kube.resources import Resource
from support.apiservers import ApiServer, unique
from support.shims import SERVICE_ACCOUNTS
from support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.apiserver

LEASE = "election"
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")


@dataclass
class Place:
    """A namespace in which ServiceAccounts may hold the Lease, and nothing else."""

    api: ApiServer
    kube: KubeClient
    namespace: str
    folder: Path

    async def account(self, name: str) -> str:
        """Make a ServiceAccount with the rights of a candidate; return its uid."""
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        made = await self.kube.create(SERVICE_ACCOUNTS.within(self.namespace), body)
        return str(made["metadata"]["uid"])

    async def allow(self, *accounts: str) -> None:
        """Let ServiceAccounts of these names stand for election."""
        role = {
            "apiVersion": ROLES.api_version,
            "kind": "Role",
            "metadata": {"name": LEASE},
            "rules": [
                {"apiGroups": [LEASES.group], "resources": ["leases"], "verbs": ["create"]},
                {
                    "apiGroups": [LEASES.group],
                    "resources": ["leases"],
                    "resourceNames": [LEASE],
                    "verbs": ["get", "update"],
                },
            ],
        }
        binding = {
            "apiVersion": ROLES.api_version,
            "kind": "RoleBinding",
            "metadata": {"name": LEASE},
            "roleRef": {"apiGroup": ROLES.group, "kind": "Role", "name": LEASE},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace} for name in accounts],
        }
        await self.kube.create(ROLES.within(self.namespace), role)
        await self.kube.create(ROLE_BINDINGS.within(self.namespace), binding)

    @asynccontextmanager
    async def client_of(self, account: str) -> AsyncIterator[KubeClient]:
        """Yield a client that acts as a ServiceAccount."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await self.kube.create(SERVICE_ACCOUNTS.at(self.namespace, account).sub("token"), request)
        config: Json = json.loads(self.api.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": answer["status"]["token"]}
        path = self.folder / unique("kubeconfig")
        path.write_text(json.dumps(config))
        async with KubeClient(await load_credentials(path), timeout_s=PATIENCE_S) as client:
            yield client

    async def lease(self) -> Json | None:
        """Return the Lease as it stands."""
        with suppress(NotFound):
            return await self.kube.get(LEASES.at(self.namespace, LEASE))
        return None

    async def owner(self) -> str | None:
        """Return the uid of the Lease's owner."""
        lease = await self.lease()
        owners = (lease or {}).get("metadata", {}).get("ownerReferences") or []
        return str(owners[0]["uid"]) if owners else None

    @asynccontextmanager
    async def leading(self, client: KubeClient, identity: str, outlook: Outlook | None = None) -> AsyncIterator[None]:
        """Lead for the length of the block; the terms are longer than any test."""
        settings = LeaseSettings(self.namespace, LEASE, identity, duration_s=600, renew_deadline_s=500, retry_s=0.3)
        async with leadership(client, settings, outlook):
            yield


@pytest.fixture
async def place(real_api: ApiServer, tmp_path: Path) -> AsyncIterator[Place]:
    async with KubeClient(await load_credentials(real_api.kubeconfig)) as kube:
        name = unique("lease")
        header = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await kube.create(NAMESPACES.everywhere(), header)
        yield Place(real_api, kube, name, tmp_path)
        await kube.delete(NAMESPACES.at(None, name))


async def test_the_lease_goes_with_the_service_account(place: Place) -> None:
    uid = await place.account("operator")
    await place.allow("operator")
    async with place.client_of("operator") as client, place.leading(client, "first"):
        assert await place.owner() == uid
    assert await place.lease() is not None, "given back, not deleted"
    await place.kube.delete(SERVICE_ACCOUNTS.at(place.namespace, "operator"))
    await gone(place)


async def gone(place: Place) -> None:
    """Wait until the garbage collector took the Lease."""
    async with asyncio.timeout(PATIENCE_S):
        while await place.lease() is not None:
            await asyncio.sleep(0.1)


async def test_a_lease_of_an_older_release_gets_an_owner(place: Place) -> None:
    uid = await place.account("operator")
    await place.allow("operator")
    old: Json = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": {"name": LEASE}}
    old["spec"] = {"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 3}
    await place.kube.create(LEASES.within(place.namespace), old)
    async with place.client_of("operator") as client, place.leading(client, "first"):
        assert await place.owner() == uid
        lease = await place.lease()
        assert lease is not None
        assert lease["spec"]["leaseTransitions"] == 4


async def test_an_account_made_anew_takes_the_lease_over(place: Place) -> None:
    """Uninstalled and installed again at once: whoever is faster, the garbage collector or the new leader."""
    old = await place.account("operator")
    await place.allow("operator")
    async with place.client_of("operator") as client, place.leading(client, "first"):
        pass
    for number in range(3):
        await place.kube.delete(SERVICE_ACCOUNTS.at(place.namespace, "operator"))
        new = await place.account("operator")
        assert new != old
        old = new
        async with place.client_of("operator") as client, place.leading(client, f"again-{number}"):
            assert await place.owner() == new
            await renewed(place, new)


async def renewed(place: Place, owner: str, times: int = 3) -> None:
    """Wait until the Lease of an owner was renewed a few times; it may be deleted and made again meanwhile."""
    seen: set[str] = set()
    async with asyncio.timeout(PATIENCE_S):
        while len(seen) < times:
            lease = await place.lease()
            if lease is not None and lease["metadata"]["ownerReferences"][0]["uid"] == owner:
                seen.add(lease["spec"]["renewTime"])
            await asyncio.sleep(0.05)


async def test_somebody_with_a_kubeconfig_owns_no_lease(place: Place) -> None:
    async with place.leading(place.kube, "person"):
        assert await place.owner() is None
        assert await place.lease() is not None


async def test_a_lease_that_is_deleted_is_made_again_by_its_leader_and_nobody_else(place: Place) -> None:
    await place.account("operator")
    await place.allow("operator")
    terms: list[str] = []
    outlooks = [Outlook(), Outlook()]

    async def stand(client: KubeClient, identity: str, outlook: Outlook) -> None:
        async with place.leading(client, identity, outlook):
            terms.append(identity)
            await asyncio.Event().wait()

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(place.client_of("operator")) for _ in outlooks]
        tasks = [
            asyncio.create_task(stand(client, f"replica-{number}", outlook))
            for number, (client, outlook) in enumerate(zip(clients, outlooks, strict=True))
        ]
        try:
            await eventually(lambda: terms, "somebody leads")
            begun = now_s()
            await eventually(lambda: all(outlook.heard_at > begun for outlook in outlooks), "both have looked at it")
            await place.kube.delete(LEASES.at(place.namespace, LEASE))
            async with asyncio.timeout(PATIENCE_S):
                while await place.lease() is None:
                    await asyncio.sleep(0.05)
            lease = await place.lease()
            assert lease is not None
            assert [lease["spec"]["holderIdentity"]] == terms, "the leader went on, the other waited"
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
