"""The whole path on a real kube-apiserver: the very Pods of `luna-streams up`, run by the process kubelet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from luna_kube import NAMESPACES, PODS, STREAM_PROCESSORS, STREAMS, KubeClient, NotFound, Resource
from luna_local.up import manifests
from luna_streams import naming
from support.apiservers import ApiServer, free_port, kubernetes_assets, real_server
from support.inboxes import an_inbox
from support.kubelets import KubeletRun, a_kubelet
from support.media import demo_pictures, write_clip
from support.operators import install_crds
from support.ups import a_file_stream

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(400)]

SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
Json = dict[str, Any]


@dataclass
class Installation:
    """Shim, operator and a pool of two processors on a cluster."""

    kubelet: KubeletRun
    rest: httpx.AsyncClient
    inbox: httpx.AsyncClient

    async def stream(self, stream_id: str) -> Json:
        """Read a stream over REST."""
        answer = await self.rest.get(f"/2/streams/{stream_id}")
        body: Json = answer.json()
        return body if answer.is_success else {"status": None, "last_error": body}

    async def stream_when(self, stream_id: str, status: str, timeout_s: float = 150) -> Json:
        """Return a stream as soon as it has a status."""
        seen: Json = {}
        try:
            async with asyncio.timeout(timeout_s):
                while (seen := await self.stream(stream_id))["status"] != status:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"not {status} within {timeout_s:g} s: {seen}") from None
        return seen

    async def record(self, name: str) -> Json:
        """Read the status of a Stream."""
        status: Json = (await self.kubelet.client.get(STREAMS.at("default", name)))["status"]
        return status

    async def events(self, stream_id: str) -> list[Json]:
        """Return what was delivered for a stream."""
        found: list[Json] = (await self.inbox.get("/events", params={"stream_id": stream_id})).json()
        return found


@asynccontextmanager
async def installed(api: ApiServer, folder: Path) -> AsyncIterator[Installation]:
    """Install what `up` installs."""
    async with an_inbox(folder / "inbox") as inbox, a_kubelet(api, folder / "pods") as kubelet:
        addresses = manifests.Addresses(free_port(), api.kubeconfig, str(inbox.base_url).rstrip("/"), folder / "logs")
        client = kubelet.client
        await install_crds(client)
        await client.create(NAMESPACES.everywhere(), manifests.namespace(manifests.SYSTEM_NAMESPACE))
        await _service_account(client, manifests.SYSTEM_NAMESPACE)
        for pod in (manifests.shim_pod(addresses), manifests.operator_pod(addresses)):
            await client.create(PODS.within(manifests.SYSTEM_NAMESPACE), pod)
        await client.create(STREAM_PROCESSORS.within("default"), manifests.default_pool(2))
        async with httpx.AsyncClient(base_url=addresses.rest, timeout=20) as rest:
            await _until_it_answers(rest)
            yield Installation(kubelet, rest, inbox)


async def _service_account(client: KubeClient, namespace: str) -> None:
    """Wait for the account that kube-controller-manager makes; Pods are refused before."""
    async with asyncio.timeout(30):
        while True:
            try:
                await client.get(SERVICE_ACCOUNTS.at(namespace, "default"))
            except NotFound:
                await asyncio.sleep(0.1)
            else:
                return


async def _until_it_answers(rest: httpx.AsyncClient) -> None:
    async with asyncio.timeout(90):
        while True:
            with suppress(httpx.TransportError):  # not there yet
                if (await rest.get("/healthcheck")).is_success:
                    return
            await asyncio.sleep(0.2)


async def test_the_same_programs_do_the_same_on_a_real_api_server(tmp_path: Path) -> None:
    assets = kubernetes_assets()
    if assets is None:
        pytest.skip("no kube-apiserver: set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver")
    (tmp_path / "api").mkdir()
    clip = write_clip(tmp_path / "clip.mp4", demo_pictures(2.0, 3.0, (640, 360)))
    with real_server(assets, tmp_path / "api") as api:
        async with installed(api, tmp_path) as cluster:
            posted = (await cluster.rest.post("/2/streams", json=a_file_stream(clip, real_time_mode_fps=8))).json()[
                "stream_id"
            ]
            await cluster.stream_when(posted, "done")
            original = await cluster.kubelet.client.get(STREAMS.at("default", posted))
            manifest = {**original, "metadata": {"name": "from-manifest"}, "status": {}}
            await cluster.kubelet.client.create(STREAMS.within("default"), manifest)
            applied = naming.stream_id("default", "from-manifest")
            await cluster.stream_when(applied, "in_progress")
            holder = (await cluster.record("from-manifest"))["processor"]
            await cluster.kubelet.delete(holder["pod"], grace_period_s=0)
            await cluster.stream_when(applied, "done")
            history = [entry["status"] for entry in (await cluster.record("from-manifest"))["history"]]
            assert history[:5] == ["pending", "in_progress", "handler_lost", "restart", "pending"]
            assert history[-2:] == ["in_progress", "done"]
            assert len(await cluster.events(posted)) == len(await cluster.events(applied)) == 1
