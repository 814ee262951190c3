from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from luna_local.kubelet.pod import Condition
from luna_local.kubelet.status import (
    ContainerFacts,
    PodObservation,
    Running,
    Terminated,
    Waiting,
    phase,
    pod_status,
    qos_class,
    terminated_of,
)
from support.pods import a_container, a_pod, parsed

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
RUNNING = ContainerFacts(Running(NOW), is_started=True, is_ready=True, container_id="process://1")
CREATING = ContainerFacts(Waiting("ContainerCreating"))
SUCCEEDED = ContainerFacts(Terminated(0, "Completed", NOW, NOW))
FAILED = ContainerFacts(Terminated(1, "Error", NOW, NOW))
LOOPING = ContainerFacts(Waiting("CrashLoopBackOff"), last_state=Terminated(1, "Error", NOW))


def seen(
    *facts: ContainerFacts,
    policy: str = "Always",
    init: tuple[ContainerFacts, ...] = (),
    previous: tuple[Condition, ...] = (),
) -> PodObservation:
    names = [f"c{number}" for number in range(len(facts))]
    init_names = [f"i{number}" for number in range(len(init))]
    manifest = a_pod(
        *(a_container("true", name=name) for name in names),
        restartPolicy=policy,
        initContainers=[a_container("true", name=name) for name in init_names],
    )
    return PodObservation(
        pod=parsed(manifest),
        init=dict(zip(init_names, init, strict=True)),
        containers=dict(zip(names, facts, strict=True)),
        pod_ip="127.64.0.2",
        host_ip="127.0.0.1",
        start_time=NOW,
        previous_conditions=previous,
    )


def conditions(observation: PodObservation, now: datetime = NOW) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in pod_status(observation, now)["conditions"]}


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (seen(CREATING), "Pending"),
        (seen(RUNNING, CREATING), "Pending"),
        (seen(RUNNING), "Running"),
        (seen(LOOPING), "Running"),
        (seen(FAILED), "Running"),
        (seen(SUCCEEDED), "Running"),
        (seen(FAILED, policy="OnFailure"), "Running"),
        (seen(SUCCEEDED, policy="OnFailure"), "Succeeded"),
        (seen(SUCCEEDED, policy="Never"), "Succeeded"),
        (seen(FAILED, policy="Never"), "Failed"),
        (seen(SUCCEEDED, FAILED, policy="Never"), "Failed"),
        (seen(SUCCEEDED, RUNNING, policy="Never"), "Running"),
        (seen(CREATING, init=(RUNNING,)), "Pending"),
        (seen(CREATING, init=(FAILED,)), "Pending"),
        (seen(CREATING, init=(FAILED,), policy="Never"), "Failed"),
    ],
)
def test_the_phase_follows_the_containers_and_the_restart_policy(observation: PodObservation, expected: str) -> None:
    assert phase(observation) == expected


def test_a_pod_is_ready_when_all_containers_are() -> None:
    assert conditions(seen(RUNNING))["Ready"]["status"] == "True"
    unready = conditions(seen(RUNNING, CREATING))
    assert unready["Ready"]["status"] == "False"
    assert unready["ContainersReady"]["reason"] == "ContainersNotReady"
    assert unready["ContainersReady"]["message"] == "containers with unready status: [c1]"


def test_a_pod_is_initialized_when_its_init_containers_succeeded() -> None:
    assert conditions(seen(CREATING, init=(SUCCEEDED,)))["Initialized"]["status"] == "True"
    assert conditions(seen(CREATING, init=(SUCCEEDED, FAILED)))["Initialized"]["message"].endswith("[i1]")


def test_the_transition_time_moves_only_when_the_status_does() -> None:
    earlier = "2026-01-01T00:00:00Z"
    previous = (
        Condition(type="Ready", status="True", last_transition_time=earlier),
        Condition(type="ContainersReady", status="False", last_transition_time=earlier),
    )
    now = conditions(seen(RUNNING, previous=previous), NOW + timedelta(seconds=5))
    assert now["Ready"]["lastTransitionTime"] == earlier
    assert now["ContainersReady"]["lastTransitionTime"] == "2026-01-31T12:00:05Z"


def test_a_killed_container_shows_code_signal_times_and_what_runs_now() -> None:
    killed = Terminated(137, "Error", NOW, NOW - timedelta(seconds=9), signal=9, container_id="process://0")
    facts = ContainerFacts(Running(NOW), killed, 1, "process://1", is_started=True, is_ready=True)
    (status,) = pod_status(seen(facts), NOW)["containerStatuses"]
    assert status["state"] == {"running": {"startedAt": "2026-01-31T12:00:00Z"}}
    assert status["lastState"]["terminated"] == {
        "exitCode": 137,
        "signal": 9,
        "reason": "Error",
        "startedAt": "2026-01-31T11:59:51Z",
        "finishedAt": "2026-01-31T12:00:00Z",
        "containerID": "process://0",
    }
    assert (status["restartCount"], status["containerID"], status["ready"]) == (1, "process://1", True)


def test_an_end_is_read_back_as_it_was_written() -> None:
    ended = Terminated(137, "Error", NOW, NOW, signal=9, message="why", container_id="process://0")
    (status,) = pod_status(seen(ContainerFacts(ended)), NOW)["containerStatuses"]
    assert terminated_of(status["state"]["terminated"]) == ended
    assert terminated_of(None) is None


def test_a_clean_end_has_exit_code_zero_written_out() -> None:
    (status,) = pod_status(seen(SUCCEEDED, policy="Never"), NOW)["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 0


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"nvidia.com/gpu": 1}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}, "Burstable"),
    ],
)
def test_quality_of_service_follows_requests_and_limits(resources: dict[str, Any], expected: str) -> None:
    assert qos_class(parsed(a_pod(a_container("true", resources=resources))).spec.containers) == expected
