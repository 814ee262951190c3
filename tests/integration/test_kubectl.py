"""kubectl, unchanged, against the embedded API server: what people type, with every kubectl of this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from luna_local.apiserver import EmbeddedApiServer
from support.kubectl import KUBECTLS, Kubectl, find_kubectl, read_line
from support.kubernetes_api import a_camera, a_definition, a_pod


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedApiServer]:
    async with EmbeddedApiServer() as server:
        server.write_kubeconfig(tmp_path / "kubeconfig")
        server.apply(a_definition())
        yield server


@pytest.fixture(params=KUBECTLS)
def kubectl(request: pytest.FixtureRequest, server: EmbeddedApiServer, tmp_path: Path) -> Kubectl:
    return Kubectl(find_kubectl(request.param), tmp_path / "kubeconfig", tmp_path)


def _deployment(image: str = "x:1") -> dict[str, Any]:
    container = {"name": "main", "image": image, "env": [{"name": "A", "value": "1"}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }


async def test_apply_creates_changes_and_leaves_alone(kubectl: Kubectl) -> None:
    assert "created" in await kubectl("apply", "-f-", stdin=_deployment())
    assert "unchanged" in await kubectl("apply", "-f-", stdin=_deployment())
    assert "configured" in await kubectl("apply", "-f-", stdin=_deployment("x:2"))
    image = await kubectl("get", "deploy/web", "-o=jsonpath={.spec.template.spec.containers[0].image}")
    assert image == "x:2"


async def test_apply_moves_from_client_side_to_server_side(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f-", stdin=a_camera("one"))
    changed = a_camera("one", spec={"url": "rtsp://camera/2"})
    assert "serverside-applied" in await kubectl("apply", "--server-side", "-f-", stdin=changed)
    refused = await kubectl.run(
        "apply", "--server-side", "--field-manager=other", "-f-", stdin=a_camera("one", spec={"url": "rtsp://3"})
    )
    assert refused.code == 1
    assert 'conflict with "kubectl"' in refused.err


async def test_diff_shows_what_an_apply_would_change(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f-", stdin=a_camera("one"))
    same = await kubectl.run("diff", "-f-", stdin=a_camera("one"))
    assert (same.code, same.out) == (0, "")
    other = await kubectl.run("diff", "-f-", stdin=a_camera("one", spec={"fps": 5}))
    assert other.code == 1
    assert "+  fps: 5" in other.out


async def test_a_misspelt_field_and_a_broken_rule_are_told_plainly(kubectl: Kubectl) -> None:
    pod = a_pod("typo")
    pod["spec"]["containers"][0]["imag"] = "x"
    misspelt = await kubectl.run("apply", "-f-", stdin=pod)
    assert 'unknown field "spec.containers[0].imag"' in misspelt.err
    broken = await kubectl.run("apply", "-f-", stdin=a_camera("one", spec={"url": "file:///x"}))
    assert 'The Camera "one" is invalid: spec.url: Invalid value: "object": file urls are not allowed' in broken.err


async def test_get_shows_the_columns_of_the_definition(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f-", stdin=a_camera("one"))
    status = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    await kubectl("patch", "camera", "one", "--subresource=status", "--type=merge", "-p", status)
    lines = (await kubectl("get", "cameras")).splitlines()
    assert [line.split() for line in lines] == [["NAME", "URL", "READY"], ["one", "rtsp://camera/1", "True"]]
    assert "No resources found" in (await kubectl.run("get", "cameras", "-l", "a=b")).err


async def test_get_follows_changes(kubectl: Kubectl) -> None:
    watch = await kubectl.start("get", "cameras", "-w")
    try:
        await kubectl("apply", "-f-", stdin=a_camera("one"))
        assert (await read_line(watch)).split() == ["NAME", "URL", "READY"]
        assert (await read_line(watch)).split() == ["one", "rtsp://camera/1"]
        await kubectl("patch", "camera", "one", "--type=merge", "-p", '{"spec":{"url":"rtsp://camera/2"}}')
        assert (await read_line(watch)).split() == ["one", "rtsp://camera/2"]
    finally:
        await kubectl.stop(watch)


async def test_wait_ends_when_it_has_come_true(kubectl: Kubectl, server: EmbeddedApiServer) -> None:
    assert "condition met" in await kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=60s")
    server.apply(a_camera("one"))
    waiting = asyncio.create_task(kubectl("wait", "--for=jsonpath={.spec.fps}=7", "camera/one", "--timeout=60s"))
    await kubectl("patch", "camera", "one", "--type=merge", "-p", '{"spec":{"fps":7}}')
    assert "condition met" in await waiting
    too_late = await kubectl.run("wait", "--for=condition=Ready", "camera/one", "--timeout=1s")
    assert "timed out" in too_late.err


async def test_explain_knows_custom_and_built_in_fields(kubectl: Kubectl) -> None:
    assert "url\t<string> -required-" in await kubectl("explain", "cameras.spec")
    assert "Entrypoint array." in await kubectl("explain", "pods.spec.containers.command")
    assert "templateGeneration" not in await kubectl("explain", "deployments.spec")


async def test_describe_tells_of_an_object_and_its_events(kubectl: Kubectl, server: EmbeddedApiServer) -> None:
    camera = server.apply(a_camera("one"))
    about = {"apiVersion": camera["apiVersion"], "kind": "Camera", "name": "one", "namespace": "default"}
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "one.1", "namespace": "default"},
        "involvedObject": {**about, "uid": camera["metadata"]["uid"]}, "reason": "Placed", "message": "on pool-0",
        "type": "Normal", "source": {"component": "test"}, "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    }  # fmt: skip
    server.apply(event)
    described = await kubectl("describe", "camera", "one")
    assert "URL:       rtsp://camera/1" in described
    assert "on pool-0" in described
    server.apply(a_pod("p"))
    assert "Service Account:  default" in await kubectl("describe", "pod", "p")


async def test_typed_commands_create_what_they_say(kubectl: Kubectl, server: EmbeddedApiServer) -> None:
    await kubectl("create", "namespace", "n")
    for command in (
        "configmap c --from-literal=a=b",
        "secret generic s --from-literal=p=q",
        "deployment d --image=x:1 --replicas=3 --port=80",
        "job j --image=x:1 -- echo hi",
        "cronjob cj --image=x:1 --schedule=*/5_*_*_*_* -- echo hi",
        "serviceaccount sa",
        "role r --verb=get --resource=pods",
        "rolebinding rb --role=r --serviceaccount=n:sa",
        "service clusterip sv --tcp=80:8080",
    ):
        arguments = [part.replace("_", " ") for part in command.split()]
        assert "created" in await kubectl("create", "-n", "n", *arguments)
    config_map, secret = server.get("v1", "ConfigMap", "c", "n"), server.get("v1", "Secret", "s", "n")
    deployment, job = server.get("apps/v1", "Deployment", "d", "n"), server.get("batch/v1", "Job", "j", "n")
    assert config_map is not None
    assert secret is not None
    assert deployment is not None
    assert job is not None
    assert config_map["data"] == {"a": "b"}
    assert secret["data"] == {"p": "cQ=="}
    assert deployment["spec"]["replicas"] == 3
    assert deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] == 80
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["echo", "hi"]
    assert "n" in await kubectl("get", "all,configmaps,secrets", "-n", "n")


async def test_an_unknown_protobuf_kind_is_refused_by_name(kubectl: Kubectl) -> None:
    refused = await kubectl.run("create", "priorityclass", "p", "--value=3")
    assert refused.code == 1
    assert "PriorityClass" in refused.err


async def test_scale_label_and_edit_in_place(kubectl: Kubectl, server: EmbeddedApiServer) -> None:
    server.apply(a_camera("one"))
    await kubectl("scale", "camera", "one", "--replicas=4")
    await kubectl("label", "camera", "one", "site=yard")
    await kubectl("annotate", "camera", "one", "note=x")
    camera = json.loads(await kubectl("get", "camera", "one", "-o=json"))
    assert camera["spec"]["replicas"] == 4
    assert camera["metadata"]["labels"] == {"site": "yard"}
    await kubectl("apply", "-f-", stdin=_deployment())
    await kubectl("scale", "deployment", "web", "--replicas=5")
    await kubectl("set", "image", "deployment/web", "main=x:9")
    deployment = json.loads(await kubectl("get", "deployment", "web", "-o=json"))
    assert deployment["spec"]["replicas"] == 5
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "x:9"


@pytest.mark.parametrize(("cascade", "stays"), [("background", False), ("foreground", False), ("orphan", True)])
async def test_delete_takes_dependents_along_or_leaves_them(
    kubectl: Kubectl, server: EmbeddedApiServer, cascade: str, stays: bool
) -> None:
    owner = server.apply(a_camera("one"))
    reference = {"apiVersion": owner["apiVersion"], "kind": "Camera", "name": "one", "uid": owner["metadata"]["uid"]}
    owned = a_camera("two", ownerReferences=[{**reference, "blockOwnerDeletion": True}])
    server.apply(owned)
    assert "deleted" in await kubectl("delete", "camera", "one", f"--cascade={cascade}")
    if not stays:
        await kubectl("wait", "--for=delete", "camera/two", "--timeout=60s")
    assert (server.get("contract.luna.test/v1", "Camera", "two", "default") is not None) is stays


async def test_a_namespace_and_a_definition_are_deleted_with_what_they_hold(
    kubectl: Kubectl, server: EmbeddedApiServer
) -> None:
    await kubectl("create", "namespace", "n")
    await kubectl("create", "configmap", "c", "-n", "n")
    await kubectl("delete", "namespace", "n")
    assert server.get("v1", "Namespace", "n") is None
    assert server.get("v1", "ConfigMap", "c", "n") is None
    server.apply(a_camera("one"))
    await kubectl("delete", "crd", "cameras.contract.luna.test")
    assert (await kubectl.run("get", "cameras")).code == 1


async def test_auth_answers_yes(kubectl: Kubectl) -> None:
    assert (await kubectl("auth", "can-i", "create", "pods")).strip() == "yes"
    assert "*.*" in await kubectl("auth", "can-i", "--list")
    assert "kubernetes-admin" in await kubectl("auth", "whoami")


class _Logs:
    """A log provider: two lines, and a third when it is told to go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.asked: dict[str, Any] = {}

    async def open_log(self, pod_uid: str, container: str, **asked: Any) -> AsyncIterator[bytes]:
        self.asked = {"pod_uid": pod_uid, "container": container, **asked}
        if asked["previous"]:
            raise LookupError(f"previous terminated container {container!r} not found")
        yield b"one\ntwo\n"
        if asked["follow"]:
            await self.go_on.wait()
            yield b"three\n"


async def test_logs_are_shown_and_followed(kubectl: Kubectl, server: EmbeddedApiServer) -> None:
    pod = server.apply(a_pod("p"))
    none = await kubectl.run("logs", "p")
    assert "nothing runs Pods on this server" in none.err
    logs = server.log_provider = _Logs()
    assert await kubectl("logs", "p", "--tail=5", "--since=10s", "--timestamps") == "one\ntwo\n"
    assert logs.asked == {
        "pod_uid": pod["metadata"]["uid"], "container": "a", "follow": False, "tail_lines": 5, "since_seconds": 10,
        "timestamps": True, "previous": False,
    }  # fmt: skip
    following = await kubectl.start("logs", "-f", "p")
    try:
        assert [await read_line(following), await read_line(following)] == ["one", "two"]
        logs.go_on.set()
        assert await read_line(following) == "three"
    finally:
        await kubectl.stop(following)
    assert "previous terminated container" in (await kubectl.run("logs", "p", "--previous")).err


async def test_exec_says_that_it_is_not_available(kubectl: Kubectl, server: EmbeddedApiServer) -> None:
    server.apply(a_pod("p"))
    refused = await kubectl.run("exec", "p", "--", "true")
    assert refused.code == 1
    assert "pods/exec is not available" in refused.err


async def test_a_token_can_be_created(kubectl: Kubectl) -> None:
    token = (await kubectl("create", "token", "default", "--audience=luna", "--duration=20m")).strip()
    assert token.count(".") == 2
