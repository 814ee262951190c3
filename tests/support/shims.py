"""Replicas of the REST shim for tests: the whole service in the test's loop, over HTTP, against an API server.

    async with a_deployment(any_api) as deployment, deployment.shim() as shim:
        answer = await shim.http.post("/2/streams", json=v2_body())

Every deployment has a namespace of its own. `Deployment.kube` does what an administrator or the operator would do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import yaml

from luna_api_shim.service import Service, connected, listen
from luna_api_shim.settings import Settings
from luna_kube import (
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    PODS,
    SECRETS,
    STREAMS,
    Json,
    KubeClient,
    load_credentials,
)
from luna_kube.resources import Resource
from luna_streams import naming
from luna_streams.stream import ProcessorBinding, Stream
from support.apiservers import ApiServer, unique
from support.repository import ROOT
from support.waiting import PATIENCE_S, eventually

_with_definitions: set[str] = set()
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
DATABASE_ERROR = {
    "error_code": 10017,
    "desc": "Database error",
    "detail": "Database connection timeout error",
    "link": "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-10017",
}
"""What is answered while a database is away: the log's, or the API server."""


@dataclass
class Shim:
    """A running replica and a client of it."""

    service: Service
    http: httpx.AsyncClient

    @property
    def url(self) -> str:
        return str(self.http.base_url).rstrip("/")

    async def create(self, body: Json, api: int = 2) -> str:
        """Create a stream; return its id."""
        answer = await self.http.post(f"/{api}/streams", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["stream_id"])

    async def read(self, stream_id: str, api: int = 2) -> Json:
        answer = await self.http.get(f"/{api}/streams/{stream_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def until(self, stream_id: str, timeout_s: float = PATIENCE_S, **fields: Any) -> Json:
        """Return the stream as soon as it has these fields."""
        async with asyncio.timeout(timeout_s):
            while True:
                stream = await self.read(stream_id)
                if all(stream[name] == value for name, value in fields.items()):
                    return stream
                await asyncio.sleep(0.02)


@dataclass
class Deployment:
    """A namespace in an API server, with whatever runs on it.

    Attributes:
        folder: where its shims keep the log, unless they are told otherwise.
    """

    api: ApiServer
    kube: KubeClient
    namespace: str
    folder: Path

    @asynccontextmanager
    async def shim(self, *, wait: bool = True, **settings: Any) -> AsyncIterator[Shim]:
        """Run a replica; by default until it leads or follows a leader.

        A busy machine does not lose it its Lease, which is given back at the end.
        """
        defaults = {"port": 0, "namespace": self.namespace, "lease_duration": 15, "data_folder": str(self.folder)}
        wanted = Settings(**defaults | settings)
        with listen(wanted) as listener:
            async with a_shim(wanted, self.api, listener) as shim:
                if wait:
                    await eventually(lambda: shim.service.store.is_synced, "the shim has read everything")
                    election = shim.service.election
                    await eventually(lambda: election.is_leader or election.leader_origin, "a leader")
                yield shim

    async def assign(self, stream_id: str, pod: Json, pool: str = "pool") -> None:
        """Assign a stream to a pod, as the operator does with streams that have a status."""
        async with asyncio.timeout(PATIENCE_S):
            while "status" not in (obj := await self.kube.get(STREAMS.at(self.namespace, stream_id))):
                await asyncio.sleep(0.02)
        binding = ProcessorBinding(pool=pool, pod=pod["metadata"]["name"], pod_uid=pod["metadata"]["uid"])
        body = {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}}
        await self.kube.patch(
            STREAMS.at(self.namespace, stream_id).status, {**body, "status": {"processor": binding.to_resource()}}
        )

    async def stream(self, stream_id: str) -> Stream:
        """Return a stream as it stands in the API server."""
        return Stream.from_object(await self.kube.get(STREAMS.at(self.namespace, stream_id)))

    async def secrets_of(self, stream_name: str) -> list[Json]:
        """Return the Secrets that the REST API made for a stream."""
        listed = await self.kube.list(SECRETS.within(self.namespace), labels=naming.LABEL_MANAGED_BY)
        notes = naming.ANNOTATION_STREAM
        return [obj for obj in listed.items if obj["metadata"].get("annotations", {}).get(notes) == stream_name]

    async def pod_with_token(self, audience: str = naming.TOKEN_AUDIENCE) -> tuple[Json, str]:
        """Create a pod that no kubelet runs; return it and a token bound to it."""
        account, name = unique("account"), unique("pod")
        header = {"apiVersion": "v1", "metadata": {"namespace": self.namespace, "name": account}}
        await self.kube.create(SERVICE_ACCOUNTS.within(self.namespace), {**header, "kind": "ServiceAccount"})
        pod = await self.kube.create(
            PODS.within(self.namespace),
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"namespace": self.namespace, "name": name},
                "spec": {"serviceAccountName": account, "containers": [{"name": "processor", "image": "none"}]},
            },
        )
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience],
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]},
            },
        }
        answer = await self.kube.create(SERVICE_ACCOUNTS.at(self.namespace, account).sub("token"), request)
        return pod, str(answer["status"]["token"])


@asynccontextmanager
async def a_deployment(api: ApiServer) -> AsyncIterator[Deployment]:
    """Make a namespace and the definitions of our resources."""
    credentials = await load_credentials(api.kubeconfig)
    async with KubeClient(credentials, user_agent="test") as kube:
        if api.url not in _with_definitions:
            await install_definitions(kube)
            _with_definitions.add(api.url)
        namespace = unique("shim")
        await kube.create(
            NAMESPACES.everywhere(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        )
        with TemporaryDirectory() as folder:
            yield Deployment(api, kube, namespace, Path(folder))
        await kube.delete(NAMESPACES.at(None, namespace))


async def install_definitions(kube: KubeClient) -> None:
    """Make the API server serve our resources."""
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        body = yaml.safe_load(path.read_text())
        await kube.apply(CUSTOM_RESOURCE_DEFINITIONS.at(None, body["metadata"]["name"]), body, field_manager="test")
    for plural in (naming.STREAMS, naming.STREAM_GROUPS, naming.STREAM_PROCESSORS):
        await _established(kube, f"{plural}.{naming.GROUP}")


async def _established(kube: KubeClient, name: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await kube.get(CUSTOM_RESOURCE_DEFINITIONS.at(None, name))
            conditions = found.get("status", {}).get("conditions") or []  # a real API server begins with null
            if any(item["type"] == "Established" and item["status"] == "True" for item in conditions):
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def a_shim(settings: Settings, api: ApiServer, listener: socket.socket) -> AsyncIterator[Shim]:
    """Run one replica; at the end it is stopped as SIGTERM would."""
    credentials = await load_credentials(api.kubeconfig)
    async with connected(settings, credentials) as client:
        service = Service(settings, client, listener)
        running = asyncio.create_task(service.run())
        try:
            async with httpx.AsyncClient(base_url=service.origin, timeout=30) as http:
                yield Shim(service, http)
        finally:
            service.stop()
            await running
