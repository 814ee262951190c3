"""Our resources as people meet them with kubectl, operator and shim at work, on either API server.

The kubectl that people have talks to the embedded server, the newest one to kube-apiserver; test_kubectl.py has both on
the embedded one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from luna_kube import STREAM_PROCESSORS, STREAMS, Resource
from luna_streams.lifecycle import Report, Taken
from luna_streams.v1alpha1 import StreamState, VideoInfo
from support.apiservers import ApiServer
from support.builders import ACCOUNT, HANDLER
from support.crd_schemas import crds
from support.kubectl import Kubectl, find_kubectl
from support.operators import OperatorWorld, an_operator_world, condition
from support.repository import ROOT
from support.shims import Deployment, Shim
from support.waiting import PATIENCE_S

Json = dict[str, Any]
VIDEO = VideoInfo(width=1920, height=1080, frame_rate=25, bit_rate=1, gop_size=1, start_time=0)
EXAMPLES = ROOT / "crds" / "examples"
PATIENTLY = "--timeout=100s"


@pytest.fixture
async def world(any_api: ApiServer) -> AsyncIterator[OperatorWorld]:
    async with an_operator_world(any_api) as world:
        yield world


@pytest.fixture(scope="module")
def discovered(any_api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where kubectl keeps what a server serves: asked for once, as people do."""
    return tmp_path_factory.mktemp(any_api.name)


@pytest.fixture
def kubectl(any_api: ApiServer, world: OperatorWorld, discovered: Path) -> Kubectl:
    which = "of the assets" if any_api.is_real else "on the path"
    return Kubectl(find_kubectl(which), any_api.kubeconfig, discovered, world.namespace)


@asynccontextmanager
async def a_shim(world: OperatorWorld, api: ApiServer, folder: Path) -> AsyncIterator[Shim]:
    async with Deployment(api, world.client, world.namespace, folder).shim() as shim:
        yield shim


def a_manifest(name: str = "door", **spec: Any) -> Json:
    """Return a stream as a person writes it: only what must be said."""
    data = {
        "type": "tcp",
        "reference": "rtsp://camera/live",
        "analytics": [{"eventHandler": {"handlerId": HANDLER}}],
    }
    return {
        "apiVersion": "lunastreams.dev/v1alpha1",
        "kind": "Stream",
        "metadata": {"name": name},
        "spec": {"accountId": ACCOUNT, "data": data, **spec},
    }


def a_pool_manifest(name: str = "pool", **spec: Any) -> Json:
    return {
        "apiVersion": "lunastreams.dev/v1alpha1",
        "kind": "StreamProcessor",
        "metadata": {"name": name},
        "spec": spec,
    }


def table(text: str) -> list[dict[str, str]]:
    """Return the rows of what `kubectl get` printed, by column; a blank cell is empty."""
    head, *lines = text.splitlines()
    names = head.split()
    starts = [head.index(name, 0 if at == 0 else head.index(names[at - 1]) + 1) for at, name in enumerate(names)]
    ends = [*starts[1:], None]
    return [
        {name: line[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)} for line in lines
    ]


# --- at a glance ----------------------------------------------------------------------------------------------------


async def test_get_tells_of_each_stream_where_it_runs_or_why_not(world: OperatorWorld, kubectl: Kubectl) -> None:
    async with world.operator():
        for name in ("door", "gate", "hall"):
            wish = {"displayName": f"the {name}", "groups": ["all", "north"]}
            await kubectl("apply", "-f-", stdin=a_manifest(name, **wish))
            await world.until_reason(name, "NoPoolSelects")
        await kubectl("apply", "-f-", stdin=a_pool_manifest(slotsPerPod=1))
        await world.until(lambda: sum(bool(world.pod_of(name)) for name in ("door", "gate", "hall")) == 1)
        running, waiting, paused = sorted(("door", "gate", "hall"), key=lambda name: not world.pod_of(name))
        await world.advance(running, Taken("w"))
        await world.advance(running, Report(StreamState.IN_PROGRESS, 1, worker="w", video_info=VIDEO))
        await world.change_stream(paused, desiredStatus="pause")
        await world.until_reason(paused, "NotRequested")
        await world.until_reason(waiting, "NoFreeSlot")
        rows = {row["NAME"]: row for row in table(await kubectl("get", "streams"))}
        assert list(rows[running]) == ["NAME", "STATUS", "REASON", "PROCESSOR", "FPS", "DISPLAY-NAME", "AGE"]
        shown = {name: (row["STATUS"], row["REASON"], row["PROCESSOR"]) for name, row in rows.items()}
        assert shown[waiting] == ("pending", "NoFreeSlot", "")
        assert shown[paused] == ("pause", "Paused", "")
        assert (rows[running]["STATUS"], rows[running]["PROCESSOR"]) == ("in_progress", "pool-0")
        assert rows[running]["FPS"] == "25"
        [wide] = table(await kubectl("get", "stream", running, "-o", "wide"))
        expected = {"TYPE": "tcp", "WIDTH": "1920", "HEIGHT": "1080", "POOL": "pool", "VERSION": "1"}
        assert {name: wide[name] for name in expected} == expected
        assert (wide["GROUPS"], wide["ACCOUNT"]) == ('["all","north"]', ACCOUNT)


async def test_get_tells_of_a_pool_how_many_pods_work_and_why_not_all(world: OperatorWorld, kubectl: Kubectl) -> None:
    async with world.operator():
        spec: Json = {"slotsPerPod": 3, "maxReplicas": 2, "gpu": {"resourceName": "nvidia.com/gpu"}}
        await kubectl("apply", "-f-", stdin=a_pool_manifest(**spec))
        assert "condition met" in await kubectl("wait", "--for=condition=Ready", "streamprocessor/pool", PATIENTLY)
        [row] = table(await kubectl("get", "lsp", "-o", "wide"))
        expected = {
            "READY": "1", "PODS": "1", "UP-TO-DATE": "1", "SLOTS": "3", "ASSIGNED": "0", "WAITING": "0",
            "REASON": "PodsReady", "MIN": "1", "MAX": "2", "GPU": "nvidia.com/gpu",
        }  # fmt: skip
        assert {name: row[name] for name in expected} == expected


async def test_everything_of_ours_is_one_category_and_has_short_names(world: OperatorWorld, kubectl: Kubectl) -> None:
    group = {"accountId": ACCOUNT, "groupName": "doors"}
    kind = {"apiVersion": "lunastreams.dev/v1alpha1", "kind": "StreamGroup", "metadata": {"name": "doors"}}
    for manifest in (a_manifest(), a_pool_manifest(), {**kind, "spec": group}):
        await kubectl("apply", "-f-", stdin=manifest)
    names = set((await kubectl("get", "luna", "-o", "name")).split())
    prefix = "lunastreams.dev"
    assert names == {f"stream.{prefix}/door", f"streamprocessor.{prefix}/pool", f"streamgroup.{prefix}/doors"}
    for crd in crds().values():
        for short in crd["spec"]["names"]["shortNames"]:
            assert (await kubectl("get", short, "-o", "name")).strip() in names


async def test_lists_are_sorted_and_selected(world: OperatorWorld, kubectl: Kubectl) -> None:
    async with world.operator():
        for priority, name in enumerate(("c", "a", "b")):
            await kubectl("apply", "-f-", stdin=a_manifest(name, priority=priority))
        by_priority = await kubectl("get", "streams", "--sort-by=.spec.priority", "-o", "name")
        assert [line[-1] for line in by_priority.split()] == ["c", "a", "b"]
        await kubectl("patch", "stream", "a", "--type=merge", "-p", '{"spec":{"desiredStatus":"pause"}}')
        await world.until(lambda: world.status("a").get("status") == "pause")
        chosen = await kubectl("get", "streams", "--field-selector=status.status=pause", "-o", "name")
        assert chosen.split() == ["stream.lunastreams.dev/a"]


# --- why ------------------------------------------------------------------------------------------------------------


async def test_describe_shows_why_and_what_happened_in_its_order(world: OperatorWorld, kubectl: Kubectl) -> None:
    async with world.operator():
        await kubectl("apply", "-f-", stdin=a_manifest())
        await world.until_reason("door", "NoPoolSelects")
        await kubectl("apply", "-f-", stdin=a_pool_manifest(replicas=0))
        await world.until_reason("door", "NoReadyPod")
        await kubectl("scale", "streamprocessor", "pool", "--replicas=1")
        await world.until(lambda: world.pod_of("door"))
        await world.advance("door", Taken("w"))
        await world.set_pod("pool-0", phase="Failed", reason="Evicted", message="disk pressure")
        await world.until(lambda: len(world.status("door")["history"]) > 4)
        reasons = ["NoPoolSelects", "NoReadyPod", "Assigned", "HandlerLost"]
        told = ""
        async with asyncio.timeout(PATIENCE_S):
            while any(reason not in told for reason in reasons):
                told = (await kubectl("describe", "stream", "door")).partition("\nEvents:")[2]
        # Told by the last time: that no pod is ready may have been said once more since.
        places = [told.index(reason) for reason in reasons if reason != "NoReadyPod"]
        assert places == sorted(places), told
        assert "Evicted: disk pressure" in told
        pool = await kubectl("describe", "streamprocessor", "pool")
        assert "PodCreated" in pool
        assert "luna-operator" in pool


async def test_wait_ends_when_the_stream_is_processed(world: OperatorWorld, kubectl: Kubectl) -> None:
    async with world.operator():
        await kubectl("apply", "-f-", stdin=a_pool_manifest())
        await kubectl("apply", "-f-", stdin=a_manifest())
        waiting = asyncio.create_task(kubectl("wait", "--for=condition=Processing", "stream/door", PATIENTLY))
        await world.until(lambda: world.pod_of("door"))
        await world.advance("door", Taken("w"))
        assert "condition met" in await waiting
        late = await kubectl.run("wait", "--for=condition=Processing=False", "stream/door", "--timeout=0.3s")
        assert "timed out" in late.err


# --- scale ----------------------------------------------------------------------------------------------------------


async def test_scale_fixes_the_number_of_pods_and_its_removal_scales_by_demand_again(
    world: OperatorWorld, kubectl: Kubectl
) -> None:
    async with world.operator():
        pool = a_pool_manifest(slotsPerPod=1, minReplicas=1, maxReplicas=2, scaleDownDelaySeconds=0)
        await kubectl("apply", "--server-side", "--field-manager=gitops", "-f-", stdin=pool)
        await kubectl("scale", "streamprocessor", "pool", "--replicas=3")
        await world.until(lambda: world.pool_status().get("readyReplicas") == 3)
        await kubectl("apply", "--server-side", "--field-manager=gitops", "-f-", stdin=pool)
        scale = json.loads(await kubectl("get", "--raw", f"{path_of(STREAM_PROCESSORS, world, 'pool')}/scale"))
        assert scale["spec"]["replicas"] == 3, "who applies the pool without replicas leaves them alone"
        assert scale["status"]["replicas"] == 3
        pods = await kubectl("get", "pods", "-l", scale["status"]["selector"], "-o", "name")
        assert len(pods.split()) == 3, "a HorizontalPodAutoscaler finds the pods by it"
        await kubectl("patch", "streamprocessor", "pool", "--type=merge", "-p", '{"spec":{"replicas":null}}')
        await world.until(lambda: len(world.pod_names()) == 1)


def path_of(resource: Resource, world: OperatorWorld, name: str) -> str:
    return resource.at(world.namespace, name).path


# --- GitOps ---------------------------------------------------------------------------------------------------------


def owners(obj: Json) -> dict[str, list[str]]:
    """Return which managers own what below spec, as `kubectl get --show-managed-fields` tells it."""
    return {
        f"{entry['manager']} {entry['operation']}": sorted(entry["fieldsV1"].get("f:spec", {}))
        for entry in obj["metadata"]["managedFields"]
        if "f:spec" in entry["fieldsV1"]
    }


async def test_nobody_of_ours_owns_a_field_that_was_applied(
    world: OperatorWorld, any_api: ApiServer, kubectl: Kubectl, tmp_path: Path
) -> None:
    apply = ("apply", "--server-side", "--field-manager=gitops", "-f-")
    # A name that is a UUID: REST clients know the stream by it.
    name = "0193e0d5-5f6a-7c3e-8a5b-2f6d0c1b4a39"
    stream, pool = a_manifest(name, displayName="entrance", description="x"), a_pool_manifest(slotsPerPod=2)
    async with world.operator(), a_shim(world, any_api, tmp_path) as shim:
        for _ in range(2):
            await kubectl(*apply, stdin=pool)
            await kubectl(*apply, stdin=stream)
            await world.until(lambda: world.pod_of(name))
        generation = (await world.client.get(STREAMS.at(world.namespace, name)))["metadata"]["generation"]
        assert generation == 1, "applying the same again changes nothing"
        answer = await shim.http.patch(f"/2/streams/{name}", json={"status": "pause"})
        assert answer.status_code == 204, answer.text
        await world.until(lambda: world.status(name)["status"] == "pause")
        wish = {"luna-streams-shim Update": ["f:desiredStatus"]}
        for resource, called, applied, others in (
            (STREAMS, name, stream["spec"], wish),
            (STREAM_PROCESSORS, "pool", pool["spec"], {}),
        ):
            obj = await world.client.get(resource.at(world.namespace, called))
            owned = owners(obj)
            assert owned.pop("gitops Apply") == sorted(f"f:{field}" for field in applied)
            assert owned == others
        await kubectl(*apply, stdin=stream)  # no conflict: what the REST client wished is not in the manifest
        await asyncio.sleep(0.5)
        assert world.status(name)["status"] == "pause"
        await kubectl(*apply, stdin=a_manifest(name, displayName="entrance", desiredStatus="pause"))
        refused = await kubectl.run(*apply, stdin=a_manifest(name, displayName="entrance", desiredStatus="pending"))
        assert refused.code == 1
        assert "conflict" in refused.err, "who wishes the contrary of a REST client is told so"


@pytest.mark.parametrize("side", ["--server-side", "--server-side=false"])
async def test_diff_is_empty_after_an_apply_and_a_second_apply_changes_nothing(
    world: OperatorWorld, kubectl: Kubectl, side: str
) -> None:
    await kubectl("apply", side, "-f", str(EXAMPLES))
    diff = await kubectl.run("diff", side, "-f", str(EXAMPLES))
    assert (diff.code, diff.out) == (0, ""), diff.err
    before = await versions(kubectl)
    await kubectl("apply", side, "-f", str(EXAMPLES))
    assert await versions(kubectl) == before


async def versions(kubectl: Kubectl) -> dict[tuple[str, str], str]:
    """Return the version of each object of ours among the examples."""
    found = json.loads(await kubectl("get", "-f", str(EXAMPLES), "-o", "json"))["items"]
    ours = [(obj["kind"], obj["metadata"]) for obj in found if obj["kind"] in crds()]
    assert len(ours) >= len(list(EXAMPLES.glob("*.yaml")))
    return {(kind, metadata["name"]): metadata["resourceVersion"] for kind, metadata in ours}


async def test_status_says_which_generation_it_is_about(world: OperatorWorld, kubectl: Kubectl) -> None:
    """What Flux and Argo CD (kstatus) need to know that the operator has seen the last change."""
    async with world.operator():
        await kubectl("apply", "-f-", stdin=a_pool_manifest())
        await kubectl("apply", "-f-", stdin=a_manifest())
        await world.until(lambda: world.pod_of("door"))
        await world.change_stream("door", priority=3)
        await world.change_pool("pool", image="luna-streams-processor:next")
        await world.until(lambda: world.status("door").get("observedGeneration") == 2)
        await world.until(lambda: world.pool_status().get("observedGeneration") == 2)
        assert {one["observedGeneration"] for one in world.status("door")["conditions"]} == {2}
        assert {one["observedGeneration"] for one in world.pool_status()["conditions"]} == {2}
        await world.until(lambda: world.pool_status()["updatedReplicas"] == world.pool_status()["replicas"] == 1)
        await world.until(lambda: not condition(world.pool_status(), "Reconciling"))


# --- deletion -------------------------------------------------------------------------------------------------------


async def test_deletion_needs_nobody_of_ours(world: OperatorWorld, kubectl: Kubectl) -> None:
    async with world.operator():
        await kubectl("apply", "-f-", stdin=a_pool_manifest())
        await kubectl("apply", "-f-", stdin=a_manifest())
        await world.until(lambda: world.pod_of("door"))
    for what in ("stream/door", "streamprocessor/pool"):
        assert "deleted" in await kubectl("delete", what, PATIENTLY)


@pytest.mark.parametrize("cascade", ["background", "foreground"])
async def test_a_deleted_pool_takes_its_pods_along(world: OperatorWorld, kubectl: Kubectl, cascade: str) -> None:
    async with world.operator():
        await kubectl("apply", "-f-", stdin=a_pool_manifest(replicas=2))
        await world.until(lambda: world.pool_status().get("readyReplicas") == 2)
        deleting = asyncio.create_task(kubectl("delete", "streamprocessor", "pool", f"--cascade={cascade}", PATIENTLY))
        # No kubelet ends the pods here: wait until they are told to stop, then do what it does.
        await world.until(lambda: all("deletionTimestamp" in pod["metadata"] for pod in world.pods.cache.values()))
        for name in world.pod_names():
            await world.delete_pod(name)
        assert "deleted" in await deleting
        await world.until(lambda: world.pod_names() == set())
        await asyncio.sleep(0.5)
        assert world.pod_names() == set(), "none is made again for a pool that is gone"


async def test_a_namespace_goes_with_streams_pools_and_pods_in_it(world: OperatorWorld, kubectl: Kubectl) -> None:
    async with world.operator():
        await kubectl("apply", "-f-", stdin=a_pool_manifest())
        await kubectl("apply", "-f-", stdin=a_manifest())
        await world.until(lambda: world.pod_of("door"))
        deleting = asyncio.create_task(kubectl("delete", "namespace", world.namespace, PATIENTLY))
        await world.until(lambda: all("deletionTimestamp" in pod["metadata"] for pod in world.pods.cache.values()))
        for name in world.pod_names():
            await world.delete_pod(name)
        assert "deleted" in await deleting


# --- reading up -----------------------------------------------------------------------------------------------------


async def test_explain_says_what_a_field_is_for(world: OperatorWorld, kubectl: Kubectl) -> None:
    for field, text in (
        ("stream", "A video source that is decoded and searched"),
        ("stream.status.conditions.reason", "Why, as one word."),
        ("streamprocessor.spec.podTemplate.spec", "kubectl patch --type strategic"),
        ("streamgroup.spec.groupName", "Name, unique within the account."),
        ("stream.kind", "Kind is a string value representing the REST resource"),
    ):
        assert text in " ".join((await kubectl("explain", field)).split()), field


def test_every_column_but_the_plain_ones_is_explained() -> None:
    for crd in crds().values():
        [version] = crd["spec"]["versions"]
        for column in version["additionalPrinterColumns"]:
            assert column.get("description") or column["name"] == "Age", (crd["metadata"]["name"], column["name"])


def test_the_examples_are_manifests_of_ours() -> None:
    kinds = {manifest["kind"] for path in EXAMPLES.glob("*.yaml") for manifest in yaml.safe_load_all(path.read_text())}
    assert kinds >= {"Stream", "StreamGroup", "StreamProcessor"}
