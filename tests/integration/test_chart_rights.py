"""What the chart allows its ServiceAccounts is what the programs ask for: the API server's audit log tells.

Each test lets a program do all that it can do, with the rights of its own account and no others, and compares both
directions: nothing was refused, everything was allowed by the chart's rules (or is allowed to everybody who is
authenticated), and no rule allows more than was used. What cannot be brought about here is named with its reason.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from luna_kube import PODS, SECRETS, STREAMS, Forbidden, Invalid, Json, KubeClient, load_credentials
from luna_kube.resources import Resource
from luna_operator import crds
from luna_operator.manifests import MANAGER as OPERATOR_MANAGER
from support.apiservers import ApiServer
from support.audit import Right, Use, rights_of, rules_of, uses
from support.builders import ACCOUNT, stream_object, v2_body
from support.charts import PREFIX, render
from support.operators import OperatorWorld, an_operator_world
from support.shims import SERVICE_ACCOUNTS, Deployment, Shim, a_deployment
from support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.apiserver

LUNA = "lunastreams.dev"
OF_EVERYBODY = {Right("authentication.k8s.io", "selfsubjectreviews", "create")}
"""What Kubernetes allows every authenticated user (system:basic-user)."""
_RIGHTS = {
    kind: Resource("rbac.authorization.k8s.io", "v1", f"{kind.lower()}s", kind)
    for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
} | {"ServiceAccount": SERVICE_ACCOUNTS}
_GUARDS = {
    kind: Resource("admissionregistration.k8s.io", "v1", plural, kind, namespaced=False)
    for kind, plural in (
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
        ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
    )
}


@dataclass(frozen=True)
class Account:
    """A ServiceAccount of the chart in a namespace of an API server, with the rights the chart gives it."""

    api: ApiServer
    kubeconfig: Path
    namespace: str
    name: str
    rules: list[tuple[str, Json]]

    def uses(self) -> list[Use]:
        """Return what it asked for so far."""
        assert self.api.audit_log is not None
        return list(uses(self.api.audit_log, self.namespace, self.name))

    def used(self) -> set[Right]:
        """Return the rights it used so far."""
        return {use.right for use in self.uses() if use.right is not None}

    def judge(self, exceptions: Mapping[Right, str]) -> None:
        """Compare what is allowed with what was used; the audit log is complete only after the program ended."""
        refused = [f"{use.uri}: {use.reason}" for use in self.uses() if not use.is_allowed]
        assert refused == []
        allowed = rights_of(self.rules)
        bindings = {name for name, _ in self.rules}
        by_others = [
            f"{use.right} by {use.reason}"
            for use in self.uses()
            if use.right is not None
            and use.right not in OF_EVERYBODY
            and not any(f'"{name}/{self.namespace}"' in use.reason or f'"{name}"' in use.reason for name in bindings)
        ]
        assert by_others == [], "allowed by something that is not of the chart"
        idle = allowed - self.used() - exceptions.keys()
        assert not idle, f"allowed and never used: {', '.join(sorted(map(str, idle)))}"
        assert exceptions.keys() <= allowed, "an exception from nothing"


async def as_account(api: ApiServer, kube: KubeClient, namespace: str, component: str, folder: Path) -> Account:
    """Install what the chart allows and the policies that narrow it, and nothing else of it."""
    objects = render({}, namespace)
    for item in objects:
        kinds = _RIGHTS | _GUARDS
        if item["kind"] not in kinds:
            continue
        is_everywhere = item["kind"].startswith(("Cluster", "Validating"))
        await kube.apply(kinds[item["kind"]].at(None if is_everywhere else namespace, item["metadata"]["name"]), item)
    name = f"{PREFIX}-{component}"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await kube.create(SERVICE_ACCOUNTS.at(namespace, name).sub("token"), body)
    config: Json = json.loads(api.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": answer["status"]["token"]}
    kubeconfig = folder / f"kubeconfig-{component}"
    kubeconfig.write_text(json.dumps(config))
    return Account(api, kubeconfig, namespace, name, rules_of(objects, name))


# --- the operator -----------------------------------------------------------------------------------------------------

AFTER_A_CONFLICT = "asked for when somebody else wrote first, which cannot be brought about at will"
OPERATOR_EXCEPTIONS = {
    Right(LUNA, "streams", "get"): AFTER_A_CONFLICT,
    Right(LUNA, "streamprocessors", "get"): AFTER_A_CONFLICT,
    Right(LUNA, "streamprocessors/finalizers", "update"): "asked for by OwnerReferencesPermissionEnforcement alone,"
    " an admission plugin that OpenShift switches on, because pods block the deletion of their pool",
}


async def test_the_operator_may_do_what_it_does_and_nothing_else(real_api: ApiServer, tmp_path: Path) -> None:
    """Place a stream, drain and replace its pod, write both statuses, tell of it in Events."""
    async with an_operator_world(real_api) as world:
        account = await as_account(real_api, world.client, world.namespace, "operator", tmp_path)
        settings = {
            "kubeconfig": str(account.kubeconfig),
            "lease_namespace": world.namespace,
            "lease_name": f"{PREFIX}-operator",
        }
        async with world.operator(**settings):
            await live(world)
            await repeat_an_event(world, account)
        account.judge(OPERATOR_EXCEPTIONS)


async def live(world: OperatorWorld) -> None:
    """Let a stream be placed, and its pod be replaced."""
    body: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pool-0"}}
    body["spec"] = {"containers": [{"name": "c", "image": "none"}]}
    await world.client.create(PODS.within(world.namespace), body)  # somebody else has the name: it is looked at
    await world.pool(slots_per_pod=2, replicas=1)
    await world.stream("door")
    await world.until(lambda: world.pod_of("door"), "a pod has the stream")
    old = uids(world)
    await world.change_pool("pool", image="luna-streams-processor:next")
    await world.until(lambda: world.pod_of("door") and old.isdisjoint(uids(world)), "the pod is another one")
    await world.until(lambda: world.pool_status().get("replicas") == 1, "the pool's status says so")
    async with asyncio.timeout(PATIENCE_S):
        while not await world.events("PodDeleted"):
            await asyncio.sleep(0.05)


async def repeat_an_event(world: OperatorWorld, account: Account) -> None:
    """Delete the pod until the same is said of it twice, which is counted in one Event."""
    async with asyncio.timeout(90):
        while Right("", "events", "patch") not in account.used():
            if (pod := world.pod_of("door")) is not None:
                await world.delete_pod(pod)
            await world.until(lambda: world.pod_of("door"), "a pod has the stream again")
            await asyncio.sleep(0.5)


def uids(world: OperatorWorld) -> set[str]:
    """Return the pods of pools."""
    return {pod["metadata"]["uid"] for pod in world.pods.cache.values() if pod["metadata"].get("ownerReferences")}


# --- the shim ---------------------------------------------------------------------------------------------------------


async def test_the_shim_may_do_what_it_does_and_nothing_else(real_api: ApiServer, tmp_path: Path) -> None:
    async with a_deployment(real_api) as deployment:
        account = await as_account(real_api, deployment.kube, deployment.namespace, "shim", tmp_path)
        limited = replace(deployment, api=replace(real_api, kubeconfig=account.kubeconfig))
        async with limited.shim(lease_name=f"{PREFIX}-shim") as shim:
            await eventually(lambda: shim.service.election.is_leader, "it leads")
            async with asyncio.timeout(PATIENCE_S):
                while (await shim.http.get("/healthcheck")).status_code != 200:  # the database of the log is new
                    await asyncio.sleep(0.1)
            await look_after_groups(shim)
            await look_after_streams(limited, shim)
            await ask_for_what_is_not_there(shim)
            await declare_a_secret_that_is_not_watched(limited, shim, account)
        account.judge({})


async def look_after_groups(shim: Shim) -> None:
    """Do to groups all that can be done."""
    made = await shim.http.post("/2/groups", json={"account_id": ACCOUNT, "group_name": "doors"})
    assert made.status_code == 201, made.text
    group = made.json()["group_id"]
    stream = await shim.create(v2_body())
    link = {"group_id": group, "stream_ids": [stream], "action": "attach"}
    answers = [
        await shim.http.patch(f"/2/groups/{group}", json={"description": "north"}),
        await shim.http.patch("/2/linker", json=link),
        await shim.http.delete(f"/2/groups/{group}"),
        await shim.http.delete(f"/2/streams/{stream}"),
    ]
    assert [answer.status_code for answer in answers] == [204] * 4, [answer.text for answer in answers]


async def look_after_streams(deployment: Deployment, shim: Shim) -> None:
    """Let a stream with credentials live its whole life, at a worker in a pod."""
    body = v2_body()
    body["data"]["reference"] = "rtsp://user:password@camera/1"
    stream = await shim.create(body)
    (secret,) = await deployment.secrets_of(stream)
    assert secret["metadata"]["ownerReferences"], "adopted"
    pod, token = await deployment.pod_with_token()
    await deployment.assign(stream, pod)
    headers = {"Authorization": f"Bearer {token}"}
    await eventually(lambda: shim.service.store.catalogue.of_pod(pod["metadata"]["uid"]), "the shim knows")
    taken = await shim.http.post("/2/streams/processing/queue", json={"limit": 1, "filters": {}}, headers=headers)
    assert taken.status_code == 200, taken.text
    assert [item["stream_id"] for item in taken.json()["streams"]] == [stream]
    replaced = await shim.http.put(f"/2/streams/{stream}", json=body)
    assert replaced.status_code == 200, replaced.text
    (another,) = await deployment.secrets_of(stream)
    assert another["metadata"]["name"] != secret["metadata"]["name"]
    assert (await shim.http.patch(f"/2/streams/{stream}", json={"status": "cancel"})).status_code == 204
    assert (await shim.http.delete(f"/2/streams/{stream}")).status_code == 204


async def ask_for_what_is_not_there(shim: Shim) -> None:
    """Ask for ids that no copy knows: the API server has the last word."""
    nobody = "00000000-0000-4000-8000-00000000dead"
    for kind in ("streams", "groups"):
        assert (await shim.http.get(f"/2/{kind}/{nobody}")).status_code == 404


async def declare_a_secret_that_is_not_watched(deployment: Deployment, shim: Shim, account: Account) -> None:
    """Declare a stream whose Secret has no label, as a user may by mistake: it is looked for when a worker asks."""
    secret: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "unlabelled"}}
    await deployment.kube.create(SECRETS.within(deployment.namespace), {**secret, "stringData": {"user": "u:p"}})
    body = stream_object("declared", namespace=deployment.namespace)
    body["spec"]["data"] |= {"reference": "rtsp://camera/1", "referenceFrom": {"name": "unlabelled", "key": "user"}}
    await deployment.kube.create(STREAMS.within(deployment.namespace), body)
    async with asyncio.timeout(PATIENCE_S):
        while Right("", "secrets", "get") not in account.used():
            await shim.http.post("/2/streams/processing/queue", json={"limit": 1, "filters": {}})
            await asyncio.sleep(0.2)


# --- the Job of the definitions ---------------------------------------------------------------------------------------


async def test_the_job_may_do_what_it_does_and_nothing_else(real_api: ApiServer, tmp_path: Path) -> None:
    async with a_deployment(real_api) as deployment:
        account = await as_account(real_api, deployment.kube, deployment.namespace, "crds", tmp_path)
        assert await asyncio.to_thread(crds.main, ["apply", f"--kubeconfig={account.kubeconfig}"]) == 0
        account.judge({})


# --- all namespaces ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", ["operator", "shim"])
def test_in_all_namespaces_the_same_is_allowed(component: str) -> None:
    def rights(values: Json) -> set[Right]:
        return rights_of(rules_of(render(values), f"{PREFIX}-{component}"))

    assert rights({"allNamespaces": True}) == rights({})


def test_processors_and_tests_may_nothing() -> None:
    objects = render({})
    for account in (f"{PREFIX}-processor", "default"):
        assert rules_of(objects, account) == []


# --- the admission policies -------------------------------------------------------------------------------------------


async def test_the_shim_can_neither_change_nor_delete_what_it_did_not_make(real_api: ApiServer, tmp_path: Path) -> None:
    async with a_deployment(real_api) as deployment:
        account = await as_account(real_api, deployment.kube, deployment.namespace, "shim", tmp_path)
        body: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs"}}
        await narrowed(deployment.kube, account, SECRETS, body, "luna-streams-shim")


async def test_the_operator_can_neither_make_nor_delete_pods_of_others(real_api: ApiServer, tmp_path: Path) -> None:
    async with a_deployment(real_api) as deployment:
        account = await as_account(real_api, deployment.kube, deployment.namespace, "operator", tmp_path)
        body: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "theirs"},
            "spec": {"containers": [{"name": "c", "image": "none"}]},
        }
        await narrowed(deployment.kube, account, PODS, body, OPERATOR_MANAGER)


async def refused(attempt: Callable[[], Awaitable[object]]) -> None:
    """Try until an admission policy refuses it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await attempt()
            except (Forbidden, Invalid):
                return
            await asyncio.sleep(0.1)


async def narrowed(kube: KubeClient, account: Account, kind: Resource, body: Json, manager: str) -> None:
    """Try to make, take over and delete an object of somebody else, then do so with an own one."""
    within, theirs = kind.within(account.namespace), kind.at(account.namespace, body["metadata"]["name"])
    own = {**body, "metadata": {"name": "ours", "labels": {"app.kubernetes.io/managed-by": manager}}}
    async with KubeClient(await load_credentials(account.kubeconfig)) as limited:
        # The API server begins to apply a new policy after a moment.
        await refused(lambda: limited.create(within, {**body, "metadata": {"generateName": "early-"}}))
        await kube.create(within, body)
        with pytest.raises((Forbidden, Invalid), match="of luna-streams"):
            await limited.delete(theirs)
        await limited.create(within, own)
        await limited.delete(kind.at(account.namespace, "ours"))
    assert (await kube.get(theirs))["metadata"]["name"] == "theirs"
