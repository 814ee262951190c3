"""The pods of a pool against API servers: templates that change, break, or find no node; definitions that go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from luna_kube import CUSTOM_RESOURCE_DEFINITIONS, STREAM_PROCESSORS, STREAMS
from luna_kube.manifests import crd_manifests
from luna_streams.lifecycle import Report, Taken
from luna_streams.v1alpha1 import StreamState
from support.apiservers import ApiServer, embedded_server, kubernetes_assets, on_embedded_api, real_server
from support.kubectl import Kubectl, find_kubectl
from support.operators import OperatorWorld, an_operator_world, condition

NO_NODE = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient nvidia.com/gpu"}
    ],
}


@pytest.fixture
async def world(any_api: ApiServer) -> AsyncIterator[OperatorWorld]:
    async with an_operator_world(any_api) as world:
        yield world


def uids(world: OperatorWorld) -> set[str]:
    return {pod["metadata"]["uid"] for pod in world.pods.cache.values()}


async def test_where_the_old_pod_has_the_last_gpu_it_is_drained_first(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=2, gpu={"resource_name": "nvidia.com/gpu"})
        await world.stream("cam")
        await world.until(lambda: world.pod_of("cam") == "pool-0")
        await world.advance("cam", Taken("w"))
        world.kubelet_makes_ready = False
        await world.change_pool("pool", image="luna-streams-processor:next")
        await world.until(lambda: world.pod_names() == {"pool-0", "pool-1"}, "the new pod comes first")
        assert "leaveBy" not in world.status("cam")["processor"], "nobody knows yet that there is no room for both"
        await world.set_pod("pool-1", **NO_NODE)
        await world.until(lambda: "leaveBy" in world.status("cam")["processor"])
        assert "pool-0" in world.pod_names(), "it stays until its stream has left"
        await world.advance("cam", Report(StreamState.IN_PROGRESS, 1, worker="w"))
        await world.until(lambda: world.pod_names() == {"pool-1"})
        await world.run_pod("pool-1")
        await world.until(lambda: world.pod_of("cam") == "pool-1")
        await world.until(lambda: world.pool_status().get("updatedReplicas") == 1)
        history = [entry["status"] for entry in world.status("cam")["history"]]
        assert history == ["pending", "in_progress", "handler_lost", "restart", "pending"]


@on_embedded_api
async def test_of_three_pods_one_at_a_time_is_replaced_and_each_stream_moves_once(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=2, replicas=3)
        await world.until(lambda: world.pool_status().get("readyReplicas") == 3)
        old = uids(world)
        names = [f"cam-{number}" for number in range(3)]
        for name in names:
            await world.stream(name)
        await world.until(lambda: all(world.pod_of(name) for name in names))
        draining: list[int] = []
        world.pods.subscribe(lambda _: draining.append(sum(map(is_draining, world.pods.cache.values()))))
        await world.change_pool("pool", image="luna-streams-processor:next")
        await world.until(lambda: condition(world.pool_status(), "Reconciling").get("status") == "True")
        await world.until(lambda: old.isdisjoint(uids(world)) and len(uids(world)) == 3)
        await world.until(lambda: not condition(world.pool_status(), "Reconciling"))
        assert max(draining) == 1
        assert condition(world.pool_status(), "Ready")["status"] == "True"
        await world.until(lambda: all(world.pod_of(name) in world.pod_names() for name in names))


def is_draining(pod: dict[str, Any]) -> bool:
    return "lunastreams.dev/drain" in (pod["metadata"].get("annotations") or {})


@pytest.mark.parametrize(
    ("override", "reason", "told"),
    [
        ({"restartPolicy": "Never"}, "InvalidPodTemplate", "restartPolicy must be Always"),
        ({"containers": [{"name": "main", "tty": True}]}, "InvalidPodTemplate", "name it processor"),
        ({"runtimeClasName": "nvidia"}, "PodRejected", 'unknown field "spec.runtimeClasName"'),
        ({"tolerations": [{"operator": "Sometimes"}]}, "PodRejected", "tolerations"),
    ],
    ids=["breaks the contract", "names another container", "misspelt", "refused"],
)
async def test_a_template_that_makes_no_pod_is_told_and_disturbs_nobody(
    world: OperatorWorld, override: dict[str, Any], reason: str, told: str
) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=2)
        await world.stream("cam")
        await world.until(lambda: world.pod_of("cam"))
        await world.advance("cam", Taken("w"))
        before = uids(world)
        await world.change_pool("pool", podTemplate={"spec": override})
        await world.until(lambda: condition(world.pool_status(), "Ready").get("reason") == reason)
        ready, stalled = (condition(world.pool_status(), name) for name in ("Ready", "Stalled"))
        assert told in ready["message"]
        assert (stalled["status"], stalled["reason"]) == ("True", reason)
        assert uids(world) == before
        assert world.status("cam")["status"] == "in_progress"
        await world.change_pool("pool", podTemplate=None)
        await world.until(lambda: condition(world.pool_status(), "Ready").get("reason") == "PodsReady")
        assert not condition(world.pool_status(), "Stalled")
        assert uids(world) == before, "back to what it was: nothing is replaced"


@on_embedded_api
async def test_while_no_pod_can_be_made_the_others_are_looked_after(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=2, replicas=2)
        await world.until(lambda: world.pool_status().get("readyReplicas") == 2)
        await world.change_pool("pool", podTemplate={"spec": {"restartPolicy": "Never"}})
        await world.until(lambda: condition(world.pool_status(), "Stalled"))
        await world.set_pod("pool-0", phase="Failed", reason="Evicted")
        await world.until(lambda: world.pod_names() == {"pool-1"})
        await world.until(lambda: world.pool_status().get("readyReplicas") == 1)


@pytest.fixture(params=["embedded", pytest.param("kube-apiserver", marks=pytest.mark.apiserver)])
def own_api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ApiServer]:
    """Run a server of this test alone, since it takes the definitions away."""
    if request.param == "embedded":
        with embedded_server(tmp_path) as server:
            yield server
        return
    assets = kubernetes_assets()
    if assets is None:
        pytest.skip("no kube-apiserver: set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver")
    with real_server(assets, tmp_path) as server:
        yield server


async def test_definitions_go_with_all_objects_of_theirs(own_api: ApiServer, tmp_path: Path) -> None:
    """Nothing of ours holds them up. For itself, kube-apiserver takes minutes on a busy machine."""
    async with an_operator_world(own_api) as world:
        kubectl = Kubectl(find_kubectl("of the assets"), own_api.kubeconfig, tmp_path, world.namespace)
        async with world.operator():
            await world.pool()
            await world.stream("cam")
            await world.until(lambda: world.pod_of("cam"))
            found = [await world.client.list(kind.within(world.namespace)) for kind in (STREAMS, STREAM_PROCESSORS)]
            assert [obj["metadata"].get("finalizers") for kind in found for obj in kind.items] == [None, None]
            files = [argument for path in crd_manifests() for argument in ("-f", str(path))]
            assert "deleted" in await kubectl("delete", *files, f"--wait={str(not own_api.is_real).lower()}")
            left = (await world.client.list(CUSTOM_RESOURCE_DEFINITIONS.everywhere())).items
            names = [name for definition in left for name in definition["metadata"].get("finalizers", ())]
            assert set(names) <= ({"customresourcecleanup.apiextensions.k8s.io"} if own_api.is_real else set())
