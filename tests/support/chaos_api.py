"""A Kubernetes API server that misbehaves on request: real HTTP on loopback, one ordered history, faults by name.

It serves lists (paged, from a snapshot), watches (resume, bookmarks), GET, POST, PUT, merge PATCH and DELETE of any
resource, well enough for a client's faults to show. What a test may do to it:

* `fail(kind, status, times)`: the next requests of a kind ("list", "page", "get", "write", "watch") answer an error;
* `hang(kind)`: the next request of that kind is accepted and never answered;
* `disturb(how)`: every open watch ends ("eof"), is reset ("abort"), is cut in a line ("half-line"), carries a 410
  ("gone") or a 500 ("error"), or goes silent ("stall");
* `compact()`: the history so far is forgotten: resuming from before answers 410, continue tokens expire;
* `restore(backup)`: the server goes back to an earlier state and version, as after an etcd restore.
"""

from __future__ import annotations

import asyncio
import copy
import re
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from luna_kube import Credentials, KubeClient

Json = dict[str, Any]
_PATH = re.compile(
    r"(?P<root>/api/v1|/apis/[^/]+/[^/]+)(/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)"
    r"(/(?P<name>[^/]+)(/(?P<subresource>[a-z]+))?)?"
)


@dataclass(frozen=True)
class Fault:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False


@dataclass
class _Watch:
    collection: str
    namespace: str | None
    commands: asyncio.Queue[str] = field(default_factory=asyncio.Queue)


@dataclass(frozen=True)
class Backup:
    objects: dict[str, dict[tuple[str, str], Json]]
    version: int


class ChaosApi:
    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[tuple[str, str], Json]] = {}
        self.requests: list[tuple[float, str]] = []
        self._history: list[tuple[int, str, str, Json]] = []  # version, collection, type, object
        self._compacted = self.version
        self._snapshots: dict[str, tuple[int, list[Json]]] = {}
        self._faults: dict[str, deque[Fault]] = {}
        self._watches: list[_Watch] = []
        self._hanging: set[asyncio.Event] = set()
        self.url = ""
        self.is_silent_about_the_future = False
        """Leave a watch from a version ahead of the server waiting, as kube-apiserver does, instead of refusing it."""

    # -- what a test does ------------------------------------------------------------------------------------------

    def fail(self, kind: str, status: int, times: int = 1, **headers: str) -> None:
        fault = Fault(status, {name.replace("_", "-"): value for name, value in headers.items()})
        self._faults.setdefault(kind, deque()).extend([fault] * times)

    def hang(self, kind: str) -> None:
        self._faults.setdefault(kind, deque()).append(Fault(0, hangs=True))

    def heal(self) -> None:
        self._faults.clear()

    def disturb(self, how: str) -> None:
        for watch in self._watches:
            watch.commands.put_nowait(how)

    def compact(self) -> None:
        self._compacted = self.version
        self._history.clear()
        self._snapshots.clear()

    def backup(self) -> Backup:
        return Backup(copy.deepcopy(self.objects), self.version)

    def restore(self, backup: Backup) -> None:
        self.objects, self.version = copy.deepcopy(backup.objects), backup.version
        self.compact()
        self.disturb("abort")

    def put(self, collection: str, name: str, namespace: str = "default", **content: Any) -> Json:
        """Create or change an object behind the client's back."""
        old = self.objects.get(collection, {}).get((namespace, name))
        body: Json = {"metadata": {"namespace": namespace, "name": name}, **content}
        return self._store(collection, body, old)

    def remove(self, collection: str, name: str, namespace: str = "default") -> None:
        last = copy.deepcopy(self.objects[collection].pop((namespace, name)))
        self._record(collection, "DELETED", last)

    def state(self, collection: str) -> dict[tuple[str, str], Json]:
        return self.objects.get(collection, {})

    @property
    def watches(self) -> int:
        return len(self._watches)

    def count(self, kind: str) -> int:
        return Counter(k for _, k in self.requests)[kind]

    # -- the store -------------------------------------------------------------------------------------------------

    def _store(self, collection: str, body: Json, old: Json | None) -> Json:
        obj = copy.deepcopy(body)
        metadata = obj["metadata"]
        metadata["uid"] = old["metadata"]["uid"] if old else str(uuid.uuid4())
        metadata["managedFields"] = [{"manager": "chaos"}]
        self.objects.setdefault(collection, {})[(metadata.get("namespace", ""), metadata["name"])] = obj
        self._record(collection, "MODIFIED" if old else "ADDED", obj)
        return obj

    def _record(self, collection: str, type_: str, obj: Json) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self._history.append((self.version, collection, type_, copy.deepcopy(obj)))
        self._wake()

    def _wake(self) -> None:
        for watch in self._watches:
            watch.commands.put_nowait("")

    # -- HTTP ------------------------------------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.StreamResponse:
        match = _PATH.fullmatch(request.path)
        if match is None:
            return _status(404, "NotFound", "no such path")
        kind = _kind(request, match["name"])
        self.requests.append((time.monotonic(), kind))
        if faults := self._faults.get(kind):
            fault = faults.popleft()
            if fault.hangs:
                await self._hang()
            return _status(fault.status, "Chaos", "as ordered", fault.headers)
        collection = f"{match['root']}/{match['plural']}"
        if kind == "watch":
            return await self._watch(request, collection, match["namespace"])
        if kind in ("list", "page"):
            return self._list(request, collection, match["namespace"])
        return await self._single(request, collection, match)

    async def _hang(self) -> None:
        event = asyncio.Event()
        self._hanging.add(event)
        await event.wait()

    def _list(self, request: web.Request, collection: str, namespace: str | None) -> web.Response:
        token = request.query.get("continue")
        if token:
            snapshot, _, start = token.partition(":")
            if snapshot not in self._snapshots:
                return _status(410, "Expired", "the continue token expired")
            version, items = self._snapshots[snapshot]
        else:
            objects = self.objects.get(collection, {})
            items = [copy.deepcopy(o) for (ns, _), o in sorted(objects.items()) if namespace in (None, ns)]
            version, snapshot, start = self.version, uuid.uuid4().hex, "0"
            self._snapshots[snapshot] = version, items
        begin, limit = int(start), int(request.query.get("limit", "0")) or len(items) or 1
        metadata: Json = {"resourceVersion": str(version)}
        if begin + limit < len(items):
            metadata["continue"] = f"{snapshot}:{begin + limit}"
        return _json({"kind": "List", "metadata": metadata, "items": items[begin : begin + limit]})

    async def _watch(self, request: web.Request, collection: str, namespace: str | None) -> web.StreamResponse:
        position = int(request.query["resourceVersion"])
        if position < self._compacted:
            return _status(410, "Expired", f"too old resource version: {position}")
        if position > self.version and not self.is_silent_about_the_future:
            causes = {"details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}}
            return _status(504, "Timeout", f"Too large resource version: {position}", more=causes)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watch = _Watch(collection, namespace)
        self._watches.append(watch)
        try:
            await self._stream(request, response, watch, position)
        except ConnectionError:
            pass  # the client left, or we cut it off
        finally:
            self._watches.remove(watch)
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse, watch: _Watch, position: int) -> None:
        while True:
            if position < self._compacted:
                await self._break("gone", request, response)
            if position > self.version:
                await self._break("stall", request, response)
            for version, collection, type_, obj in list(self._history):
                mine = collection == watch.collection and watch.namespace in (None, obj["metadata"].get("namespace"))
                if version > position:
                    position = version
                    if mine:
                        await response.write(_line(type_, obj))
            command = await watch.commands.get()
            if command == "bookmark":
                await response.write(_line("BOOKMARK", {"metadata": {"resourceVersion": str(position)}}))
            elif command == "eof":
                return
            elif command:
                await self._break(command, request, response)

    async def _break(self, how: str, request: web.Request, response: web.StreamResponse) -> None:
        if how == "gone":
            await response.write(_line("ERROR", {"code": 410, "reason": "Expired", "message": "too old"}))
        elif how == "error":
            await response.write(_line("ERROR", {"code": 500, "reason": "InternalError", "message": "chaos"}))
        elif how == "half-line":
            await response.write(_line("MODIFIED", {"metadata": {"name": "cut"}})[:-20])
        elif how == "stall":
            await self._hang()
        if how in ("abort", "half-line") and request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError(how)

    async def _single(self, request: web.Request, collection: str, match: re.Match[str]) -> web.Response:
        objects = self.objects.setdefault(collection, {})
        body = orjson.loads(await request.read() or b"{}")
        if request.method == "POST":
            body["metadata"].setdefault("namespace", match["namespace"])
            key = (match["namespace"] or "", body["metadata"]["name"])
            if key in objects:
                return _status(409, "AlreadyExists", f"{key[1]} exists")
            return _json(self._store(collection, body, None), 201)
        key = (match["namespace"] or "", match["name"])
        old = objects.get(key)
        if old is None:
            return _status(404, "NotFound", f"{key[1]} not found")
        if request.method == "DELETE":
            self.remove(collection, key[1], key[0])
            return _json({"kind": "Status", "status": "Success", "details": {"uid": old["metadata"]["uid"]}})
        if request.method == "GET":
            return _json(old)
        expected = body.get("metadata", {}).get("resourceVersion")
        if expected not in (None, old["metadata"]["resourceVersion"]):
            return _status(409, "Conflict", "the object has been modified")
        new = apply_merge_patch(old, body) if request.method == "PATCH" else body
        return _json(self._store(collection, new, old))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            self.disturb("eof")
            for event in self._hanging:
                event.set()
            with suppress(ConnectionError):
                await runner.cleanup()

    def client(self, timeout_s: float = 5.0) -> KubeClient:
        return KubeClient(Credentials(Configuration(host=self.url)), timeout_s=timeout_s)


def _kind(request: web.Request, name: str | None) -> str:
    if request.method != "GET":
        return "write"
    if name:
        return "get"
    if "watch" in request.query:
        return "watch"
    return "page" if "continue" in request.query else "list"


def apply_merge_patch(old: Json, patch: Json) -> Json:
    """JSON merge patch, RFC 7386."""
    merged = dict(old)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = apply_merge_patch(merged[key] if isinstance(merged.get(key), dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _line(type_: str, obj: Json) -> bytes:
    return orjson.dumps({"type": type_, "object": obj}) + b"\n"


def _json(body: Json, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _status(
    code: int, reason: str, message: str, headers: dict[str, str] | None = None, more: Json | None = None
) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, **(more or {})}
    return web.Response(body=orjson.dumps(body), status=code, content_type="application/json", headers=headers or {})
