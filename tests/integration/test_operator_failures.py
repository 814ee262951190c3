"""Pods and nodes die in every way Kubernetes knows; their statuses are written as kubelet and controllers write them.

The operator is to place their streams again, and to say why they were lost. How fast it does so on a real cluster:
tests/e2e.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from luna_kube import PODS
from luna_streams.lifecycle import HandlerLost, Taken
from support import pod_statuses as ps
from support.apiservers import ApiServer
from support.builders import v2_body
from support.operators import OperatorWorld, an_operator_world, condition
from support.shims import Deployment

Json = dict[str, Any]
Harm = Callable[[OperatorWorld, str], Awaitable[None]]

AGAIN_S = 60.0


@pytest.fixture
async def world(any_api: ApiServer) -> AsyncIterator[OperatorWorld]:
    async with an_operator_world(any_api) as world:
        yield world


def writes(status: Json) -> Harm:
    async def harm(world: OperatorWorld, pod: str) -> None:
        await world.set_pod(pod, **status)

    return harm


async def bind(world: OperatorWorld, pod: str, node: str) -> None:
    """Put a pod on a node, as the scheduler does: from then on only a kubelet ends its deletion."""
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
    await world.client.create(PODS.at(world.namespace, pod).sub("binding"), body)


async def delete_by_taint(world: OperatorWorld, pod: str) -> None:
    """Do what the taint manager does five minutes after a node was lost; nobody carries the deletion out."""
    await world.set_pod(pod, **ps.disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"))
    await world.client.delete(PODS.at(world.namespace, pod), grace_period_s=30)


async def break_gpu(world: OperatorWorld, pod: str) -> None:
    await world.set_pod(pod, **ps.with_device())
    kept = await world.client.get(PODS.at(world.namespace, pod))
    if "allocatedResourcesStatus" not in kept["status"]["containerStatuses"][0]:
        pytest.skip("this API server drops the health of devices: its feature gate ResourceHealthStatus is off")


async def delete_by_force(world: OperatorWorld, pod: str) -> None:
    await world.delete_pod(pod)


HARMS: dict[str, tuple[Harm, str]] = {
    "evicted": (writes(ps.evicted()), "ended: Evicted: The node was low on resource: memory"),
    "refused": (writes(ps.refused_for_its_device()), "ended: UnexpectedAdmissionError: Allocate failed"),
    "out-of-memory": (writes(ps.died()), "does not run: the container ended with OOMKilled, exit code 137"),
    "crash-looping": (writes(ps.crash_looping()), "does not run: CrashLoopBackOff: the last run ended with OOMKilled"),
    "no-image": (writes({**ps.without_image(), "phase": "Running"}), "does not run: ImagePullBackOff: Back-off"),
    "gpu": (break_gpu, "cannot go on: DeviceUnhealthy: nvidia.com/gpu GPU-3 is unhealthy"),
    "tainted": (delete_by_taint, "is being deleted: DeletionByTaintManager: Taint manager"),
    "forced": (delete_by_force, "processor pod pool-"),  # is being deleted, then gone: whichever is seen
}


async def busy(world: OperatorWorld, *names: str, slots: int, replicas: int) -> None:
    """Have streams in progress on a pool whose pods all run on nodes named after them."""
    await world.pool(slots_per_pod=slots, replicas=replicas)
    await world.until(lambda: world.pool_status().get("readyReplicas") == replicas)
    for name in names:
        await world.stream(name)
    await world.until(lambda: all(world.pod_of(name) for name in names))
    for pod in sorted(world.pod_names()):
        await bind(world, pod, f"node-of-{pod}")
    for name in names:
        await world.advance(name, Taken("w"))


@pytest.mark.parametrize("how", HARMS)
async def test_the_streams_of_a_pod_are_placed_again_and_everybody_hears_why(world: OperatorWorld, how: str) -> None:
    harm, why = HARMS[how]
    async with world.operator():
        await busy(world, "a", "b", slots=4, replicas=2)
        bad = world.pod_of("a")
        assert bad is not None
        other = world.pod_of("b")
        assert other != bad, "they were spread"
        await harm(world, bad)
        await world.until(lambda: world.pod_of("a") not in (None, bad), timeout_s=AGAIN_S)
        status = world.status("a")
        assert (status["status"], world.reason("a")) == ("pending", "Assigned")
        assert why in status["lastError"]
        log = [(entry["status"], entry.get("error")) for entry in status["history"]]
        assert [state for state, _ in log] == ["pending", "in_progress", "handler_lost", "restart", "pending"]
        assert log[2][1] == status["lastError"]
        assert why in condition(status, "Ready")["message"]
        assert world.status("b")["status"] == "in_progress", "the others are not disturbed"
        await world.until_event("HandlerLost", why)


async def test_a_lost_node_is_made_up_for_and_when_it_returns_the_emptier_pod_goes(world: OperatorWorld) -> None:
    async with world.operator():
        await busy(world, "a", slots=1, replicas=1)
        await world.advance("a", HandlerLost("The handler did not report for 20 s"))
        # The shim is first; Kubernetes notices twice as late.
        await world.until(lambda: world.pod_of("a") == "pool-1", timeout_s=AGAIN_S)
        made = world.pods.get(world.namespace, "pool-1")
        assert made is not None
        wishes = made["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        avoided = {"key": "metadata.name", "operator": "NotIn", "values": ["node-of-pool-0"]}
        assert wishes == [{"weight": 100, "preference": {"matchFields": [avoided]}}]
        await world.advance("a", Taken("w"))
        await world.set_pod("pool-0", **ps.on_a_lost_node())
        await world.until_event("PodTrouble", "NodeLost: node node-of-pool-0 does not answer")
        await world.until_event("HandlerLost", "The handler did not report for 20 s")
        assert world.pod_names() == {"pool-0", "pool-1"}, "the pod is left alone"
        await world.set_pod("pool-0", **ps.working())
        await world.until(lambda: "deletionTimestamp" in pod_of(world, "pool-0")["metadata"])
        assert (world.pod_of("a"), world.status("a")["status"]) == ("pool-1", "in_progress")


def pod_of(world: OperatorWorld, name: str) -> Json:
    return world.pods.get(world.namespace, name) or {"metadata": {"deletionTimestamp": "gone"}}


async def test_a_pod_that_stops_for_ever_on_a_dead_node_leaves_its_name_and_nothing_else(world: OperatorWorld) -> None:
    async with world.operator():
        await busy(world, "a", slots=1, replicas=1)
        await delete_by_taint(world, "pool-0")
        await world.until(lambda: world.pod_of("a") == "pool-1", timeout_s=AGAIN_S)
        assert "deletionTimestamp" in pod_of(world, "pool-0")["metadata"], "nobody forces it"
        await world.until(lambda: world.pool_status().get("readyReplicas") == 1)


async def test_a_roll_out_that_cannot_run_and_a_fault_leave_what_works_alone(world: OperatorWorld) -> None:
    async with world.operator():
        await busy(world, "a", "b", slots=1, replicas=2)
        world.kubelet_makes_ready = False
        await world.change_pool("pool", image="no/such:1")
        await world.until(lambda: "pool-2" in world.pod_names())
        await world.set_pod("pool-2", **ps.without_image())
        # Before that is known, a pod of the older template that fails goes first.
        await world.until_event("PodTrouble", "ImagePullBackOff")
        bad, good = world.pod_of("a"), world.pod_of("b")
        assert bad is not None
        await world.set_pod(bad, **ps.crash_looping())
        await world.until(lambda: "CrashLoopBackOff" in world.status("a").get("lastError", ""), timeout_s=AGAIN_S)
        await world.until_event("PodTrouble", "CrashLoopBackOff")
        assert world.pod_names() == {"pool-0", "pool-1", "pool-2"}
        assert (world.pod_of("b"), world.status("b")["status"]) == (good, "in_progress")
        await world.set_pod(bad, **ps.working())
        await world.until(lambda: world.pod_of("a") == bad and world.reason("a") == "Assigned", timeout_s=AGAIN_S)
        world.kubelet_makes_ready = True
        await world.change_pool("pool", image="luna-streams-processor:next")
        await world.until(lambda: new_images(world) == {"luna-streams-processor:next"} and at_rest(world), timeout_s=60)


def new_images(world: OperatorWorld) -> set[str]:
    live = [pod for pod in world.pods.cache.values() if "deletionTimestamp" not in pod["metadata"]]
    return {pod["spec"]["containers"][0]["image"] for pod in live}


def at_rest(world: OperatorWorld) -> bool:
    return all(world.reason(name) == "Assigned" for name in "ab")


async def test_two_faults_while_no_operator_runs_are_found_by_the_next_one(world: OperatorWorld) -> None:
    async with world.operator():
        await busy(world, "a", "b", "c", slots=2, replicas=3)
    hosts = {name: world.pod_of(name) for name in "abc"}
    assert len(set(hosts.values())) == 3
    await world.set_pod(str(hosts["a"]), **ps.evicted())
    await delete_by_taint(world, str(hosts["b"]))
    async with world.operator():
        await world.until(lambda: all(world.pod_of(n) not in (None, hosts[n]) for n in "ab"), timeout_s=AGAIN_S)
        assert world.status("c")["status"] == "in_progress"
        assert "Evicted" in world.status("a")["lastError"]
        assert "DeletionByTaintManager" in world.status("b")["lastError"]
        await world.until(lambda: world.pool_status().get("readyReplicas") == 3)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (ps.evicted(), "processor pod pool-0 ended: Evicted: The node was low on resource: memory"),
        (ps.crash_looping(), "processor pod pool-0 does not run: CrashLoopBackOff: the last run ended with OOMKilled"),
        (ps.on_a_lost_node(), "The handler did not report for 4 s"),
    ],
    ids=["by-the-operator", "in-place", "by-the-shim"],
)
async def test_rest_clients_hear_why_in_the_last_error_and_the_log(
    world: OperatorWorld, any_api: ApiServer, tmp_path: Path, status: Json, why: str
) -> None:
    deployment = Deployment(any_api, world.client, world.namespace, tmp_path)
    async with world.operator(), deployment.shim(obsoleting_period=4, lease_duration=2) as shim:
        await world.pool(slots_per_pod=1, replicas=1)
        stream_id = await shim.create(v2_body())
        await world.until(lambda: world.pod_of(stream_id) == "pool-0")
        await world.advance(stream_id, Taken("w"))
        await world.set_pod("pool-0", **status)
        await shim.until(stream_id, status="pending", timeout_s=AGAIN_S)
        assert why in (await shim.read(stream_id))["last_error"]
        answer = await shim.http.get("/2/streams/logs", params={"stream_ids": stream_id})
        told = {entry["status"]: entry["error"] for entry in answer.json()["logs"]}
        assert why in told["handler_lost"]
        assert why in (await shim.read(stream_id, api=1))["last_error"]
        await world.until_event("HandlerLost", why)
