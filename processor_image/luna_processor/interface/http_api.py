"""The processor's own HTTP interface: FaceStream's resources, metrics, health.

Source: FaceStream reference manual (prefix /api/1, port 34569).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Literal, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from luna_processor.interface.metrics import Metrics
from luna_processor.interface.preview import BOUNDARY, Filmed, Previews
from luna_processor.interface.stream_info import ShownRun, stream_info
from luna_streams.errors import DomainError, StreamNotFound
from luna_streams.policies import Preview, PreviewUrl

DISTRIBUTION = "luna-streams-operator"
_PREFIX = "/api/1/streams"
_ERROR_LINK = "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-"


class Run(ShownRun, Filmed, Protocol):
    """What is shown of a stream that is being processed."""


class PageNotFound(DomainError):
    """There is no such resource."""

    code, desc = 12013, "Resource not found"


class MethodNotAllowed(DomainError):
    """The resource is there and does not know the method."""

    code, desc = 12021, "Method not allowed"


class NoPicture(DomainError):
    """The stream has no frame yet; LUNA Streams' code for a missing preview."""

    code, desc = 39009, "Object not found"


@dataclass(frozen=True, slots=True)
class Interface:
    """What the HTTP interface shows."""

    runs: Callable[[], Sequence[Run]]
    find: Callable[[str], Run | None]
    previews: Previews
    metrics: Metrics
    origin: str
    """Under which address others reach this process."""
    api_version: Literal["1", "2"]
    """Form in which streams are shown."""
    ailments: Callable[[], Sequence[str]]
    """What is wrong with the process, for /healthz."""
    obstacles: Callable[[], Sequence[str]]
    """Why it cannot take streams yet, for /readyz."""


def preview_of(origin: str, stream_id: str) -> Preview:
    """Return the addresses of a stream's pictures, as they stand in the feedback."""
    return Preview(
        live=PreviewUrl(url=_live_url(origin, stream_id)),
        last_frame=PreviewUrl(url=f"{origin}{_PREFIX}/{stream_id}/last_frame"),
    )


def create_app(interface: Interface) -> Starlette:
    """Return the application."""
    endpoints = _Endpoints(interface)
    return Starlette(
        routes=[
            Route(_PREFIX, endpoints.streams),
            Route(_PREFIX + "/preview/{stream_id}", endpoints.live),
            Route(_PREFIX + "/{stream_id}", endpoints.stream),
            Route(_PREFIX + "/{stream_id}/last_frame", endpoints.last_frame),
            Route("/metrics", endpoints.metrics),
            Route("/healthz", endpoints.health),
            Route("/readyz", endpoints.ready),
            Route("/version", endpoints.version),
        ],
        exception_handlers={HTTPException: _http_error},
    )


class _Endpoints:
    def __init__(self, interface: Interface) -> None:
        self._interface = interface

    async def streams(self, _request: Request) -> Response:
        return JSONResponse([self._info(run) for run in self._interface.runs()])

    async def stream(self, request: Request) -> Response:
        stream_id = request.path_params["stream_id"]
        run = self._interface.find(stream_id)
        return JSONResponse(self._info(run)) if run else _error(404, StreamNotFound(stream_id))

    def _info(self, run: Run) -> dict[str, Any]:
        return stream_info(run, self._interface.api_version, _live_url(self._interface.origin, run.plan.stream_id))

    async def last_frame(self, request: Request) -> Response:
        stream_id = request.path_params["stream_id"]
        if self._interface.find(stream_id) is None:
            return _error(404, StreamNotFound(stream_id))
        picture = await self._interface.previews.last_frame(stream_id)
        if picture is None:
            return _error(404, NoPicture(f"Stream with id '{stream_id}' has no frame yet"))
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def live(self, request: Request) -> Response:
        stream_id = request.path_params["stream_id"]
        if self._interface.find(stream_id) is None:
            return _error(404, StreamNotFound(stream_id))
        body = self._counted(stream_id)
        return StreamingResponse(
            body,
            media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}",
            headers={"Cache-Control": "no-store"},
        )

    async def _counted(self, stream_id: str) -> Any:
        with self._interface.metrics.preview_viewers.track_inprogress():
            async for part in self._interface.previews.live(stream_id):
                yield part

    async def metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self._interface.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def health(self, _request: Request) -> Response:
        return _verdict(self._interface.ailments())

    async def ready(self, _request: Request) -> Response:
        return _verdict(self._interface.obstacles())

    async def version(self, _request: Request) -> Response:
        major, minor, patch = (int(part) for part in re.findall(r"\d+", version(DISTRIBUTION))[:3])
        return JSONResponse({"Version": {"api": 1, "major": major, "minor": minor, "patch": patch}})


def _verdict(problems: Sequence[str]) -> Response:
    return JSONResponse({"problems": list(problems)}, status_code=503 if problems else 200)


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer what has no endpoint in the form of LUNA's services."""
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = error.headers if isinstance(error, HTTPException) else None
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return _error(status, MethodNotAllowed("Method not allowed"), headers)
    return _error(status, PageNotFound("Page not found"), headers)


def _error(status: int, error: DomainError, headers: Mapping[str, str] | None = None) -> Response:
    body = {
        "error_code": error.code,
        "desc": error.desc,
        "detail": error.detail,
        "link": f"{_ERROR_LINK}{error.code}",
    }
    return JSONResponse(body, status_code=status, headers=headers)


def _live_url(origin: str, stream_id: str) -> str:
    return f"{origin}{_PREFIX}/preview/{stream_id}"
