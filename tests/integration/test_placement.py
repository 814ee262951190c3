"""Streams that move though their pod stays, against API servers: back to a better zone, and out of the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from luna_kube import PODS
from luna_operator.facts import LABEL_ZONE
from luna_streams.lifecycle import Report, Taken
from luna_streams.v1alpha1 import StreamState
from support.apiservers import ApiServer, on_embedded_api
from support.operators import OperatorWorld, an_operator_world, condition
from support.waiting import PATIENCE_S


@pytest.fixture
async def world(any_api: ApiServer) -> AsyncIterator[OperatorWorld]:
    async with an_operator_world(any_api) as world:
        yield world


async def in_zone(world: OperatorWorld, pod: str, zone: str) -> None:
    """Label a pod as Kubernetes does from its node."""
    await world.client.patch(PODS.at(world.namespace, pod), {"metadata": {"labels": {LABEL_ZONE: zone}}})


async def events(world: OperatorWorld, reason: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await world.events(reason)):
            await asyncio.sleep(0.05)
    return found


def held_by(world: OperatorWorld, name: str) -> dict[str, Any]:
    processor: dict[str, Any] = world.status(name).get("processor") or {}
    return processor


async def test_a_stream_moves_back_to_the_zone_it_prefers_when_its_worker_has_let_go(world: OperatorWorld) -> None:
    async with world.operator():
        world.kubelet_makes_ready = False
        placement = {"move_back_delay_seconds": 1}
        await world.pool(slots_per_pod=2, replicas=2, placement=placement)
        await world.until(lambda: world.pod_names() == {"pool-0", "pool-1"})
        await in_zone(world, "pool-0", "far")
        await in_zone(world, "pool-1", "near")
        await world.run_pod("pool-0")
        await world.stream("cam", placement={"preferred_zones": ("near",)})
        await world.stream("other")
        await world.until(lambda: world.pod_of("cam") == "pool-0" and world.pod_of("other") == "pool-0")
        for name in ("cam", "other"):
            await world.advance(name, Taken("w"))
        await world.run_pod("pool-1")
        await world.until(lambda: "leaveBy" in held_by(world, "cam"), "the worker is asked to let go")
        assert (world.pod_of("cam"), world.status("cam")["status"]) == ("pool-0", "in_progress")
        assert (
            held_by(world, "cam")["leaveReason"] == "moved: from processor pod pool-0 to zone near, which is preferred"
        )
        assert "near" in (await events(world, "MovesBack"))[0]["message"]
        await world.advance("cam", Report(StreamState.IN_PROGRESS, 1, worker="w"))
        await world.until(lambda: world.pod_of("cam") == "pool-1")
        assert held_by(world, "cam").keys() == {"pool", "pod", "podUid"}
        await world.advance("cam", Taken("w"))
        assert (world.status("other")["status"], world.pod_of("other")) == ("in_progress", "pool-0")
        assert len(world.status("other")["history"]) == 2, "nobody else is disturbed"


@on_embedded_api
async def test_an_urgent_stream_takes_the_place_of_the_least_important_one(world: OperatorWorld) -> None:
    async with world.operator():
        await world.pool(slots_per_pod=2)
        for name, priority in (("low", 1), ("middle", 2)):
            await world.stream(name, priority=priority)
        await world.until(lambda: world.pod_of("low") == world.pod_of("middle") == "pool-0")
        for name in ("low", "middle"):
            await world.advance(name, Taken("w"))
        await world.stream("patient", priority=9)
        await world.until_reason("patient", "NoFreeSlot")
        await world.change_stream("patient", desiredStatus="cancel")
        await world.stream("urgent", priority=5, placement={"preemption_policy": "PreemptLowerPriority"})
        await world.until(lambda: "leaveBy" in held_by(world, "low"), "the worker of the least important is asked")
        told = "preempted: processor pod pool-0 is needed for a stream of priority 5"
        assert (world.status("low")["status"], held_by(world, "low")["leaveReason"]) == ("in_progress", told)
        assert world.pod_of("urgent") is None, "no slot is given twice"
        await world.until(lambda: "makes room on pool-0" in condition(world.status("urgent"), "Scheduled")["message"])
        await world.advance("low", Report(StreamState.IN_PROGRESS, 1, worker="w"))
        await world.until(lambda: world.pod_of("urgent") == "pool-0")
        await world.until_reason("low", "Preempted")
        assert world.status("low")["lastError"] == told
        assert (world.status("middle")["status"], "leaveBy" in held_by(world, "middle")) == ("in_progress", False)
        kinds = {event["type"] for event in await events(world, "Preempted")}
        assert kinds == {"Warning"}


@on_embedded_api
async def test_a_worker_that_does_not_let_go_loses_the_stream_in_the_end(
    world: OperatorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luna_operator.drafts.HANDOVER", timedelta(seconds=1))
    async with world.operator():
        await world.pool(slots_per_pod=1, placement={"preemption_policy": "PreemptLowerPriority"})
        await world.stream("low")
        await world.until(lambda: world.pod_of("low") == "pool-0")
        await world.advance("low", Taken("w"))
        await world.stream("urgent", priority=1)
        await world.until(lambda: world.pod_of("urgent") == "pool-0")
        await world.until_reason("low", "Preempted")
        assert [entry["status"] for entry in world.status("low")["history"]][-3:] == [
            "handler_lost",
            "restart",
            "pending",
        ]


@on_embedded_api
async def test_a_pool_whose_decoders_are_full_gets_another_pod(world: OperatorWorld) -> None:
    async with world.operator():
        decoder = {"megapixels_per_second": 100.0}
        await world.pool(slots_per_pod=8, min_replicas=0, max_replicas=3, decoder=decoder)
        for name in ("a", "b"):
            await world.stream(name, placement={"decoder_megapixels_per_second": 80.0})
        await world.until(lambda: {world.pod_of("a"), world.pod_of("b")} == {"pool-0", "pool-1"})
