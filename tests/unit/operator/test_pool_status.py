"""The status of a pool: figures, conditions, and no write without a change."""

from __future__ import annotations

from typing import Any

import pytest

from luna_operator.pool_status import PoolFacts, Rejection, status_patch
from luna_operator.scaling import PoolPod
from luna_streams.v1alpha1 import StreamProcessorStatus
from support.builders import NOW, a_pool
from support.chaos_api import apply_merge_patch
from support.operator_builders import a_pod_fact, later
from support.operators import condition

READY = PoolPod(a_pod_fact("pool-0", slots=4), 3)
BROKEN = PoolPod(a_pod_fact("pool-1", is_ready=False, trouble="ImagePullBackOff"), 0)


def written(*pods: PoolPod, wanted: int = 1, waiting: int = 0, **facts: Any) -> dict[str, Any]:
    return status_patch(PoolFacts(a_pool(), pods, wanted, waiting, **{"template_hash": "now"} | facts), {}, NOW)


def test_the_figures_are_those_of_the_pods() -> None:
    status = written(READY, BROKEN, wanted=2, waiting=1)
    figures = {key: status[key] for key in ("replicas", "readyReplicas", "slots", "assigned", "waiting")}
    assert figures == {"replicas": 2, "readyReplicas": 1, "slots": 4, "assigned": 3, "waiting": 1}
    assert status["updatedReplicas"] == 2
    assert "lunastreams.dev/pool=pool" in status["labelSelector"]


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (written(READY), "PodsReady", "1 of 1 pods are ready."),
        (written(READY, BROKEN, wanted=2), "PodsNotReady", "1 of 2 pods are ready. pool-1: ImagePullBackOff"),
        (written(wanted=0), "ScaledToZero", "The pool is to have no pods."),
        (written(READY, rejection=Rejection("PodRejected", "quota")), "PodRejected", "quota"),
    ],
)
def test_the_condition_ready_says_why_not(status: dict[str, Any], reason: str, message: str) -> None:
    ready = condition(status, "Ready")
    assert (ready["reason"], ready["message"]) == (reason, message)
    assert ready["status"] == str(reason in ("PodsReady", "ScaledToZero"))


def test_a_pool_is_reconciling_while_pods_of_an_older_template_are_left() -> None:
    status = written(READY, BROKEN, wanted=2, template_hash="next")
    reconciling = condition(status, "Reconciling")
    assert (reconciling["status"], reconciling["reason"]) == ("True", "PodsOutdated")
    assert reconciling["message"] == "0 of 2 pods are of the present template."
    assert status["updatedReplicas"] == 0


def test_a_pool_that_needs_a_person_is_stalled_and_no_other() -> None:
    stalled = condition(written(READY, rejection=Rejection("InvalidPodTemplate", "mend it")), "Stalled")
    assert (stalled["status"], stalled["reason"], stalled["message"]) == ("True", "InvalidPodTemplate", "mend it")
    types = {each["type"] for each in written(READY, BROKEN, wanted=3, waiting=2)["conditions"]}
    assert types == {"Ready", "HasRoom"}, "abnormal conditions are absent as long as they are not so"


def test_nothing_is_written_when_nothing_changed_and_a_condition_keeps_its_time() -> None:
    status = written(READY)
    pool = a_pool().model_copy(update={"status": StreamProcessorStatus.from_resource(status)})
    assert status_patch(PoolFacts(pool, (READY,), 1, 0, template_hash="now"), status, later(60)) == {}
    fuller = apply_merge_patch(
        status, status_patch(PoolFacts(pool, (READY,), 1, 2, template_hash="now"), status, later(60))
    )
    assert fuller["waiting"] == 2
    assert condition(fuller, "Ready")["lastTransitionTime"] == condition(status, "Ready")["lastTransitionTime"]
    assert condition(fuller, "HasRoom")["lastTransitionTime"] != condition(status, "HasRoom")["lastTransitionTime"]
