"""The processor's own HTTP interface: FaceStream's resources, metrics, health.

Source: FaceStream reference manual (prefix /api/1, port 34569).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from luna_processor.metrics import Metrics
from luna_processor.preview import BOUNDARY, Previews
from luna_processor.stream_run import StreamRun
from luna_processor.view import Region
from luna_streams.policies import Preview, PreviewUrl

DISTRIBUTION = "luna-streams-operator"
_PREFIX = "/api/1/streams"


@dataclass(frozen=True, slots=True)
class Interface:
    """What the HTTP interface shows."""

    runs: Callable[[], Sequence[StreamRun]]
    find: Callable[[str], StreamRun | None]
    previews: Previews
    metrics: Metrics
    origin: str
    """Under which address others reach this process."""
    ailments: Callable[[], Sequence[str]]
    """What is wrong with the process, for /healthz."""
    obstacles: Callable[[], Sequence[str]]
    """Why it cannot take streams yet, for /readyz."""


def preview_of(origin: str, stream_id: str) -> Preview:
    """Return the addresses of a stream's pictures, as they stand in the feedback."""
    return Preview(
        live=PreviewUrl(url=f"{origin}{_PREFIX}/preview/{stream_id}"),
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
        ]
    )


class _Endpoints:
    def __init__(self, interface: Interface) -> None:
        self._interface = interface

    async def streams(self, _request: Request) -> Response:
        return JSONResponse([_stream_info(run, self._interface.origin) for run in self._interface.runs()])

    async def stream(self, request: Request) -> Response:
        run = self._interface.find(request.path_params["stream_id"])
        return JSONResponse(_stream_info(run, self._interface.origin)) if run else _not_here(request)

    async def last_frame(self, request: Request) -> Response:
        picture = await self._interface.previews.last_frame(request.path_params["stream_id"])
        if picture is None:
            return _not_here(request)
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def live(self, request: Request) -> Response:
        stream_id = request.path_params["stream_id"]
        if self._interface.find(stream_id) is None:
            return _not_here(request)
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


def _not_here(request: Request) -> Response:
    stream_id = request.path_params["stream_id"]
    return JSONResponse({"detail": f"stream {stream_id} does not run here or has no picture yet"}, status_code=404)


def _stream_info(run: StreamRun, origin: str) -> dict[str, Any]:
    plan, report = run.plan, run.report
    preview = preview_of(origin, plan.stream_id)
    return {
        "stream_id": plan.stream_id,
        "account_id": plan.account_id,
        "name": plan.name,
        "description": plan.description,
        "status": report.status,
        "version": plan.version,
        "error": report.error,
        "preview_url": preview.live.url if preview.live else None,
        "video_info": report.video_info.model_dump(mode="json", exclude_none=True) if report.video_info else None,
        "data": {
            "type": plan.source.kind,
            "reference": plan.source.shown_as,
            "rotation": plan.rotation,
            "roi": _region(plan.roi),
            "droi": [_region(item.droi) for item in plan.analytics],
        },
    }


def _region(region: Region) -> dict[str, float | str]:
    mode = "percent" if region.is_percent else "abs"
    return {"x": region.x, "y": region.y, "width": region.width, "height": region.height, "mode": mode}
