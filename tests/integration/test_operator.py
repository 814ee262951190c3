"""The operator against API servers: streams find pods, whatever happens to pods, streams, writes and operators."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.apiservers import ApiServer
from support.operators import OperatorWorld, an_operator_world, condition


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
