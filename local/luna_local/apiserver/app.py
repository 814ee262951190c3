"""The ASGI application: paths, discovery, health, who asks, and turning errors into Status answers."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from luna_local.apiserver import discovery, reviews
from luna_local.apiserver.builtin_schemas import EMULATED_MINOR
from luna_local.apiserver.documents import Document
from luna_local.apiserver.errors import ApiError, bad_request, method_not_allowed, no_such_path, unauthorized
from luna_local.apiserver.http import (
    ClientGoneError,
    Message,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    failure,
)
from luna_local.apiserver.openapi import OpenApi
from luna_local.apiserver.resources import Registry
from luna_local.apiserver.routes import Answer, Backend, Routes, Target
from luna_local.apiserver.tokens import ADMINISTRATOR, API_AUDIENCE, Identity, TokenError
from luna_local.apiserver.views import negotiate

_LOG = logging.getLogger(__name__)

GIT_VERSION = f"v1.{EMULATED_MINOR}.0+luna-embedded"
_VERSION: Document = {
    "major": "1",
    "minor": str(EMULATED_MINOR),
    "gitVersion": GIT_VERSION,
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_ROOT_PATHS = ("/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version")
_REVIEWS = {(each.group, each.version, each.plural): each for each in discovery.REVIEWS}
_LOOPBACK_NAMES = frozenset({"localhost", "::1"})


class App:
    """The API as an ASGI application."""

    def __init__(self, registry: Registry, backend: Backend) -> None:
        self._registry = registry
        self._backend = backend
        self._routes = Routes(backend)
        self._openapi = OpenApi(registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] != "http":
            return
        has_started = False

        async def tell(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            answer = await self._answer(Request(scope, receive))
            await answer.send(tell)
        except ClientGoneError:
            return
        except ApiError as error:
            if has_started:
                _LOG.warning("%s %s broke off: %s", scope["method"], scope["path"], error.message)
                return
            await failure(error).send(send)
        except RecursionError:
            if not has_started:
                await failure(bad_request("the body of the request is nested too deeply")).send(send)
        except Exception:  # the outermost loop: a bug must not take the connection down without an answer
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            if not has_started:
                await failure(ApiError(500, "InternalError", "an internal error, see the server's log")).send(send)

    async def _answer(self, request: Request) -> Answer:
        _refuse_browsers(request)
        asker = self._identify(request)
        parts = [part for part in request.path.split("/") if part]
        target = self._target(parts)
        if target is not None:
            return await self._routes.answer(request, target)
        if review := self._review(parts):
            if request.method != "POST":
                raise method_not_allowed()
            body = await request.mapping()
            return Response(reviews.answer(review.kind, body, asker, self._backend.tokens), 201)
        return self._describe(request, parts)

    def _identify(self, request: Request) -> Identity:
        scheme, _, token = request.header("authorization").partition(" ")
        if scheme.lower() != "bearer":
            return ADMINISTRATOR
        try:
            return self._backend.tokens.verify(token.strip(), [API_AUDIENCE])[0]
        except TokenError as error:
            raise unauthorized() from error

    def _target(self, parts: list[str]) -> Target | None:
        """Return what a path names; None when it is no path of objects.

        Raises:
            ApiError: 404 when it would be one, of a resource that does not exist.
        """
        if parts[:1] == ["api"] and len(parts) > 2:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[:1] == ["apis"] and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            return None
        namespace = ""
        # /namespaces/NAME/status is a subresource of the namespace itself.
        if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in ("status", "finalize")):
            namespace, rest = rest[1], rest[2:]
        resource = self._registry.find(group, version, rest[0])
        if resource is None or (namespace and not resource.is_namespaced):
            if (group, version, rest[0]) in _REVIEWS:
                return None
            raise no_such_path()
        name = rest[1] if len(rest) > 1 else ""
        if name and resource.is_namespaced and not namespace:
            raise no_such_path()
        return Target(resource, namespace, name, "/".join(rest[2:]))

    @staticmethod
    def _review(parts: list[str]) -> discovery.Review | None:
        return _REVIEWS.get((parts[1], parts[2], parts[-1])) if len(parts) >= 4 else None

    def _describe(self, request: Request, parts: list[str]) -> Response:
        """Answer what is not about objects: discovery, OpenAPI, health, version."""
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        path = "/" + "/".join(parts)
        if path in ("/healthz", "/livez", "/readyz") or path.startswith(("/livez/", "/readyz/")):
            return Response(b"ok", content_type="text/plain")
        if path == "/version":
            return Response(_VERSION)
        if path == "/":
            return Response({"paths": list(_ROOT_PATHS)})
        if parts[0] == "openapi":
            return self._describe_schemas(request, parts[1:])
        return self._discover(request, parts)

    def _describe_schemas(self, request: Request, parts: list[str]) -> Response:
        negotiate(request.header("accept"))
        if parts == ["v3"]:
            return Response(self._openapi.index())
        if parts == ["v2"]:
            # Kept for clients that insist; everything is in v3.
            empty = {"swagger": "2.0", "info": {"title": "Kubernetes", "version": GIT_VERSION}, "paths": {}}
            return Response({**empty, "definitions": {}})
        found = None
        if parts[:2] == ["v3", "api"] and len(parts) == 3:
            found = self._openapi.document("", parts[2])
        elif parts[:2] == ["v3", "apis"] and len(parts) == 4:
            found = self._openapi.document(parts[2], parts[3])
        if found is None:
            raise no_such_path()
        return Response(found)

    def _discover(self, request: Request, parts: list[str]) -> Response:
        accept = request.header("accept")
        negotiate(accept)
        if parts in (["api"], ["apis"]) and discovery.wants_aggregated(accept):
            found = discovery.aggregated(self._registry, core=parts == ["api"])
            return Response(found, content_type=discovery.AGGREGATED_TYPE)
        if parts == ["api"]:
            return Response({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
        if parts == ["apis"]:
            return Response(discovery.group_list(self._registry))
        versions = discovery.group_versions(self._registry)
        if parts[0] == "apis" and len(parts) == 2 and versions.get(parts[1]):
            return Response(discovery.group_document(parts[1], versions[parts[1]]))
        if parts[0] == "api" and len(parts) == 2:
            group, version = "", parts[1]
        elif parts[0] == "apis" and len(parts) == 3:
            group, version = parts[1], parts[2]
        else:
            raise no_such_path()
        if version not in versions.get(group, ()):
            raise no_such_path()
        return Response(discovery.resource_list(self._registry, group, version))


def _refuse_browsers(request: Request) -> None:
    """Refuse what a web page of somebody else could make a browser send.

    There is no authentication, and a Pod is a command run on this machine: a page must reach the server neither
    directly (such requests carry an Origin) nor under a name that it made resolve to 127.0.0.1 (DNS rebinding).
    """
    host = urlsplit(f"//{request.header('host')}").hostname or ""
    is_address = host.replace(".", "").isdigit() or ":" in host
    if request.header("origin") or not (not host or is_address or host in _LOOPBACK_NAMES):
        raise ApiError(403, "Forbidden", "requests of web pages and under foreign host names are refused")
