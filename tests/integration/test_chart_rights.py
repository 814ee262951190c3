"""What the chart allows its ServiceAccounts is what the programs ask for, on an API server that looks."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from luna_kube import Json, KubeClient
from luna_kube.resources import Resource
from support.apiservers import ApiServer
from support.builders import ACCOUNT, v2_body
from support.charts import RELEASE, render
from support.operators import OperatorWorld, an_operator_world
from support.shims import SERVICE_ACCOUNTS, Deployment, Shim, a_deployment
from support.waiting import eventually

pytestmark = pytest.mark.apiserver

PREFIX = f"{RELEASE}-luna-streams"
"""What the names of the chart's objects begin with."""
_RIGHTS = {
    kind: Resource("rbac.authorization.k8s.io", "v1", f"{kind.lower()}s", kind)
    for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
} | {"ServiceAccount": SERVICE_ACCOUNTS}


async def as_account(api: ApiServer, kube: KubeClient, namespace: str, component: str, folder: Path) -> ApiServer:
    """Install what the chart allows, and nothing else of it; return the API server as a component sees it."""
    for item in render({}, folder, namespace):
        if item["kind"] not in _RIGHTS:
            continue
        is_everywhere = item["kind"].startswith("Cluster")
        ref = _RIGHTS[item["kind"]].at(None if is_everywhere else namespace, item["metadata"]["name"])
        await kube.apply(ref, item)
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    account = SERVICE_ACCOUNTS.at(namespace, f"{PREFIX}-{component}")
    answer = await kube.create(account.sub("token"), body)
    config: Json = json.loads(api.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": answer["status"]["token"]}
    kubeconfig = folder / f"kubeconfig-{component}"
    kubeconfig.write_text(json.dumps(config))
    return replace(api, kubeconfig=kubeconfig)


async def test_the_operator_may_do_all_it_does(real_api: ApiServer, tmp_path: Path) -> None:
    """Place a stream, drain and replace its pod, write both statuses, tell of it in Events."""
    async with an_operator_world(real_api) as world:
        limited = await as_account(real_api, world.client, world.namespace, "operator", tmp_path)
        settings = {"kubeconfig": str(limited.kubeconfig), "lease_name": f"{PREFIX}-operator"}
        async with world.operator(**settings):
            await world.pool(slots_per_pod=2, replicas=1)
            await world.stream("door")
            await world.until(lambda: world.pod_of("door"), "a pod has the stream")
            old = uids(world)
            await world.change_pool("pool", image="luna-streams-processor:next")
            await world.until(lambda: world.pod_of("door") and old.isdisjoint(uids(world)), "the pod is another one")
            await world.until(lambda: world.pool_status().get("replicas") == 1, "the pool's status says so")
            async with asyncio.timeout(10):
                while not await world.events("PodDeleted"):
                    await asyncio.sleep(0.05)


def uids(world: OperatorWorld) -> set[str]:
    """Return the pods there are."""
    return {pod["metadata"]["uid"] for pod in world.pods.cache.values()}


async def test_the_shim_may_do_all_it_does(real_api: ApiServer, tmp_path: Path) -> None:
    async with a_deployment(real_api) as deployment:
        allowed = await as_account(real_api, deployment.kube, deployment.namespace, "shim", tmp_path)
        limited = replace(deployment, api=allowed)
        async with limited.shim(lease_name=f"{PREFIX}-shim") as shim:
            await eventually(lambda: shim.service.election.is_leader, "it leads")
            assert (await shim.http.get("/healthcheck")).status_code == 200
            await look_after_groups(shim)
            await look_after_streams(limited, shim)


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
