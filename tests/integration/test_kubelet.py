"""The process kubelet against an API server: Pods as processes, their status, probes, volumes, logs and ends."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from luna_kube import LEASES, NODES, PODS, SECRETS
from luna_local.kubelet.addresses import PodAddresses
from luna_local.kubelet.errors import NoSuchLog
from support.apiservers import ApiServer, embedded_server, kubernetes_assets, real_server, unique
from support.kubelets import (
    CONFIG_MAPS,
    NAMESPACE,
    KubeletRun,
    a_kubelet,
    all_dead,
    delete_all_pods,
    is_alive,
)
from support.pods import a_container, a_pod, a_shell_pod
from support.waiting import eventually

Json = dict[str, Any]
FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("kube-apiserver", marks=pytest.mark.apiserver)],
)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server of its own, either kind: the kubelet runs every Pod that it finds."""
    folder = tmp_path_factory.mktemp("kubelet-api")
    if request.param == "embedded":
        with embedded_server(folder) as server:
            yield server
        return
    assets = kubernetes_assets()
    if assets is None:
        pytest.skip("no kube-apiserver: set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver")
    with real_server(assets, folder) as server:
        yield server


# What is between the kubelet and its processes: the same whoever serves the API.
of_the_kubelet_alone = pytest.mark.parametrize("api", ["embedded"], indirect=True)


@pytest.fixture
async def run(api: ApiServer, tmp_path: Path) -> AsyncIterator[KubeletRun]:
    async with a_kubelet(api, tmp_path / "pods") as run:
        yield run
        await delete_all_pods(run.client)
        await eventually(lambda: not list(run.folder.iterdir()), "folders of deleted pods are removed")


def phase_is(phase: str) -> Any:
    return lambda status: status.get("phase") == phase


def is_ready(status: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))


def first(status: Json) -> Json:
    found: Json = (status.get("containerStatuses") or [{}])[0]
    return found


def is_waiting(reason: str) -> Any:
    return lambda status: first(status).get("state", {}).get("waiting", {}).get("reason") == reason


def is_running(status: Json) -> bool:
    return "running" in first(status).get("state", {})


async def pid_of(run: KubeletRun, name: str, container: str = "main") -> int:
    """Return the first line of a log as a process id."""
    while True:
        try:
            if text := await run.log(name, container):
                return int(text.splitlines()[0])
        except NoSuchLog:
            pass
        await asyncio.sleep(0.02)


# --- ends and restarts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "phase", "code", "reason"),
    [("echo out; echo err >&2", "Succeeded", 0, "Completed"), ("exit 7", "Failed", 7, "Error")],
)
async def test_a_pod_that_never_restarts_ends_as_its_command_does(
    run: KubeletRun, script: str, phase: str, code: int, reason: str
) -> None:
    name = await run.create(a_shell_pod(script, restartPolicy="Never"))
    status = await run.status_when(name, phase_is(phase))
    ended = status["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], status["restartCount"]) == (code, reason, 0)
    assert ended["startedAt"] <= ended["finishedAt"]
    assert (await run.log(name)).split() == (["out", "err"] if code == 0 else [])


@of_the_kubelet_alone
async def test_on_failure_restarts_until_it_succeeds(run: KubeletRun) -> None:
    script = "cd $(DIR); echo x >> runs; [ $(wc -l < runs) -ge 3 ]".replace("$(wc", "$$(wc")
    pod = a_pod(
        a_container(
            "sh", "-c", script, env=[{"name": "DIR", "value": "/count"}],
            volumeMounts=[{"name": "count", "mountPath": "/count"}],
        ),
        volumes=[{"name": "count", "emptyDir": {}}],
        restartPolicy="OnFailure",
    )  # fmt: skip
    name = await run.create(pod)
    status = await run.status_when(name, phase_is("Succeeded"))
    assert status["restartCount"] == 2


async def test_a_killed_container_is_started_again(run: KubeletRun) -> None:
    name = await run.create(a_shell_pod(f"echo $$; {FOREVER}".replace("$$", "$$$$")))
    pid = await pid_of(run, name)
    before = await run.status_when(name, is_running)
    os.kill(pid, signal.SIGKILL)
    after = await run.status_when(name, lambda s: first(s).get("restartCount") == 1 and is_running(s))
    lost = after["lastState"]["terminated"]
    assert (lost["exitCode"], lost["signal"], lost["reason"]) == (137, 9, "Error")
    assert lost["containerID"] == before["containerID"] != after["containerID"]
    assert (await pid_of(run, name)) != pid
    assert "BackOff" not in {reason for reason, _ in await run.events(name)}, "the first time it does not wait"


@of_the_kubelet_alone
async def test_a_container_that_keeps_failing_waits_longer_each_time(run: KubeletRun) -> None:
    name = await run.create(a_shell_pod("echo run; exit 1"))
    status = await run.status_when(name, is_waiting("CrashLoopBackOff"))
    assert "back-off 0.5s restarting failed container=main" in status["state"]["waiting"]["message"]
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert status["ready"] is False
    later = await run.status_when(name, lambda s: "back-off 1s" in str(first(s)["state"]))
    assert later["restartCount"] == 2
    assert "Back-off restarting failed container main" in await run.event_when(name, "BackOff")
    assert await run.log(name, previous=True) == "run\n"


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (a_container("no-such-program"), 'exec: "no-such-program": executable file not found in $PATH'),
        (a_container(), "container 'main' has no command"),
    ],
    ids=["unknown program", "no command"],
)
@of_the_kubelet_alone
async def test_a_command_that_cannot_start_says_why(run: KubeletRun, container: Json, message: str) -> None:
    name = await run.create(a_pod(container, restartPolicy="Never"))
    status = await run.status_when(name, phase_is("Failed"))
    ended = status["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert message in ended["message"]
    assert message in await run.event_when(name, "Failed")
    assert message in await run.log(name)


# --- what a container is given --------------------------------------------------------------------------------------


async def test_a_container_sees_its_variables_its_files_and_itself(run: KubeletRun) -> None:
    camera, settings = unique("camera"), unique("settings")
    await run.client.create(
        SECRETS.within(NAMESPACE),
        {"metadata": {"name": camera}, "data": {"password": base64.b64encode(b"p4ss").decode()}},
    )
    await run.client.create(
        CONFIG_MAPS.within(NAMESPACE), {"metadata": {"name": settings}, "data": {"a.txt": "A", "b.txt": "B"}}
    )
    field = {"fieldRef": {"fieldPath": "status.podIP"}}
    container = a_container(
        "sh", "-c", 'echo "$(IP) $PASSWORD"; cat /etc/cam/password /etc/conf/one "$FILE"; pwd; ls -a /scratch',
        env=[
            {"name": "IP", "valueFrom": field},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": camera, "key": "password"}}},
            {"name": "FILE", "value": "/etc/info/name"},
        ],
        workingDir="/etc/conf",
        volumeMounts=[
            {"name": "cam", "mountPath": "/etc/cam"},
            {"name": "conf", "mountPath": "/etc/conf"},
            {"name": "info", "mountPath": "/etc/info"},
            {"name": "scratch", "mountPath": "/scratch", "subPath": "inner"},
        ],
    )  # fmt: skip
    volumes = [
        {"name": "cam", "secret": {"secretName": camera}},
        {"name": "conf", "configMap": {"name": settings, "items": [{"key": "a.txt", "path": "one"}]}},
        {"name": "scratch", "emptyDir": {}},
        {
            "name": "info",
            "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.namespace"}}]},
        },
    ]
    name = await run.create(a_pod(container, volumes=volumes, restartPolicy="Never"))
    pod = await run.pod_when(name, phase_is("Succeeded"))
    lines = (await run.log(name)).splitlines()
    uid = pod["metadata"]["uid"]
    assert lines[0] == f"{pod['status']['podIP']} p4ss"
    assert lines[1:] == [f"p4ssAdefault{run.folder / uid}/volumes/conf", ".", ".."]
    secret = run.folder / uid / "volumes" / "cam" / "password"
    assert (secret.stat().st_mode & 0o077) == 0
    assert (run.folder.stat().st_mode & 0o077) == 0


@of_the_kubelet_alone
async def test_paths_of_this_machine_stay_although_a_volume_is_mounted_above_them(run: KubeletRun) -> None:
    container = a_container(
        "sh", "-c", 'echo "$HOME $TMPDIR $DIR"; command -v python',
        env=[{"name": "DIR", "value": "/tmp/x"}],  # noqa: S108  the container's
        volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    )  # fmt: skip
    pod = a_pod(container, volumes=[{"name": "tmp", "emptyDir": {}}], restartPolicy="Never")
    name = await run.create(pod)
    uid = (await run.pod_when(name, phase_is("Succeeded")))["metadata"]["uid"]
    folder = run.folder / uid
    lines = (await run.log(name)).splitlines()
    assert lines[0] == f"{folder}/home {folder}/volumes/tmp {folder}/volumes/tmp/x"
    assert Path(lines[1]).parent == Path(sys.executable).parent


async def test_a_container_waits_for_its_secret_and_starts_when_it_is_there(run: KubeletRun) -> None:
    late = unique("late")
    variable = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": late, "key": "key"}}}
    container = a_container("sh", "-c", "echo $KEY", env=[variable])
    name = await run.create(a_pod(container, restartPolicy="Never"))
    status = await run.status_when(name, is_waiting("CreateContainerConfigError"))
    assert status["state"]["waiting"]["message"] == f'secret "{late}" not found'
    data = {"key": base64.b64encode(b"value").decode()}
    await run.client.create(SECRETS.within(NAMESPACE), {"metadata": {"name": late}, "data": data})
    await run.pod_when(name, phase_is("Succeeded"))
    assert await run.log(name) == "value\n"


@of_the_kubelet_alone
async def test_a_volume_that_is_missing_keeps_the_pod_pending(run: KubeletRun) -> None:
    volumes = [{"name": "cam", "secret": {"secretName": "absent"}}]
    name = await run.create(a_pod(a_container("true"), volumes=volumes))
    assert 'secret "absent" not found' in await run.event_when(name, "FailedMount")
    pod = await run.pod(name)
    assert pod["status"]["phase"] == "Pending"
    assert first(pod["status"])["state"]["waiting"]["reason"] == "ContainerCreating"


@of_the_kubelet_alone
async def test_a_disk_in_trouble_costs_one_pod_its_start_and_not_the_kubelet(run: KubeletRun) -> None:
    run.folder.rmdir()
    run.folder.write_text("no folder")
    name = await run.create(a_shell_pod("echo at last", restartPolicy="Never"))
    assert "the Pod's folder cannot be made" in await run.event_when(name, "FailedMount")
    run.folder.unlink()
    await run.pod_when(name, phase_is("Succeeded"))
    assert await run.log(name) == "at last\n"


async def test_a_token_of_the_account_is_bound_to_the_pod_and_renewed(run: KubeletRun) -> None:
    token = {"serviceAccountToken": {"path": "token", "audience": "luna-streams", "expirationSeconds": 600}}
    container = a_container(
        "sh", "-c", "cat /var/run/secrets/luna/token; " + FOREVER,
        volumeMounts=[{"name": "token", "mountPath": "/var/run/secrets/luna"}],
    )  # fmt: skip
    name = await run.create(a_pod(container, volumes=[{"name": "token", "projected": {"sources": [token]}}]))
    pod = await run.pod_when(name, is_running)
    file = run.folder / pod["metadata"]["uid"] / "volumes" / "token" / "token"
    payload = file.read_text().split(".")[1]
    claims = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()
    assert f'"{pod["metadata"]["uid"]}"' in claims
    assert '"luna-streams"' in claims


@of_the_kubelet_alone
async def test_every_pod_has_its_own_address_so_that_ports_do_not_collide(run: KubeletRun) -> None:
    server = (
        "import http.server as h, os;"
        "h.HTTPServer((os.environ['IP'], 34569), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    probe = {"httpGet": {"port": 34569}, "periodSeconds": 1}
    variable = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    for name in ("one", "two"):
        container = a_container("python", "-c", server, env=[variable], readinessProbe=probe)
        await run.create(a_pod(container, name=name))
    addresses = {(await run.pod_when(name, is_ready))["status"]["podIP"] for name in ("one", "two")}
    assert len(addresses) == 2
    assert all(address.startswith("127.64.") for address in addresses)


async def test_a_pod_on_the_host_network_has_the_hosts_address(run: KubeletRun) -> None:
    name = await run.create(a_shell_pod(FOREVER, hostNetwork=True))
    status = (await run.pod_when(name, is_running))["status"]
    assert status["podIP"] == status["hostIP"] == "127.0.0.1"


# --- order and health -----------------------------------------------------------------------------------------------


async def test_init_containers_run_one_after_the_other_before_the_others(run: KubeletRun) -> None:
    mount: Json = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    pod = a_pod(
        a_container("sh", "-c", "cat /v/log", **mount),
        initContainers=[
            a_container("sh", "-c", "sleep 0.3; echo first >> /v/log", name="i1", **mount),
            a_container("sh", "-c", "echo second >> /v/log", name="i2", **mount),
        ],
        volumes=[{"name": "v", "emptyDir": {}}],
        restartPolicy="Never",
    )
    name = await run.create(pod)
    await run.pod_when(name, phase_is("Succeeded"))
    assert await run.log(name, "main") == "first\nsecond\n"


@of_the_kubelet_alone
async def test_a_failed_init_container_keeps_the_others_from_starting(run: KubeletRun) -> None:
    pod = a_pod(a_container("true"), initContainers=[a_container("false", name="i")], restartPolicy="Never")
    name = await run.create(pod)
    status = (await run.pod_when(name, phase_is("Failed")))["status"]
    assert "waiting" in first(status)["state"]


@of_the_kubelet_alone
async def test_readiness_follows_the_probe(run: KubeletRun) -> None:
    container = a_container(
        "sh", "-c", FOREVER,
        readinessProbe={"exec": {"command": ["test", "-e", "/v/ready"]}, "periodSeconds": 1, "failureThreshold": 1},
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )  # fmt: skip
    name = await run.create(a_pod(container, volumes=[{"name": "v", "emptyDir": {}}]))
    pod = await run.pod_when(name, is_running)
    assert not is_ready(pod["status"])
    assert "Readiness probe failed: command ended with exit code 1" in await run.event_when(name, "Unhealthy")
    flag = run.folder / pod["metadata"]["uid"] / "volumes" / "v" / "ready"
    flag.touch()
    await run.pod_when(name, is_ready)
    flag.unlink()
    await run.pod_when(name, lambda status: not is_ready(status))


@of_the_kubelet_alone
async def test_a_container_that_fails_its_liveness_probe_is_started_again(run: KubeletRun) -> None:
    container = a_container(
        "sh", "-c", FOREVER,
        livenessProbe={"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 2},
    )  # fmt: skip
    name = await run.create(a_pod(container))
    status = await run.status_when(name, lambda s: first(s).get("restartCount") == 1)
    assert status["lastState"]["terminated"]["reason"] == "Completed"
    assert "failed liveness probe, will be restarted" in await run.event_when(name, "Killing")


@of_the_kubelet_alone
async def test_other_probes_wait_for_the_startup_probe(run: KubeletRun) -> None:
    container = a_container(
        "sh", "-c", "sleep 1.5; touch /v/up; " + FOREVER,
        startupProbe={"exec": {"command": ["test", "-e", "/v/up"]}, "periodSeconds": 1, "failureThreshold": 30},
        livenessProbe={"exec": {"command": ["test", "-e", "/v/up"]}, "periodSeconds": 1, "failureThreshold": 1},
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )  # fmt: skip
    name = await run.create(a_pod(container, volumes=[{"name": "v", "emptyDir": {}}]))
    before = await run.status_when(name, is_running)
    assert (before["started"], before["ready"]) == (False, False)
    after = await run.status_when(name, is_ready)
    assert (after["started"], after["restartCount"]) == (True, 0)


# --- deletion -------------------------------------------------------------------------------------------------------


async def test_deleting_asks_to_end_and_waits(run: KubeletRun) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    name = await run.create(a_shell_pod(script, terminationGracePeriodSeconds=600))
    await run.pod_when(name, is_running)
    seen: list[str] = []

    async def follow() -> None:
        async for chunk in run.open_log(name, follow=True):
            seen.extend(chunk.decode().splitlines())

    following = asyncio.create_task(follow())
    await eventually(lambda: "ready" in seen)
    await run.delete(name)
    await run.is_gone(name)
    await following
    assert seen[-1] == "bye"
    assert await run.event_when(name, "Killing") == "Stopping container main"


@of_the_kubelet_alone
async def test_a_process_that_does_not_listen_is_killed_after_the_grace(run: KubeletRun) -> None:
    script = "trap '' TERM; echo $$$$; while :; do sleep 0.05; done"
    name = await run.create(a_shell_pod(script, terminationGracePeriodSeconds=1))
    pid = await pid_of(run, name)
    began = time.monotonic()
    await run.delete(name)
    await run.is_gone(name)
    assert time.monotonic() - began >= 1
    assert not is_alive(pid)


async def test_a_second_deletion_with_less_patience_shortens_the_wait(run: KubeletRun) -> None:
    script = "trap '' TERM; echo $$$$; while :; do sleep 0.05; done"
    name = await run.create(a_shell_pod(script, terminationGracePeriodSeconds=600))
    await pid_of(run, name)
    await run.delete(name)
    await run.pod_when(name, lambda _: True)
    await run.delete(name, grace_period_s=1)
    await run.is_gone(name)


async def test_a_forced_deletion_ends_the_process_at_once(run: KubeletRun) -> None:
    script = "trap '' TERM; echo $$$$; while :; do sleep 0.05; done"
    name = await run.create(a_shell_pod(script, terminationGracePeriodSeconds=600))
    pid = await pid_of(run, name)
    await run.delete(name, grace_period_s=0)
    await all_dead([pid])


async def test_a_pod_of_the_same_name_starts_anew(run: KubeletRun) -> None:
    pod = a_shell_pod(f"echo $$$$; {FOREVER}")
    pid = await pid_of(run, await run.create(pod))
    await run.delete("pod", grace_period_s=0)
    await run.create(pod)
    await run.pod_when("pod", is_running)
    await all_dead([pid])
    assert is_alive(await pid_of(run, "pod"))


@pytest.mark.parametrize("start", ["sh -c", "setsid sh -c"], ids=["in the group", "in its own session"])
@of_the_kubelet_alone
async def test_what_a_container_started_ends_with_it(run: KubeletRun, start: str) -> None:
    script = f"{start} 'echo $$$$; while :; do sleep 0.1; done' & sleep 0.5; exit 0"
    name = await run.create(a_shell_pod(script, restartPolicy="Never"))
    await run.pod_when(name, phase_is("Succeeded"))
    assert not is_alive(await pid_of(run, name))


# --- logs -----------------------------------------------------------------------------------------------------------


@of_the_kubelet_alone
async def test_asking_for_a_log_that_is_not_there_says_why(run: KubeletRun) -> None:
    name = await run.create(a_shell_pod(FOREVER))
    await run.pod_when(name, is_running)
    with pytest.raises(NoSuchLog, match='"other" is waiting to start'):
        await run.log(name, "other")
    with pytest.raises(NoSuchLog, match='previous terminated container "main" not found'):
        await run.log(name, previous=True)


# --- scheduling, the node, and a new kubelet ------------------------------------------------------------------------


async def test_a_pod_that_asks_for_a_gpu_stays_unscheduled_and_says_so(run: KubeletRun) -> None:
    name = await run.create(a_pod(a_container("true", resources={"limits": {"nvidia.com/gpu": "1"}})))
    message = await run.event_when(name, "FailedScheduling")
    assert message == "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    pod = await run.pod(name)
    assert "nodeName" not in pod["spec"]
    assert [(c["type"], c["reason"]) for c in pod["status"]["conditions"]] == [("PodScheduled", "Unschedulable")]


async def test_a_pod_of_another_scheduler_or_node_is_left_alone(run: KubeletRun) -> None:
    await run.create(a_pod(name="foreign", schedulerName="other"))
    await run.create(a_pod(name="elsewhere", nodeName="other"))
    await run.create(a_pod(name="ours"))
    await run.pod_when("ours", is_running_or_ended)
    for name in ("foreign", "elsewhere"):
        assert "containerStatuses" not in (await run.pod(name)).get("status", {})


def is_running_or_ended(status: Json) -> bool:
    return bool(first(status))


async def test_the_node_is_ready_and_its_heartbeat_is_a_lease(run: KubeletRun) -> None:
    node = await run.client.get(NODES.at(None, "local"))
    ready = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    assert ready["Ready"] == "True"
    assert int(node["status"]["capacity"]["cpu"]) >= 1
    lease = await run.client.get(LEASES.at("kube-node-lease", "local"))
    assert lease["spec"]["holderIdentity"] == "local"


async def test_pods_run_again_under_the_next_kubelet(api: ApiServer, tmp_path: Path) -> None:
    folder = tmp_path / "pods"
    async with a_kubelet(api, folder) as run:
        await run.create(a_shell_pod(f"echo $$$$; {FOREVER}", name="lasting"))
        await run.create(a_shell_pod("echo once; exit 0", name="finished", restartPolicy="Never"))
        pid = await pid_of(run, "lasting")
        await run.pod_when("finished", phase_is("Succeeded"))
        address = (await run.pod("lasting"))["status"]["podIP"]
    assert not is_alive(pid)
    with closing(PodAddresses()) as others:
        others.take()  # so that the address has to be another one
        async with a_kubelet(api, folder) as run:
            await _has_run_again(run, address)


async def _has_run_again(run: KubeletRun, first_address: str) -> None:
    pod = await run.pod_when("lasting", lambda s: is_running(s) and first(s)["restartCount"] == 1)
    status = first(pod["status"])
    assert pod["status"]["podIPs"] == [{"ip": pod["status"]["podIP"]}] != [{"ip": first_address}]
    assert "terminated" in status["lastState"]
    assert (await run.pod("finished"))["status"]["phase"] == "Succeeded"
    assert await run.log("finished") == "once\n"
    await delete_all_pods(run.client)


@of_the_kubelet_alone
async def test_folders_of_pods_that_are_gone_are_removed_at_the_start(api: ApiServer, tmp_path: Path) -> None:
    left_over = tmp_path / "pods" / "00000000-0000-4000-8000-000000000000" / "logs"
    left_over.mkdir(parents=True)
    async with a_kubelet(api, tmp_path / "pods"):
        assert not left_over.exists()


async def test_a_pod_may_be_deleted_while_no_kubelet_runs(api: ApiServer, tmp_path: Path) -> None:
    async with a_kubelet(api, tmp_path / "pods") as run:
        await run.create(a_shell_pod(FOREVER))
        await run.pod_when("pod", is_running)
    async with a_kubelet(api, tmp_path / "other") as run:
        await run.client.delete(PODS.at(NAMESPACE, "pod"))
        await run.is_gone("pod")


@of_the_kubelet_alone
async def test_a_pod_that_no_process_can_be_made_of_harms_no_other(run: KubeletRun) -> None:
    impossible = a_pod(a_container("true", env=[{"name": "BAD", "value": "a\0b"}]), name="impossible")
    harmed = await run.create(impossible)
    await run.status_when(harmed, lambda status: _first_exit(status) is not None)
    healthy = await run.create(a_shell_pod(FOREVER))
    await run.pod_when(healthy, lambda status: status.get("phase") == "Running")


def _first_exit(status: Json) -> int | None:
    states = [each.get("lastState", {}) | each["state"] for each in status.get("containerStatuses", [])]
    return next((state["terminated"]["exitCode"] for state in states if "terminated" in state), None)
