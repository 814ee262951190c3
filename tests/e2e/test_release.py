"""The chart in an administrator's hands: tested, upgraded from the version before, uninstalled, installed again."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.clusters import Cluster
from support.e2e_streams import Cameras
from support.inbox_threads import InboxThread
from support.lookouts import Lookout, a_lookout
from support.releases import Release, merged, values_for
from support.waiting import eventually

Json = dict[str, Any]

PREVIOUS = Path(__file__).parent / "charts" / "luna-streams-0.1.0.tgz"
"""The chart as it was published before this one."""
CRD = "streams.lunastreams.dev"
_WITHOUT_OWNERS = ("configmap/kube-root-ca.crt", "serviceaccount/default")
"""What every namespace has."""


@pytest.fixture
def second(cluster: Cluster, inbox: InboxThread, release: Release, tmp_path: Path) -> Iterator[Release]:
    """A release that is not installed yet, in a namespace of its own: one replica of each part, no GPU."""
    del release  # its definitions are there already, as with the first of several teams
    values = merged(values_for(cluster, inbox.url, ""), {"operator": {"replicas": 1}, "shim": {"replicas": 1}})
    values["processor"]["pool"] = {"spec": {"slotsPerPod": 4, "minReplicas": 1, "maxReplicas": 2}}
    made = Release(cluster, f"luna-e2e-{secrets.token_hex(3)}", tmp_path, values)
    made.make_namespace()
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--wait=false")


@pytest.fixture
async def second_lookout(second: Release) -> AsyncIterator[Lookout]:
    async with a_lookout(second) as running:
        yield running


def test_helm_test_finds_the_release_in_order(release: Release) -> None:
    assert "Succeeded" in release.test()


async def test_streams_go_on_while_the_version_before_is_upgraded(
    second: Release, second_lookout: Lookout, camera_url: str
) -> None:
    current = second.chart
    second.chart = PREVIOUS
    second.install()
    cameras = Cameras(second, camera_url)
    names = cameras.declare("north", "south")
    await second_lookout.all_in_progress(names, 90)
    second.kubectl("patch", "crd", CRD, "--type=json", "-p", '[{"op":"remove","path":"/spec/names/shortNames"}]')
    second.upgrade(chart=current)
    short_names = json.loads(second.kubectl("get", "crd", CRD, "-o", "json"))["spec"]["names"].get("shortNames")
    assert short_names, "the upgrade brought the definition up to date"
    await eventually(lambda: is_settled(second), "the pods are of the new version", timeout_s=120)
    await second_lookout.all_in_progress(names, 30)
    seen = {sight.status for name in names for sight in second_lookout.history[name]}
    assert seen <= {"", "pending", "in_progress"}
    assert not second_lookout.overlaps_s
    cameras.remove()
    second.uninstall()


async def test_nothing_stays_behind_and_it_can_be_installed_again(
    second: Release, second_lookout: Lookout, camera_url: str
) -> None:
    for _ in range(2):
        second.install()
        cameras = Cameras(second, camera_url)
        await second_lookout.all_in_progress(cameras.declare("door"), 90)
        cameras.remove()
        second.uninstall()
        await eventually(lambda: not left_behind(second), f"gone: {left_behind(second)}", timeout_s=60)
    assert CRD in second.kubectl("get", "crd", "-o", "name")


def is_settled(release: Release) -> bool:
    """Tell whether the pool has its pods, all of one template and ready."""
    pods = release.objects("pods", "-l", "app.kubernetes.io/component=processor")
    ready = [c["status"] == "True" for pod in pods for c in pod["status"].get("conditions", ()) if c["type"] == "Ready"]
    draining = [pod for pod in pods if "lunastreams.dev/drain" in pod["metadata"].get("annotations", {})]
    return bool(ready) and all(ready) and not draining


def left_behind(release: Release) -> list[str]:
    """Return what a namespace still holds besides what every one has, and what of the release is cluster-wide."""
    kinds = release.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    kinds = [kind for kind in kinds if not kind.startswith("events")]
    found = release.kubectl("get", ",".join(kinds), "-o", "name", "--ignore-not-found").split()
    cluster_wide = release.kubectl("api-resources", "--verbs=list", "--namespaced=false", "-o", "name").split()
    answer = release.kubectl("get", ",".join(cluster_wide), "-o", "json", "--ignore-not-found")
    for item in json.loads(answer)["items"]:
        metadata = item["metadata"]
        names = {metadata["name"], (metadata.get("annotations") or {}).get("meta.helm.sh/release-namespace")}
        if item["kind"] != "Namespace" and any(name and release.namespace in name for name in names):
            found.append(f"{item['kind']}/{metadata['name']}")
    return [name for name in found if name not in _WITHOUT_OWNERS]
