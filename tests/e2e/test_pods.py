"""Pods that cannot run, on real kubelets: the pool says why, streams go elsewhere; and REST on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.e2e_streams import Cameras, new_name
from support.inbox_threads import InboxThread
from support.lookouts import Lookout
from support.releases import Release
from support.waiting import eventually

Json = dict[str, Any]


@pytest.fixture
def broken_pool(release: Release, request: pytest.FixtureRequest) -> Iterator[str]:
    """A pool for streams of its own name, whose spec the test gives."""
    name = new_name("broken")
    body = {
        "apiVersion": "lunastreams.dev/v1alpha1",
        "kind": "StreamProcessor",
        "metadata": {"name": name},
        "spec": {"selector": {"names": [name]}, "minReplicas": 1, "maxReplicas": 1, **request.param},
    }
    release.kubectl("apply", "-f", "-", stdin=body)
    yield name
    release.kubectl("delete", "streamprocessor", name)


MEMORY = {"memory": "48Mi"}
SHORT_OF_MEMORY = {"spec": {"containers": [{"name": "processor", "resources": {"limits": MEMORY, "requests": MEMORY}}]}}


@pytest.mark.parametrize(
    ("broken_pool", "reasons"),
    [
        pytest.param({"image": "localhost/nowhere:none"}, ("ErrImagePull", "ImagePullBackOff"), id="no image"),
        pytest.param({"podTemplate": SHORT_OF_MEMORY}, ("OOMKilled", "CrashLoopBackOff"), id="short of memory"),
        pytest.param({"gpu": {"resourceName": "example.com/none"}}, ("Unschedulable",), id="no such GPU"),
    ],
    indirect=["broken_pool"],
)
async def test_pods_that_cannot_run_are_told_of(
    release: Release, cameras: Cameras, lookout: Lookout, broken_pool: str, reasons: tuple[str, ...]
) -> None:
    """The pool says what is wrong, and a stream that it was for goes to another pool that selects it."""
    (name,) = cameras.declare(broken_pool)
    await eventually(lambda: any(r in ready_message(release, broken_pool) for r in reasons), "the pool", timeout_s=90)
    await lookout.all_in_progress([name], 60)
    assert lookout.status(name)["processor"]["pool"] == "default"


async def test_a_stream_of_rest_is_processed_logged_and_shown(
    release: Release, cameras: Cameras, inbox: InboxThread
) -> None:
    with httpx.Client(base_url=shim_url(release), timeout=20) as client:
        made = client.post("/2/streams", json=cameras.rest_body(new_name("rest")))
        assert made.status_code == 201, made.text
        stream_id = made.json()["stream_id"]
        try:
            await eventually(lambda: inbox.count(stream_id) > 0, "an event is delivered", timeout_s=90)
            assert client.get(f"/2/streams/{stream_id}").json()["status"] == "in_progress"
            query = {"stream_ids": stream_id}
            log = [entry["status"] for entry in client.get("/2/streams/logs", params=query).json()["logs"]]
            assert {"pending", "in_progress"} <= set(log)
            assert client.get(f"/2/streams/{stream_id}/preview/handler/frame").content.startswith(b"\xff\xd8")
        finally:
            assert client.delete(f"/2/streams/{stream_id}").status_code == 204


def ready_message(release: Release, pool: str) -> str:
    """Return what a pool says about its pods."""
    path = '{.status.conditions[?(@.type=="Ready")].message}'
    return release.kubectl("get", "streamprocessor", pool, "-o", f"jsonpath={path}")


def shim_url(release: Release) -> str:
    """Return the address of the REST API's Service."""
    (service,) = release.objects("service", "-l", "app.kubernetes.io/component=shim")
    port = next(port["port"] for port in service["spec"]["ports"] if port["name"] == "http")
    return f"http://{service['spec']['clusterIP']}:{port}"
