"""The operator against API servers: streams find pods, whatever happens to pods, streams, writes and operators."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import kopf
import pytest

from luna_kube import LEASES, NotFound, load_credentials
from luna_operator import handlers
from luna_operator.handlers import run_kopf
from luna_operator.operator import Operator
from luna_operator.settings import PREFIX
from luna_streams.lifecycle import Report, Taken
from luna_streams.v1alpha1 import StreamState
from support.apiservers import ApiServer, free_port, on_embedded_api
from support.operators import OperatorWorld, an_operator_world, condition, waiting
from support.waiting import PATIENCE_S


@pytest.fixture
async def world(any_api: ApiServer) -> AsyncIterator[OperatorWorld]:
    async with an_operator_world(any_api) as world:
        yield world


async def test_a_stream_of_kubectl_gets_a_status_a_pod_and_a_seat(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=2)
        await world.stream("cam")
        await world.until(lambda: world.pod_of("cam") == "pool-0")
        status = world.status("cam")
        assert (status["status"], status["version"], status["observedGeneration"]) == ("pending", 1, 1)
        assert [entry["status"] for entry in status["history"]] == ["pending"]
        assert condition(status, "Scheduled") | {"lastTransitionTime": ""} == {
            "type": "Scheduled", "status": "True", "reason": "Assigned", "message": "Assigned to pool-0.",
            "observedGeneration": 1, "lastTransitionTime": "",
        }  # fmt: skip
        pod = world.pods.get(world.namespace, "pool-0")
        assert pod is not None
        assert status["processor"] == {"pool": "pool", "pod": "pool-0", "podUid": pod["metadata"]["uid"]}
        await world.until(lambda: world.pool_status().get("assigned") == 1)
        figures = {key: world.pool_status()[key] for key in ("replicas", "readyReplicas", "slots", "waiting")}
        assert figures == {"replicas": 1, "readyReplicas": 1, "slots": 2, "waiting": 0}


async def test_why_a_stream_waits_stands_in_its_condition_and_in_an_event(world: OperatorWorld) -> None:
    async with world.operator():
        await world.stream("cam", groups=("doors",))
        await world.until(lambda: world.reason("cam") == "NoPoolSelects")
        world.kubelet_makes_ready = False
        await world.pool(slots_per_pod=1, selector={"group_names": ["doors"]})
        await world.until(lambda: world.reason("cam") == "NoReadyPod")
        await world.until(lambda: "pool-0" in world.pod_names())
        await world.run_pod("pool-0")
        await world.until(lambda: world.reason("cam") == "Assigned")
        await world.stream("next", groups=("doors",))
        await world.until(lambda: world.reason("next") == "NoFreeSlot")
        assert condition(world.status("next"), "Scheduled")["message"] == "Every ready pod of pool is full."
        await world.until(lambda: world.pool_status().get("waiting") == 1)
        assert condition(world.pool_status(), "HasRoom")["reason"] == "StreamsWait"
        for reason, kind in (("NoPoolSelects", "Normal"), ("NoReadyPod", "Warning"), ("Assigned", "Normal")):
            events = await eventually_events(world, reason)
            assert events[0]["involvedObject"]["kind"] == "Stream"
            assert events[0]["type"] == kind


async def eventually_events(world: OperatorWorld, reason: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(PATIENCE_S):
        while not (events := await world.events(reason)):
            await asyncio.sleep(0.05)
    return events


@on_embedded_api
async def test_a_freed_slot_goes_to_the_stream_that_waits_longest(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=1)
        await world.stream("first")
        await world.until(lambda: world.pod_of("first"))
        for name in ("second", "third"):
            await world.stream(name)
            await world.until_reason(name, "NoFreeSlot")
        await world.advance("first", Taken("w"))
        await world.advance("first", Report(StreamState.DONE, 1, worker="w"))
        await world.until(lambda: world.pod_of("second") == "pool-0")
        assert world.pod_of("third") is None
        assert world.status("first")["processor"] == {}


async def test_streams_of_a_deleted_pod_are_lost_and_placed_again(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=4, replicas=2)
        await world.until(lambda: world.pool_status().get("readyReplicas") == 2)
        for name in ("a", "b"):
            await world.stream(name)
        await world.until(lambda: {world.pod_of("a"), world.pod_of("b")} == {"pool-0", "pool-1"})
        for name in ("a", "b"):
            await world.advance(name, Taken("w"))
        victim = world.pod_of("a")
        assert victim is not None
        await world.delete_pod(victim)
        await world.until(lambda: world.status("a")["status"] == "pending" and world.pod_of("a"))
        status = world.status("a")
        assert [entry["status"] for entry in status["history"]][-3:] == ["handler_lost", "restart", "pending"]
        assert status["lastError"].startswith(f"processor pod {victim} ")
        assert world.status("b")["status"] == "in_progress", "nobody else is disturbed"
        assert len(world.status("b")["history"]) == 2
        await world.until(lambda: world.pool_status().get("readyReplicas") == 2)
        assert (await eventually_events(world, "HandlerLost"))[0]["type"] == "Warning"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (waiting("CrashLoopBackOff", exit_code=137), "does not run: CrashLoopBackOff: the last run ended with Error"),
        ({"phase": "Failed", "reason": "Evicted", "message": "disk pressure"}, "ended: Evicted: disk pressure"),
    ],
    ids=["crash loop", "evicted"],
)
@on_embedded_api
async def test_streams_of_a_pod_that_cannot_run_go_elsewhere(
    world: OperatorWorld, status: dict[str, Any], told: str
) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=4, replicas=2)
        await world.stream("cam")
        await world.until(lambda: world.pod_of("cam"))
        await world.advance("cam", Taken("w"))
        bad = world.pod_of("cam")
        assert bad is not None
        await world.until(lambda: world.pool_status().get("readyReplicas") == 2)
        await world.set_pod(bad, **status)
        await world.until(lambda: world.pod_of("cam") not in (None, bad))
        assert told in world.status("cam")["lastError"]


@on_embedded_api
async def test_a_pod_that_ended_is_replaced(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool()
        await world.until(lambda: world.pool_status().get("readyReplicas") == 1)
        uid = world.pods.cache[world.namespace, "pool-0"]["metadata"]["uid"]
        await world.set_pod("pool-0", phase="Failed", reason="UnexpectedAdmissionError")
        await world.until(lambda: uid not in {pod["metadata"]["uid"] for pod in world.pods.cache.values()})
        await world.until(lambda: world.pool_status().get("readyReplicas") == 1)
        assert "UnexpectedAdmissionError" in (await eventually_events(world, "PodDeleted"))[0]["message"]


@on_embedded_api
async def test_a_pool_grows_with_its_streams_and_shrinks_when_pods_are_idle(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=1, min_replicas=0, max_replicas=3, scale_down_delay_seconds=1)
        await world.until(lambda: condition(world.pool_status(), "Ready").get("reason") == "ScaledToZero")
        for name in "abcd":
            await world.stream(name)
        await world.until(lambda: world.pod_names() == {"pool-0", "pool-1", "pool-2"})
        await world.until(lambda: world.pool_status().get("assigned") == 3)
        for name in "abcd":
            await world.change_stream(name, desiredStatus="cancel")
        await world.until(lambda: world.pod_names() == set())


@on_embedded_api
async def test_scaling_down_by_hand_moves_the_streams_first(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=4, replicas=2)
        await world.until(lambda: world.pool_status().get("readyReplicas") == 2)
        for name in ("a", "b"):
            await world.stream(name)
        await world.until(lambda: world.pod_of("b") == "pool-1" or world.pod_of("a") == "pool-1")
        moved = "a" if world.pod_of("a") == "pool-1" else "b"
        await world.advance(moved, Taken("w"))
        await world.change_pool("pool", replicas=1)
        await world.until(lambda: "leaveBy" in world.status(moved)["processor"])
        assert (world.pod_of(moved), world.pod_names()) == ("pool-1", {"pool-0", "pool-1"}), "no two workers have it"
        await world.advance(moved, Report(StreamState.IN_PROGRESS, 1, worker="w"))
        await world.until(lambda: world.pod_names() == {"pool-0"} and world.pod_of(moved) == "pool-0")
        assert "is drained" in world.status(moved)["lastError"]


async def test_a_changed_template_replaces_the_pods_one_after_the_other(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=2, replicas=2, pod_template={"metadata": {"labels": {"team": "doors"}}})
        await world.until(lambda: world.pool_status().get("readyReplicas") == 2)
        old = {pod["metadata"]["uid"] for pod in world.pods.cache.values()}
        for name in ("a", "b", "c"):
            await world.stream(name)
        await world.until(lambda: all(world.pod_of(name) for name in ("a", "b", "c")))
        fewest: list[int] = []
        world.pools.subscribe(lambda event: fewest.append((event.object.get("status") or {}).get("readyReplicas", 0)))
        await world.change_pool("pool", image="luna-streams-processor:next")
        await world.until(lambda: old.isdisjoint(pod["metadata"]["uid"] for pod in world.pods.cache.values()))
        await world.until(lambda: world.pool_status().get("replicas") == 2)
        assert min(fewest) >= 2, "the new pod works before the old one goes"
        await world.until(lambda: all(world.pod_of(name) in world.pod_names() for name in ("a", "b", "c")))
        pods = list(world.pods.cache.values())
        assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {"luna-streams-processor:next"}
        assert {pod["metadata"]["labels"]["team"] for pod in pods} == {"doors"}


async def test_an_edit_by_kubectl_is_a_new_version_and_a_wish_is_followed(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool()
        await world.stream("cam")
        await world.until(lambda: world.pod_of("cam"))
        await world.advance("cam", Taken("w"))
        await world.change_stream("cam", displayName="entrance")
        await world.until(lambda: world.status("cam")["version"] == 2)
        assert world.status("cam")["status"] == "pending"
        await world.until(lambda: world.pod_of("cam") == "pool-0")
        await world.change_stream("cam", desiredStatus="pause")
        await world.until(lambda: world.status("cam")["status"] == "pause")
        assert world.status("cam")["processor"] == {}
        assert world.reason("cam") == "NotRequested"


@on_embedded_api
async def test_a_failed_stream_restarts_by_itself(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool()
        await world.stream("cam", autorestart={"restart": 1, "attempt_count": 2, "delay": 1})
        for attempt in (1, 2):
            await world.until(lambda: world.pod_of("cam"))
            await world.advance("cam", Taken("w"))
            await world.advance("cam", Report(StreamState.FAILURE, 1, error="no frames", worker="w"))
            await world.until_attempt("cam", attempt)
        await world.until(lambda: world.pod_of("cam"))
        await world.advance("cam", Taken("w"))
        await world.advance("cam", Report(StreamState.FAILURE, 1, error="no frames", worker="w"))
        await world.until(lambda: world.status("cam")["autorestart"]["status"] == "failed")
        assert world.status("cam")["status"] == "failure"
        told = {event["message"] for event in await eventually_events(world, "Restarted")}
        assert told == {"Attempt 1.", "Attempt 2."}


async def test_a_status_somebody_else_writes_meanwhile_is_kept(world: OperatorWorld) -> None:
    """Every write of the operator races with the shim's; whoever is second reads again."""
    async with world.operator():
        await world.pool(slots_per_pod=100)
        names = [f"cam-{number}" for number in range(20)]
        for name in names:
            await world.stream(name)

        async def report(name: str) -> None:
            await world.until(lambda: world.status(name))
            await world.advance(name, Taken("w"))

        await asyncio.gather(*(report(name) for name in names))
        await world.until(lambda: all(world.status(name)["status"] == "in_progress" for name in names))
        await world.until(lambda: world.pool_status().get("assigned") == sum(bool(world.pod_of(n)) for n in names))
        for name in names:
            history = [entry["status"] for entry in world.status(name)["history"]]
            assert history == ["pending", "in_progress"], "no entry is lost, none is written twice"
        assert {entry["seq"] for entry in world.status("cam-0")["history"]} == {1, 2}


async def test_nothing_changes_when_nothing_changed(world: OperatorWorld) -> None:
    async with world.operator() as operator:
        await world.pool(slots_per_pod=2)
        for name in "abc":
            await world.stream(name)
        await world.until(lambda: world.pool_status().get("assigned") == 2 and world.reason("c") == "NoFreeSlot")
        await asyncio.sleep(0.5)
        before = {key: obj["metadata"]["resourceVersion"] for key, obj in world.streams.cache.items()}
        await world.set_pod("pool-0", message="nothing of interest")
        passes = pass_count(operator)
        await world.until(lambda: pass_count(operator) > passes)
        await asyncio.sleep(0.5)
        assert before == {key: obj["metadata"]["resourceVersion"] for key, obj in world.streams.cache.items()}


def pass_count(operator: Operator) -> float:
    return operator.metrics.registry.get_sample_value("luna_operator_pass_seconds_count") or 0.0


async def test_an_operator_that_starts_again_finds_everything_as_it_was(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=2, replicas=2)
        for name in "abc":
            await world.stream(name)
        await world.until(lambda: all(world.pod_of(name) for name in "abc"))
        await world.advance("a", Taken("w"))
    places = {name: world.pod_of(name) for name in "abc"}
    versions = {key: obj["metadata"]["resourceVersion"] for key, obj in world.streams.cache.items()}
    uids = {pod["metadata"]["uid"] for pod in world.pods.cache.values()}
    gone = places["c"]
    assert gone is not None
    async with world.operator() as operator:
        await world.until(lambda: pass_count(operator) >= 1)
        await asyncio.sleep(0.5)
        assert versions == {key: obj["metadata"]["resourceVersion"] for key, obj in world.streams.cache.items()}
        assert uids == {pod["metadata"]["uid"] for pod in world.pods.cache.values()}
    await world.delete_pod(gone)
    async with world.operator():
        await world.until(lambda: world.pod_of("c") in world.pod_names())


@on_embedded_api
async def test_an_operator_killed_in_the_middle_loses_nothing(world: OperatorWorld) -> None:
    await world.pool(slots_per_pod=30, replicas=2)
    for number in range(50):
        await world.stream(f"cam-{number}")
    process = await operator_process(world)
    await world.until(lambda: any(world.pod_of(name) for _, name in world.streams.cache))
    process.kill()
    await process.wait()
    async with world.operator():
        await world.until(lambda: all(world.pod_of(name) for _, name in world.streams.cache))
    held = Counter(world.pod_of(name) for _, name in world.streams.cache)
    # Not 25 each: the first operator may have filled one pod before the other was ready, and no stream moves for that.
    assert held.keys() == {"pool-0", "pool-1"}
    assert max(held.values()) <= 30
    assert all(len(world.status(name)["history"]) == 1 for _, name in world.streams.cache)


async def test_a_killed_operator_hears_everything_again_when_it_is_back(world: OperatorWorld) -> None:
    """Twice, as a crash does it; the audit, which would find everything, does not run meanwhile."""
    for number in range(2):
        process = await operator_process(world)
        try:
            await reacts(world, number)
        finally:
            process.kill()
            await process.wait()


async def reacts(world: OperatorWorld, number: int) -> None:
    """Return when the operator has heard of a new pool, a new stream, and a pod that fails."""
    early, pool, cam = f"early-{number}", f"pool-{number}", f"cam-{number}"
    await world.stream(early)
    await world.until(lambda: world.status(early), "it has begun, and read what there was")
    await world.pool(pool, slots_per_pod=4, replicas=2, selector={"group_names": [pool]})
    await world.until(lambda: world.pool_status(pool).get("readyReplicas") == 2)
    await world.stream(cam, groups=(pool,))
    await world.until(lambda: world.pod_of(cam))
    await world.advance(cam, Taken("w"))
    bad = world.pod_of(cam)
    assert bad is not None
    await world.set_pod(bad, **waiting("CrashLoopBackOff", exit_code=137))
    await world.until(lambda: world.pod_of(cam) not in (None, bad))
    assert world.status(cam)["status"] == "pending"


async def operator_process(world: OperatorWorld) -> asyncio.subprocess.Process:
    values = world.settings.model_dump(exclude={"platform_origin"})
    environment = {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "luna_operator", env={"PATH": os.environ["PATH"], **environment}
    )


@on_embedded_api
async def test_sigterm_ends_the_process_and_frees_the_lease(world: OperatorWorld) -> None:
    process = await operator_process(world)
    lease = LEASES.at(world.namespace, world.settings.lease_name)

    async def holder() -> str:
        try:
            spec = (await world.client.get(lease))["spec"]
        except NotFound:
            return ""
        return str(spec.get("holderIdentity") or "")

    async with asyncio.timeout(PATIENCE_S):
        while not await holder():
            await asyncio.sleep(0.05)
    await world.stream("cam")
    await world.until(lambda: world.status("cam"), "kopf is up and has the signal handlers")
    process.terminate()
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    assert await holder() == ""


@on_embedded_api
async def test_a_second_replica_stands_by_and_takes_over(world: OperatorWorld) -> None:
    first = await operator_process(world)
    await world.stream("a")
    await world.until(lambda: world.status("a"))
    async with world.operator() as second:
        await asyncio.sleep(1)
        assert second.state == "standby"
        first.kill()
        await first.wait()
        await world.until(lambda: second.state == "leading")
        await world.stream("b")
        await world.until(lambda: world.status("b"))


@on_embedded_api
async def test_what_a_watch_missed_is_made_up_for(world: OperatorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """kopf goes deaf: an audit notices, and kopf is started again."""
    deaf = asyncio.Event()

    async def hear_nothing(on_event: object, load: object, namespace: str, stop: asyncio.Event) -> None:
        deaf.set()
        await stop.wait()

    monkeypatch.setattr("luna_operator.operator.run_kopf", hear_nothing)
    monkeypatch.setattr("luna_operator.audit._GRACE_S", 0.2)
    async with world.operator(audit_interval=1.0) as operator:
        await deaf.wait()
        deaf.clear()
        await world.stream("cam")
        await world.until(lambda: world.status("cam"))
        await asyncio.wait_for(deaf.wait(), PATIENCE_S)
        missed = operator.metrics.registry.get_sample_value("luna_operator_missed_events_total", {"object": "Stream"})
        assert missed is not None
        assert missed >= 1


@on_embedded_api
async def test_kopf_is_started_again_when_it_gives_up(world: OperatorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = 0

    async def give_up(*arguments: object) -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise RuntimeError("an error in the watch-stream")
        await run_kopf(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr("luna_operator.operator.run_kopf", give_up)
    async with world.operator():
        await world.until(lambda: starts == 2)
        await world.pool()
        await world.stream("cam")
        await world.until(lambda: world.pod_of("cam") == "pool-0")


@on_embedded_api
async def test_kopf_that_is_told_to_end_before_it_has_begun_does_so(
    world: OperatorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A term may be lost in the moment in which it begins: its kopf must not go on beside that of the next term."""
    may_begin, stop, others = threading.Event(), asyncio.Event(), kopf_threads()

    def slowly(*arguments: Any) -> kopf.OperatorRegistry:
        may_begin.wait(60)
        return registry(*arguments)

    registry = handlers._registry
    monkeypatch.setattr(handlers, "_registry", slowly)
    listener = handlers.Listener(lambda *_: None, lambda _: None, lambda *_: False)
    kubeconfig = world.settings.kubeconfig
    run = asyncio.create_task(run_kopf(listener, lambda: load_credentials(kubeconfig), world.namespace, stop))
    await world.until(lambda: kopf_threads() - others)
    stop.set()
    await asyncio.sleep(0.1)
    may_begin.set()
    await run
    await world.until(lambda: not kopf_threads() - others, "its thread has ended")


def kopf_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "kopf"}


@on_embedded_api
async def test_a_user_without_a_name_runs_it_as_well(world: OperatorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")

    monkeypatch.setattr("getpass.getuser", nobody)
    async with world.operator() as operator:
        await world.until(lambda: operator.state == "leading")
        await world.pool()
        await world.stream("cam")
        await world.until(lambda: world.pod_of("cam") == "pool-0")


@on_embedded_api
async def test_health_and_metrics_are_served(world: OperatorWorld) -> None:
    port = free_port()
    async with world.operator(http_port=port) as operator, aiohttp.ClientSession() as session:
        await world.until(lambda: operator.state == "leading")
        for path, expected in (("healthz", "ok"), ("readyz", "leading"), ("metrics", "luna_operator_leader 1.0")):
            async with session.get(f"http://127.0.0.1:{port}/{path}") as answer:
                assert answer.status == 200
                assert expected in await answer.text()


async def test_a_pod_the_api_server_refuses_is_told_to_the_user(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(pod_template={"spec": {"tolerations": [{"operator": "Sometimes"}]}})
        await world.until(lambda: condition(world.pool_status(), "Ready").get("reason") == "PodRejected")
        assert "tolerations" in condition(world.pool_status(), "Ready")["message"]
        await world.change_pool("pool", podTemplate={"spec": {"tolerations": [{"operator": "Exists"}]}})
        await world.until(lambda: world.pool_status().get("readyReplicas") == 1)
