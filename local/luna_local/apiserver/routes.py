"""Routes of objects: what each method means on a collection, an object and a subresource."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from luna_local.apiserver import pods
from luna_local.apiserver.deletion import Deletions
from luna_local.apiserver.documents import Document, decode_json, decode_yaml, dig, plant, section
from luna_local.apiserver.errors import (
    ApiError,
    FieldProblem,
    bad_request,
    invalid,
    method_not_allowed,
    no_such_path,
    not_implemented,
    unsupported_media_type,
)
from luna_local.apiserver.http import Request, Response, Stream
from luna_local.apiserver.lists import Lists
from luna_local.apiserver.objects import Objects, WriteOptions, Written
from luna_local.apiserver.patches import json_patch, merge_patch, strategic_patch
from luna_local.apiserver.resources import PODS, SERVICE_ACCOUNTS, Resource
from luna_local.apiserver.store import ObjectKey, Record, Store
from luna_local.apiserver.tokens import Tokens
from luna_local.apiserver.views import View, negotiate
from luna_local.apiserver.watches import Watches, WatchQuery

Answer = Response | Stream

_JSON_PATCH, _MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
_STRATEGIC_PATCH, _APPLY_PATCH = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_PATCHES_OF_CUSTOM = (_JSON_PATCH, _MERGE_PATCH, _APPLY_PATCH)
# How long an answer waits for the first piece of a log.
_FIRST_PIECE_S = 0.5
_NOT_HERE = ("exec", "attach", "portforward", "proxy", "ephemeralcontainers", "resize")


@dataclass(frozen=True)
class Target:
    """What a path names."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return (self.namespace, self.name)


@dataclass
class Backend:
    """Everything the routes work with."""

    store: Store
    objects: Objects
    deletions: Deletions
    lists: Lists
    watches: Watches
    tokens: Tokens
    log_provider: pods.LogProvider | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


class Routes:
    """Answers requests about objects."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._of_collection: dict[str, _Handler] = {
            "GET": self._list,
            "POST": self._create,
            "DELETE": self._delete_collection,
        }
        self._of_object: dict[str, _Handler] = {
            "GET": self._get,
            "PUT": self._replace,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        self._of_pod: dict[tuple[str, str], _Handler] = {
            ("GET", "log"): self._log,
            ("POST", "binding"): self._bind,
            ("POST", "eviction"): self._evict,
        }

    async def answer(self, request: Request, target: Target) -> Answer:
        """Answer a request.

        Raises:
            ApiError: when it is refused.
        """
        handler = self._handler(request, target)
        if handler is None:
            raise method_not_allowed()
        return await handler(request, target)

    def _handler(self, request: Request, target: Target) -> _Handler | None:
        method, resource, subresource = request.method, target.resource, target.subresource
        if not target.name:
            return self._of_collection.get(method)
        if not subresource:
            return self._of_object.get(method)
        if subresource == "status" and resource.has_status:
            return self._of_object.get(method) if method != "DELETE" else None
        if subresource == "scale" and resource.scale is not None:
            return {"GET": self._get_scale, "PUT": self._set_scale, "PATCH": self._set_scale}.get(method)
        if resource.key == PODS and subresource in ("log", "binding", "eviction"):
            return self._of_pod.get((method, subresource))
        if resource.key == SERVICE_ACCOUNTS and subresource == "token":
            return self._token if method == "POST" else None
        if resource.key == PODS and subresource.partition("/")[0] in _NOT_HERE:
            raise not_implemented(f"pods/{subresource} is not available: Pods are plain processes of this machine")
        raise no_such_path()

    # --- reading --------------------------------------------------------------------------------------------------

    async def _list(self, request: Request, target: Target) -> Answer:
        view = _view(request, target.resource)
        if request.flag("watch"):
            return self._watch(request, view, target.namespace)
        return Response(view.many(self._backend.lists.page(target.resource, target.namespace, request.query)))

    async def _get(self, request: Request, target: Target) -> Answer:
        view = _view(request, target.resource)
        if request.flag("watch") and not target.subresource:
            request.query["fieldSelector"] = f"metadata.name={target.name}"
            return self._watch(request, view, target.namespace)
        return Response(view.one(self._backend.objects.get(target.resource, target.key)))

    def _watch(self, request: Request, view: View, namespace: str) -> Stream:
        asked = WatchQuery.parse(view.resource, request.query)
        lines = self._backend.watches.run(view, namespace, request.query, asked)
        return Stream(lines, request, "application/json", self._backend.stopping)

    # --- writing --------------------------------------------------------------------------------------------------

    async def _create(self, request: Request, target: Target) -> Answer:
        if target.resource.is_namespaced and not target.namespace:
            raise method_not_allowed()
        view, document = _view(request, target.resource), await request.document()
        created = self._backend.objects.create(target.resource, target.namespace, document, _options(request))
        return _written(view, created)

    async def _replace(self, request: Request, target: Target) -> Answer:
        view, document = _view(request, target.resource), await request.document()
        written = self._backend.objects.replace(target.resource, target.key, document, _options(request, target))
        return _written(view, written)

    async def _patch(self, request: Request, target: Target) -> Answer:
        view, options = _view(request, target.resource), _options(request, target)
        if request.media_type == _APPLY_PATCH:
            return _written(view, self._apply(request, target, decode_yaml(await request.body()), options))
        patch = _patch_of(request, target.resource, decode_json(await request.body()))
        written = self._backend.objects.patch(target.resource, target.key, patch, options)
        return _written(view, written)

    def _apply(self, request: Request, target: Target, config: Any, options: WriteOptions) -> Written:
        if not request.query.get("fieldManager"):
            problem = FieldProblem("fieldManager", "Required value: is required for apply patch", "FieldValueRequired")
            raise invalid(target.resource, target.name, [problem])
        return self._backend.objects.apply(target.resource, target.key, config, options)

    async def _delete(self, request: Request, target: Target) -> Answer:
        view = _view(request, target.resource)
        asked = pods.delete_options(await request.mapping(), request.query, dry_run=_is_dry_run(request))
        record, is_gone = self._backend.deletions.delete(target.resource, target.key, asked)
        if is_gone and target.resource.key != PODS:
            return Response(_success(target, record))
        return Response(view.one(record))

    async def _delete_collection(self, request: Request, target: Target) -> Answer:
        if target.resource.is_namespaced and not target.namespace:
            raise method_not_allowed()
        body = await request.mapping()
        asked = pods.delete_options({**body, "preconditions": {}}, request.query, dry_run=_is_dry_run(request))
        page = self._backend.lists.page(target.resource, target.namespace, request.query)
        for record in page.records:
            try:
                self._backend.deletions.delete(target.resource, record.key, asked)
            except ApiError as error:
                if error.code != 404:
                    raise
        return Response(_view(request, target.resource).many(page))

    # --- subresources ---------------------------------------------------------------------------------------------

    async def _get_scale(self, request: Request, target: Target) -> Answer:
        return Response(_scale(target.resource, self._backend.objects.get(target.resource, target.key)))

    async def _set_scale(self, request: Request, target: Target) -> Answer:
        objects, resource = self._backend.objects, target.resource
        current = _scale(resource, objects.get(resource, target.key))
        raw = await request.body()
        if request.method == "PUT":
            wanted = decode_json(raw)
        else:
            wanted = _patch_of(request, resource, decode_json(raw))(current)
        replicas = dig(wanted, ("spec", "replicas"))
        replicas = 0 if replicas is None else replicas
        if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
            raise bad_request("spec.replicas must be a whole number that is not negative")
        version = dig(wanted, ("metadata", "resourceVersion"))

        def scale(document: Document) -> Document:
            assert resource.scale is not None  # noqa: S101 `_handler` looked
            plant(document, resource.scale.spec_replicas.split("."), replicas)
            document["metadata"]["resourceVersion"] = version
            return document

        written = objects.patch(resource, target.key, scale, _options(request))
        return Response(_scale(resource, written.record), warnings=written.warnings)

    async def _log(self, request: Request, target: Target) -> Answer:
        pod = self._backend.objects.get(target.resource, target.key)
        pieces = _told(pods.open_log(self._backend.log_provider, pod, request.query))
        # A log that is not there must be said before the answer starts; one that is merely quiet must not delay it.
        first = asyncio.ensure_future(anext(pieces, b""))
        done, _ = await asyncio.wait((first,), timeout=_FIRST_PIECE_S)
        if done:
            first.result()
        return Stream(_after(first, pieces), request, "text/plain", self._backend.stopping)

    async def _bind(self, request: Request, target: Target) -> Answer:
        binding = await request.mapping()
        pods.bind(self._backend.objects, target.resource, target.key, binding, _options(request))
        return Response(pods.SUCCESS, 201)

    async def _evict(self, request: Request, target: Target) -> Answer:
        eviction = await request.mapping()
        pods.evict(self._backend.deletions, target.resource, target.key, eviction, _options(request))
        return Response(pods.SUCCESS, 201)

    async def _token(self, request: Request, target: Target) -> Answer:
        backend, body = self._backend, await request.mapping()
        account = backend.objects.get(target.resource, target.key)
        return Response(pods.request_token(backend.store, backend.tokens, target.resource, account, body), 201)


_Handler = Callable[[Request, Target], Awaitable[Answer]]


def _view(request: Request, resource: Resource) -> View:
    include = request.query.get("includeObject") or "Metadata"
    return View(resource, negotiate(request.header("accept")), include)


def _written(view: View, written: Written) -> Response:
    return Response(view.one(written.record), 201 if written.created else 200, warnings=written.warnings)


def _is_dry_run(request: Request) -> bool:
    asked = request.query.get("dryRun", "")
    if asked not in ("", "All"):
        raise bad_request(f'dryRun: Unsupported value: {asked[:100]!r}: supported values: "All"')
    return asked == "All"


def _options(request: Request, target: Target | None = None) -> WriteOptions:
    validation = request.query.get("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise bad_request(f"fieldValidation: Unsupported value: {validation[:100]!r}")
    manager = request.query.get("fieldManager") or request.header("user-agent").partition("/")[0] or "unknown"
    if len(manager) > 128:
        raise bad_request("fieldManager: Too long: may not be more than 128 bytes")
    subresource = target.subresource if target is not None else ""
    return WriteOptions(manager, _is_dry_run(request), validation, subresource, request.flag("force"))


def _patch_of(request: Request, resource: Resource, patch: Any) -> Callable[[Document], Any]:
    media_type = request.media_type
    if media_type == _MERGE_PATCH:
        return lambda document: merge_patch(document, patch)
    if media_type == _JSON_PATCH:
        return lambda document: json_patch(document, patch)
    if media_type == _STRATEGIC_PATCH and resource.is_builtin:
        return lambda document: strategic_patch(document, patch, resource.schema)
    supported = (*_PATCHES_OF_CUSTOM, _STRATEGIC_PATCH) if resource.is_builtin else _PATCHES_OF_CUSTOM
    raise unsupported_media_type(media_type, supported)


def _success(target: Target, record: Record) -> Document:
    details = {"name": target.name, "kind": target.resource.plural, "uid": record.uid}
    if target.resource.group:
        details["group"] = target.resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _scale(resource: Resource, record: Record) -> Document:
    assert resource.scale is not None  # noqa: S101 `_handler` looked
    document, paths = record.load(), resource.scale
    metadata = document["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status = {"replicas": dig(document, paths.status_replicas.split(".")) or 0}
    if selector := _scale_selector(document, paths.selector):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": dig(document, paths.spec_replicas.split(".")) or 0},
        "status": status,
    }


def _scale_selector(document: Document, path: str) -> Any:
    if path:
        return dig(document, path.split("."))
    labels = section(document, "spec", "selector", "matchLabels")
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


async def _told(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Turn a provider's LookupError into the answer kubectl shows."""
    try:
        async for piece in pieces:
            yield piece
    except LookupError as error:
        raise pods.no_log(error) from error
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


async def _after(first: asyncio.Future[bytes], rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        try:
            yield await first
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        async for piece in rest:
            yield piece
