"""Reading, writing and watching objects of a Kubernetes API server with raw bodies (orjson) and typed errors.

Raw, because typed clients cost three to six times the CPU per object (docs/adr/0005). Who may be retried is told by
the errors; what the client repeats by itself, luna_kube.transport says.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import ClientResponse

from luna_kube.credentials import Credentials
from luna_kube.errors import Gone, Unavailable, error_from_status
from luna_kube.resources import CollectionRef, ObjectRef
from luna_kube.transport import Call, Transport, read_lines

Json = dict[str, Any]

_LIST_ATTEMPTS = 3


class PatchKind(enum.StrEnum):
    """How a patch body is understood; the value is its content type."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"


_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class ListResult:
    """A consistent snapshot of a collection.

    Attributes:
        items: the objects; built-in kinds come without apiVersion and kind, all without managedFields, which take more
            memory than the rest of an object.
        resource_version: the version of the snapshot: a watch from here misses nothing.
    """

    items: list[Json]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: type is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Json


class KubeClient:
    """A client of one API server; use it as `async with KubeClient(credentials) as client`.

    Args:
        credentials: see `load_credentials`.
        timeout_s: the deadline of a call, waiting for 429 included.
        user_agent: what audit logs call this client; also the default field manager.
    """

    def __init__(self, credentials: Credentials, *, timeout_s: float = 30.0, user_agent: str = "luna-streams") -> None:
        self.timeout_s = timeout_s
        self.user_agent = user_agent
        self._transport = Transport(credentials, user_agent)

    async def __aenter__(self) -> Self:
        await self._transport.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._transport.close()

    @property
    def server(self) -> str:
        """The address of the API server."""
        return self._transport.credentials.server

    async def get(self, ref: ObjectRef) -> Json:
        """Read one object (or subresource)."""
        return await self.request(Call("GET", ref.path))

    async def create(self, into: CollectionRef | ObjectRef, body: Json, *, is_strict: bool = False) -> Json:
        """Create an object in a collection, or a subresource of an object (eviction, binding, token).

        Args:
            into: the collection or subresource.
            body: the object.
            is_strict: have unknown fields refused, which the server drops otherwise.

        Raises:
            AlreadyExists: if the name is taken.
            Invalid: if the server refuses the body.
            Unavailable: if it is not known whether it was created.
        """
        params = {"fieldValidation": "Strict"} if is_strict else {}
        return await self.request(Call("POST", into.path, params, orjson.dumps(body)))

    async def replace(self, ref: ObjectRef, body: Json) -> Json:
        """Replace an object; with metadata.resourceVersion in the body, only if nobody wrote meanwhile."""
        return await self.request(Call("PUT", ref.path, data=orjson.dumps(body)))

    async def patch(self, ref: ObjectRef, body: Json, kind: PatchKind = PatchKind.MERGE) -> Json:
        """Patch an object; a merge patch with metadata.resourceVersion ends in Conflict when that is stale."""
        return await self.request(Call("PATCH", ref.path, data=orjson.dumps(body), content_type=kind))

    async def apply(self, ref: ObjectRef, body: Json, *, field_manager: str = "", force: bool = True) -> Json:
        """Apply a configuration server-side: the fields in the body become the manager's, others stay."""
        params = {"fieldManager": field_manager or self.user_agent, "force": str(force).lower()}
        return await self.request(Call("PATCH", ref.path, params, orjson.dumps(body), _APPLY))

    async def delete(
        self, ref: ObjectRef, *, uid: str = "", resource_version: str = "", grace_period_s: int | None = None
    ) -> Json:
        """Delete an object; its dependents go in the background.

        Args:
            ref: the object.
            uid: delete only this incarnation (Conflict if another one has the name).
            resource_version: delete only this version.
            grace_period_s: how long a pod may take to stop; None leaves it to the pod.

        Returns:
            The object if it lives on for a while (finalizers, a stopping pod), else a Status of kind "Status".
        """
        preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if preconditions:
            options["preconditions"] = preconditions
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        return await self.request(Call("DELETE", ref.path, data=orjson.dumps(options)))

    async def list(
        self, collection: CollectionRef, *, labels: str = "", fields: str = "", page_size: int = 500
    ) -> ListResult:
        """Read a whole collection in pages of one consistent snapshot.

        A continue token that expired between two pages (410) starts the list again; the last attempt asks for
        everything at once, as client-go does.
        """
        params = selectors(labels, fields)
        for _ in range(_LIST_ATTEMPTS - 1):
            try:
                return await self._list(collection.path, {**params, "limit": str(page_size)})
            except Gone:
                continue
        return await self._list(collection.path, params)

    async def _list(self, path: str, params: Mapping[str, str]) -> ListResult:
        items: list[Json] = []
        token: str | None = None
        while True:
            page = await self.request(Call("GET", path, {**params, "continue": token} if token else params))
            for item in page.get("items") or []:
                item["metadata"].pop("managedFields", None)
                items.append(item)
            token = page["metadata"].get("continue")
            if not token:
                return ListResult(items, page["metadata"]["resourceVersion"])

    @asynccontextmanager
    async def watch(
        self,
        collection: CollectionRef,
        resource_version: str,
        *,
        params: Mapping[str, str] | None = None,
        stall_timeout_s: float = 90.0,
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """Open a watch: `async with client.watch(...) as events: async for event in events`.

        The events are the changes after a resource version; they end when the server ends the stream.

        Args:
            collection: what to watch.
            resource_version: of the list or event after which to begin.
            params: further query parameters (selectors, timeoutSeconds).
            stall_timeout_s: silence after which the connection counts as dead; longer than the server's bookmark
                period (a minute on a real API server).

        Raises:
            Gone: if the version is too old, or ahead of the server: list again.
            Unavailable: if the connection broke or stalled: go on from the last event's version.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": resource_version, **(params or {})}
        call = Call("GET", collection.path, query, stall_timeout_s=stall_timeout_s)
        async with self._transport.open(call) as response, aclosing(_watch_events(call, response)) as events:
            yield events

    async def request(self, call: Call) -> Json:
        """Send one request and return the parsed answer.

        Raises:
            ApiError: one of its kinds, see luna_kube.errors.
        """
        return _parsed(call, await self._transport.fetch(call, self.timeout_s))


class FencedClient(KubeClient):
    """A client on the connections of another one that sends writes only as long as it is allowed to.

    Args:
        client: an open client.
        is_allowed: asked right before each write is sent, also before one that was put off by 429.
    """

    def __init__(self, client: KubeClient, is_allowed: Callable[[], bool]) -> None:
        self.timeout_s = client.timeout_s
        self.user_agent = client.user_agent
        self._transport = client._transport
        self._is_allowed = is_allowed

    async def request(self, call: Call) -> Json:
        """Send one request, see `KubeClient.request`.

        Raises:
            ApiError: also if it is not allowed.
        """
        return await super().request(call if call.method == "GET" else replace(call, is_allowed=self._is_allowed))


def selectors(labels: str, fields: str) -> dict[str, str]:
    """Return the query parameters of a label and a field selector; empty ones are left out."""
    return {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v}


def _parsed(call: Call, body: bytes) -> Json:
    try:
        parsed: Json = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise Unavailable(call.action, "the answer is not JSON (a proxy in between?)") from e
    return parsed


async def _watch_events(call: Call, response: ClientResponse) -> AsyncGenerator[WatchEvent, None]:
    async with aclosing(read_lines(response)) as lines:
        async for line in lines:
            event = _parsed(call, line)
            if event["type"] == "ERROR":
                raise error_from_status(call.action, event["object"])
            yield WatchEvent(event["type"], event["object"])
