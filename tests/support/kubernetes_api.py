"""A bare client for tests of an API server: paths in, status and document out; and a custom resource to play with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from support.apiservers import ApiServer
from support.waiting import PATIENCE_S

Document = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
AS_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

CAMERAS = "/apis/contract.luna.test/v1/namespaces/default/cameras"
ALL_CAMERAS = "/apis/contract.luna.test/v1/cameras"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True)
class Reply:
    """An answer: `document` is empty when the body is no JSON object."""

    status: int
    text: str
    headers: httpx.Headers

    @property
    def document(self) -> Any:
        """The body, parsed."""
        return json.loads(self.text)

    @property
    def metadata(self) -> Document:
        """The metadata of the object or list in the body."""
        found: Document = self.document["metadata"]
        return found

    @property
    def names(self) -> list[str]:
        """The names in the list in the body."""
        return [item["metadata"]["name"] for item in self.document["items"]]

    @property
    def reason(self) -> str:
        """The reason of the Status in the body."""
        return str(self.document.get("reason"))


@dataclass(frozen=True)
class WatchResult:
    """What a watch gave: its events, and whether the server ended it."""

    status: int
    events: list[Document]
    ended: bool

    @property
    def types(self) -> list[str]:
        """The types of the events, in order."""
        return [event["type"] for event in self.events]


class Api:
    """Requests to one server."""

    def __init__(self, server: ApiServer, client: httpx.AsyncClient) -> None:
        self.server = server
        self._client = client

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        **query: Any,
    ) -> Reply:
        """Send a request; `body` is a document, or bytes to send as they are."""
        headers = {"Accept": accept}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = content_type
        params = {name: str(value) for name, value in query.items()}
        answer = await self._client.request(method, path, content=content, headers=headers, params=params)
        return Reply(answer.status_code, answer.text, answer.headers)

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any, **options: Any) -> Reply:
        return await self.call("POST", path, body, **options)

    async def put(self, path: str, body: Any, **options: Any) -> Reply:
        return await self.call("PUT", path, body, **options)

    async def patch(self, path: str, body: Any, content_type: str = MERGE, **options: Any) -> Reply:
        return await self.call("PATCH", path, body, content_type=content_type, **options)

    async def delete(self, path: str, body: Any = None, **options: Any) -> Reply:
        return await self.call("DELETE", path, body, **options)

    async def create(self, path: str, body: Document) -> Document:
        """Create an object that must be accepted; return it."""
        reply = await self.post(path, body)
        assert reply.status == 201, reply.text
        created: Document = reply.document
        return created

    async def version_of(self, path: str) -> str:
        """Return the resourceVersion of a list."""
        return str((await self.get(path, limit=1)).metadata["resourceVersion"])

    async def watch(
        self, path: str, *, count: int, within_s: float = PATIENCE_S, opened: asyncio.Event | None = None, **query: Any
    ) -> WatchResult:
        """Watch until `count` events came, the server ended the watch, or the time is over.

        `opened` is set once the server has accepted the watch.
        """
        events: list[Document] = []
        params = {"watch": "true", **{name: str(value) for name, value in query.items()}}
        status = 0
        try:
            async with asyncio.timeout(within_s), self._client.stream("GET", path, params=params) as answer:
                status = answer.status_code
                if opened is not None:
                    opened.set()
                async for line in answer.aiter_lines():
                    events.append(json.loads(line))
                    if len(events) >= count:
                        return WatchResult(status, events, ended=False)
                return WatchResult(status, events, ended=True)
        except TimeoutError:
            return WatchResult(status, events, ended=False)


@asynccontextmanager
async def connected(server: ApiServer) -> AsyncIterator[Api]:
    """Open a client to a server."""
    limits = httpx.Limits(max_connections=20)
    async with httpx.AsyncClient(
        base_url=server.url, timeout=20, limits=limits, trust_env=False, **server.client_options()
    ) as client:
        yield Api(server, client)


async def eventually(holds: Callable[[], Awaitable[bool]], within_s: float = 90.0) -> None:
    """Wait until something becomes true (a real garbage collector learns of a new CRD within half a minute)."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not await holds():
        assert asyncio.get_running_loop().time() < deadline, f"still not so after {within_s:g} s"
        await asyncio.sleep(0.05)


# --- a custom resource --------------------------------------------------------------------------------------------


def a_definition(plural: str = "cameras", kind: str = "Camera", **spec: Any) -> Document:
    """Return the CRD of a camera: a required url, defaults, bounds, a CEL rule, status and scale."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [
            {"name": "URL", "type": "string", "jsonPath": ".spec.url"},
            {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        ],
        "selectableFields": [{"jsonPath": ".spec.mode"}],
        "schema": {"openAPIV3Schema": camera_schema()},
    }
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.contract.luna.test"},
        "spec": {
            "group": "contract.luna.test", "scope": "Namespaced", "names": names, "versions": [version], **spec,
        },
    }  # fmt: skip


def camera_schema() -> Document:
    """Return the schema of a camera."""
    spec = {
        "type": "object",
        "required": ["url"],
        "properties": {
            "url": {"type": "string", "minLength": 1, "maxLength": 200},
            "fps": {"type": "integer", "minimum": 1, "maximum": 120, "default": 25},
            "mode": {"type": "string", "enum": ["day", "night"]},
            "replicas": {"type": "integer", "default": 1},
            "zones": {"type": "array", "items": {"type": "string"}},
            "lens": {"type": "string", "x-kubernetes-validations": [
                {"rule": "self == oldSelf", "message": "the lens cannot be changed"},
            ]},
            "shift": {"type": "number"},
            "filters": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "level": {"type": "integer"},
                }},
            },
        },
        "x-kubernetes-validations": [
            {"rule": "!self.url.startsWith('file:')", "message": "file urls are not allowed", "fieldPath": ".url"},
            {
                "rule": "!has(self.shift) || self.shift < 10.0",
                "messageExpression": "'the shift of ' + self.url + ' is too large'",
            },
        ],
    }  # fmt: skip
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"type": "object", "required": ["spec"], "properties": {"spec": spec, "status": status}}


def a_camera(name: str = "", *, spec: Document | None = None, **metadata: Any) -> Document:
    """Return a camera; `spec` adds to or overrides its url."""
    named = {"name": name} if name else {}
    return {
        "apiVersion": "contract.luna.test/v1",
        "kind": "Camera",
        "metadata": {**named, **metadata},
        "spec": {"url": "rtsp://camera/1", **(spec or {})},
    }


def a_config_map(name: str, **metadata: Any) -> Document:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": "1"}}


def a_pod(name: str, *images: str, **spec: Any) -> Document:
    """Return a Pod with a container per image, named a, b, ..."""
    containers = [{"name": chr(ord("a") + index), "image": image} for index, image in enumerate(images or ("x:1",))]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


async def define_cameras(api: Api) -> None:
    """Make sure that the server serves cameras."""
    reply = await api.post(DEFINITIONS, a_definition())
    assert reply.status in (201, 409), reply.text
    await eventually(lambda: is_established(api, "cameras"))
    await eventually(lambda: _is_served(api, CAMERAS))


async def is_established(api: Api, plural: str) -> bool:
    """Say whether a definition is established."""
    reply = await api.get(f"{DEFINITIONS}/{plural}.contract.luna.test")
    conditions = (reply.document.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


async def _is_served(api: Api, path: str) -> bool:
    return (await api.get(path, limit=1)).status == 200
