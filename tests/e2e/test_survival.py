"""Sixty streams on GPU pods of two nodes, and what dies under them: pods, nodes, leaders, the network, the API server.

Sixty at once is the point: after each fault every stream must be in progress again within its time, each in one pod.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from math import inf

import pytest

from support.clusters import Cluster, KindFaults, KitFaults, cut_off
from support.e2e_streams import Cameras
from support.lookouts import PORT, Lookout
from support.releases import PODS, SLOTS, Release
from support.waiting import eventually

STREAMS = 60
START_S = 120.0

POD_DEATH_S = 10.0
"""Until the streams of a pod that ended are in progress elsewhere."""
TAKEOVER_S = 15.0
"""Until another replica leads."""
SILENCE_S = 20.0
"""Until the shim gives a worker up that reports nothing."""
OBSOLETING_S = 10.0
"""How long an old worker may go on with a stream that another has."""
NODE_LOSS_S = 60.0
"""Until the streams of a lost node are in progress elsewhere, also if the leaders were there: a takeover, the silence
of the workers, and a start on a node that now does the work of two. (Eviction would begin after five minutes.)"""
NODE_BACK_S = 120.0


pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def crowd_names(release: Release, camera_url: str) -> Iterator[list[str]]:
    cameras = Cameras(release, camera_url)
    yield cameras.declare(*(f"cam-{number:02}" for number in range(STREAMS)))
    cameras.remove()


@pytest.fixture
async def crowd(crowd_names: list[str], lookout: Lookout) -> AsyncIterator[list[str]]:
    """Sixty streams in progress; afterwards, none of them may have been in two pods for long."""
    await lookout.all_in_progress(crowd_names, START_S)
    yield crowd_names
    await lookout.all_in_progress(crowd_names, START_S)
    assert all(length < OBSOLETING_S for length in lookout.overlaps_s.values()), lookout.overlaps_s


@pytest.fixture
def faults(cluster: Cluster) -> KitFaults | KindFaults:
    if cluster.faults is None:
        pytest.skip("nothing here breaks nodes: run by `make e2e` or `make e2e-kind`")
    return cluster.faults


async def test_streams_run_on_both_nodes(crowd: list[str], lookout: Lookout) -> None:
    used = {lookout.pod_of(name) for name in crowd}
    assert len({lookout.node_of(pod) for pod in used if pod}) == 2
    assert all(len(lookout.streams_of(pod)) <= SLOTS for pod in lookout.pod_names())


async def test_streams_of_a_pod_that_is_killed_go_on_elsewhere(
    crowd: list[str], lookout: Lookout, release: Release
) -> None:
    victim = fullest(lookout)
    lost = lookout.streams_of(victim)
    began = time.monotonic()
    release.kubectl("delete", "pod", victim, "--grace-period=0", "--force")
    await back_within(lookout, lost, began, POD_DEATH_S)
    assert victim in reason_of_loss(lookout, lost[0])


async def test_streams_of_a_container_that_is_killed_go_on(
    crowd: list[str], lookout: Lookout, faults: KitFaults | KindFaults
) -> None:
    victim = fullest(lookout)
    lost = lookout.streams_of(victim)
    pod = lookout.pods.get(lookout.namespace, victim)
    assert pod is not None
    began = time.monotonic()
    faults.kill_container(pod["spec"]["nodeName"], pod["status"]["containerStatuses"][0]["containerID"])
    await back_within(lookout, lost, began, POD_DEATH_S)


async def test_leaders_that_are_killed_are_replaced_and_no_stream_notices(
    crowd: list[str], lookout: Lookout, release: Release
) -> None:
    before = {name: len(lookout.history[name]) for name in crowd}
    leaders = {lease: holder(release, lease) for lease in leases(release)}
    began = time.monotonic()
    for leader in leaders.values():
        release.kubectl("delete", "pod", leader, "--grace-period=0", "--force", "--wait=false")
    await eventually(
        lambda: all(holder(release, lease) not in ("", old) for lease, old in leaders.items()), timeout_s=TAKEOVER_S
    )
    took_s = time.monotonic() - began
    assert took_s < TAKEOVER_S
    # Long enough for a worker to be declared lost, if the new leader had forgotten it.
    await asyncio.sleep(SILENCE_S + 5)
    assert {name: len(lookout.history[name]) for name in crowd} == before


async def test_two_pods_and_the_leading_operator_die_at_once(
    crowd: list[str], lookout: Lookout, release: Release
) -> None:
    first, second = sorted(lookout.pod_names(), key=lambda pod: len(lookout.streams_of(pod)))[-2:]
    lost = lookout.streams_of(first) + lookout.streams_of(second)
    operator = next(holder(release, lease) for lease in leases(release) if "operator" in lease)
    began = time.monotonic()
    release.kubectl("delete", "pod", first, second, operator, "--grace-period=0", "--force", "--wait=false")
    await back_within(lookout, lost, began, POD_DEATH_S + TAKEOVER_S)


async def test_a_pod_dies_while_pods_are_replaced_one_by_one(
    crowd: list[str], lookout: Lookout, release: Release
) -> None:
    old = {obj["metadata"]["uid"] for _, obj in lookout.pods.cache.items()}
    change = '{"spec":{"podTemplate":{"metadata":{"annotations":{"e2e":"replaced"}}}}}'
    release.kubectl("patch", "streamprocessor", "default", "--type=merge", "-p", change)
    await eventually(lambda: set(ready_pods(lookout).values()) - old, "the first new pod is ready", timeout_s=60)
    victim = fullest(lookout)
    lost = lookout.streams_of(victim)
    began = time.monotonic()
    release.kubectl("delete", "pod", victim, "--grace-period=0", "--force", "--wait=false")
    await back_within(lookout, lost, began, POD_DEATH_S + TAKEOVER_S)
    await eventually(
        lambda: old.isdisjoint(obj["metadata"]["uid"] for _, obj in lookout.pods.cache.items()),
        "every pod is of the new template",
        timeout_s=150,
    )


async def test_streams_outlive_an_api_server_that_is_silent_for_a_minute(
    crowd: list[str], lookout: Lookout, faults: KitFaults | KindFaults
) -> None:
    """At the latest a worker's silence after its return, all are in progress; none ended, none was changed."""
    with faults.api_server_frozen():
        await asyncio.sleep(60)
    await asyncio.sleep(SILENCE_S + POD_DEATH_S)
    await lookout.all_in_progress(crowd, TAKEOVER_S)
    assert {lookout.status(name)["version"] for name in crowd} == {1}


async def test_workers_on_a_node_that_is_cut_off_stop_before_their_streams_go_elsewhere(
    crowd: list[str], lookout: Lookout, release: Release, faults: KitFaults | KindFaults
) -> None:
    node = last_node(lookout)
    lost = streams_on(lookout, crowd, node)
    addresses = [lookout.address_of(pod) for pod in lookout.pod_names() if lookout.node_of(pod) == node]
    began = time.monotonic()
    with cut_off(faults, node):
        stopped_at = await asyncio.to_thread(until_idle, faults, node, addresses, SILENCE_S)
        await back_within(lookout, lost, began, NODE_LOSS_S)
    given_away = min(lookout.left_at(name, began) for name in lost)
    assert stopped_at < given_away, (stopped_at - began, given_away - began)
    release.kubectl("wait", "--for=condition=Ready", f"node/{node}", f"--timeout={NODE_BACK_S:.0f}s")


async def test_streams_of_a_node_that_loses_power_go_on_elsewhere(
    crowd: list[str], lookout: Lookout, release: Release, faults: KitFaults | KindFaults
) -> None:
    node = last_node(lookout)
    await give_streams_to(node, crowd, lookout, release)
    lost = streams_on(lookout, crowd, node)
    began = time.monotonic()
    faults.kill(node)
    try:
        await back_within(lookout, lost, began, NODE_LOSS_S)
    finally:
        await asyncio.to_thread(faults.revive, node)
    release.kubectl("wait", "--for=condition=Ready", f"node/{node}", f"--timeout={NODE_BACK_S:.0f}s")


def test_no_request_of_ours_was_forbidden(release: Release, cluster: Cluster) -> None:
    """Whatever the tests before this one did: the chart's permissions were enough."""
    log = cluster.faults.audit_log if cluster.faults else None
    if log is None:
        pytest.skip("the audit log of this cluster cannot be read")
    ours = f"system:serviceaccount:{release.namespace}:"
    entries = [json.loads(line) for line in log.read_text().splitlines() if ours in line]
    assert entries
    refused = {
        (entry["verb"], entry["requestURI"].partition("?")[0], entry["user"]["username"])
        for entry in entries
        if (entry.get("responseStatus") or {}).get("code") in (401, 403) and entry["user"]["username"].startswith(ours)
    }
    assert not refused


async def give_streams_to(node: str, crowd: list[str], lookout: Lookout, release: Release) -> None:
    """Let a node have streams again, to which nothing moves by itself: pods elsewhere are deleted, one after the other.

    The first that is made anew stands on the empty node; the streams of the next go there.
    """
    for _ in range(PODS):
        await eventually(lambda: len(ready_pods(lookout)) == PODS, "every pod is ready", timeout_s=120)
        if streams_on(lookout, crowd, node):
            break
        victim = fullest(lookout)
        uid = ready_pods(lookout)[victim]
        release.kubectl("delete", "pod", victim)
        await eventually(partial(is_gone, lookout, uid), "it is gone", timeout_s=30)
    await lookout.all_in_progress(crowd, START_S)


# -- what is looked at -------------------------------------------------------------------------------------------------


async def back_within(lookout: Lookout, names: list[str], began: float, limit_s: float) -> None:
    """Wait until streams that were lost are in progress again; fail if one of them takes longer than it may."""
    assert names
    with suppress(AssertionError):
        await eventually(lambda: max(lookout.gap_s(name, began) for name in names) < inf, timeout_s=2 * limit_s)
    late = {name: lookout.gap_s(name, began) for name in names if lookout.gap_s(name, began) > limit_s}
    assert not late, {name: (gap_s, lookout.describe(name)) for name, gap_s in late.items()}


def fullest(lookout: Lookout) -> str:
    """Return the pod with the most streams."""
    return max(lookout.pod_names(), key=lambda pod: len(lookout.streams_of(pod)))


def last_node(lookout: Lookout) -> str:
    """Return the last node of those that pods run on: tests reach the Services of the cluster kit by its first."""
    nodes = {node for pod in lookout.pod_names() if (node := lookout.node_of(pod))}
    assert len(nodes) > 1, nodes
    return max(nodes)


def streams_on(lookout: Lookout, names: list[str], node: str) -> list[str]:
    """Return those of the streams that are processed on a node."""
    return [name for name in names if (pod := lookout.pod_of(name)) and lookout.node_of(pod) == node]


def reason_of_loss(lookout: Lookout, name: str) -> str:
    """Return why a stream was lost last, as its log will say it."""
    entries = lookout.status(name)["history"]
    return next(str(entry.get("error", "")) for entry in reversed(entries) if entry["status"] == "handler_lost")


def ready_pods(lookout: Lookout) -> dict[str, str]:
    """Return the uids of the pods that are ready and stay, by name."""
    return {
        name: obj["metadata"]["uid"]
        for (_, name), obj in lookout.pods.cache.items()
        if "deletionTimestamp" not in obj["metadata"]
        for condition in obj["status"].get("conditions") or ()
        if condition["type"] == "Ready" and condition["status"] == "True"
    }


def is_gone(lookout: Lookout, uid: str) -> bool:
    """Tell whether no ready pod has a uid."""
    return uid not in ready_pods(lookout).values()


def leases(release: Release) -> list[str]:
    """Return the names of the release's Leases."""
    return [lease["metadata"]["name"] for lease in release.objects("lease")]


def holder(release: Release, lease: str) -> str:
    """Return the pod that holds a Lease."""
    identity = release.kubectl("get", "lease", lease, "-o", "jsonpath={.spec.holderIdentity}")
    return re.split("[_@]", identity)[0]


def until_idle(faults: KitFaults | KindFaults, node: str, addresses: list[str], timeout_s: float) -> float:
    """Wait until no worker on a node, asked from that node, has a stream; return when that was."""
    deadline = time.monotonic() + timeout_s
    while True:
        answers = [faults.on_node(node, "curl", "-sm2", f"http://{at}:{PORT}/api/1/streams") for at in addresses]
        if all(answer.strip() == "[]" for answer in answers):
            return time.monotonic()
        assert time.monotonic() < deadline, answers
        time.sleep(0.2)
