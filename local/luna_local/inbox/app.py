"""The inbox's HTTP interface: what LUNA PLATFORM offers to a worker, and what a person or a test wants to know.

LUNA's side: `POST /{n}/handlers/{id}/events` and `/stream_events`, `/{n}/images`, Image Store buckets. A webhook's:
`POST /webhooks/{name}`. Ours: `/events`, `/pictures`, `/faults`, the page at `/`. Retries are not recognised, as LUNA
does not either: two requests with the same Luna-Request-Id are two events, and the list shows the id.
"""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from luna_local.inbox import bodies
from luna_local.inbox.bodies import BodyLimit
from luna_local.inbox.buckets import API_BUCKET, ImageStore
from luna_local.inbox.cloudevents import read_cloud_event
from luna_local.inbox.deliveries import Delivery, read_delivery, read_picture, request_id_of
from luna_local.inbox.errors import (
    InboxError,
    bad_json,
    bad_query,
    handle_disk_error,
    handle_http_exception,
    handle_inbox_error,
    not_found,
)
from luna_local.inbox.events import Event
from luna_local.inbox.faults import AbortableProtocol, Fault, FaultMiddleware, FaultSwitch
from luna_local.inbox.page import CONTENT_SECURITY_POLICY, SHOWN_EVENTS, render_page
from luna_local.inbox.store import EventStore
from luna_local.inbox.stream_events import read_stream_events
from luna_local.serving import LoopbackServer

_PICTURE_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=3600"}
_API_VERSION = 6


@dataclass(frozen=True, slots=True)
class Inbox:
    """The state behind the routes."""

    events: EventStore
    images: ImageStore
    faults: FaultSwitch

    @classmethod
    def opened(cls, folder: Path) -> Inbox:
        """Open the inbox of a folder, which keeps what earlier runs were given.

        Raises:
            OSError: if the folder cannot be used.
        """
        return cls(EventStore(folder), ImageStore(folder / "buckets"), FaultSwitch())

    async def add_event(self, request: Request) -> Response:
        """Take a delivery for a handler."""
        handler_id = _uuid(request.path_params["handler_id"])
        return await self._keep(handler_id, [await read_delivery(request)])

    async def add_stream_events(self, request: Request) -> Response:
        """Take a delivery for a handler in FaceStream's newer format."""
        handler_id = _uuid(request.path_params["handler_id"])
        return await self._keep(handler_id, await read_stream_events(request))

    async def add_cloud_event(self, request: Request) -> Response:
        """Take a CloudEvent."""
        event = await self.events.add(None, await read_cloud_event(request))
        return JSONResponse({"event_id": event.event_id}, 201)

    async def _keep(self, handler_id: str, deliveries: list[Delivery]) -> Response:
        events = [await self.events.add(handler_id, delivery) for delivery in deliveries]
        body = {
            "images": [
                {"filename": picture.name, "status": 1, "error": None, "detections": {}}
                for delivery in deliveries
                for picture in delivery.pictures
            ],
            "events": [_luna_event(event) for event in events],
            "filtered_detections": {"face_detections": [], "body_detections": []},
        }
        return JSONResponse(body, 201, {"Luna-Request-Id": events[0].request_id})

    async def add_image(self, request: Request) -> Response:
        """Keep an image under a new id."""
        return await self._put_image(request, str(uuid.uuid4()))

    async def put_image(self, request: Request) -> Response:
        """Keep an image under the sender's id."""
        return await self._put_image(request, request.path_params["image_id"])

    async def _put_image(self, request: Request, image_id: str) -> Response:
        bucket = request.path_params.get("bucket", API_BUCKET)
        await self.images.put(bucket, image_id, await read_picture(request))
        base = request.url.path.rstrip("/").removesuffix(f"/{image_id}")
        body = {"image_id": image_id, "url": f"{base}/{image_id}"}
        return JSONResponse(body, 201, {"Luna-Request-Id": request_id_of(request)})

    async def get_image(self, request: Request) -> Response:
        """Return an image of a bucket."""
        bucket = request.path_params.get("bucket", API_BUCKET)
        return FileResponse(self.images.find(bucket, request.path_params["image_id"]), headers=_PICTURE_HEADERS)

    async def get_event(self, request: Request) -> Response:
        """Return one event as LUNA does."""
        event = self.events.find(request.path_params["event_id"])
        if event is None:
            raise not_found()
        return JSONResponse(_luna_event(event))

    async def list_events(self, request: Request) -> Response:
        """List events, oldest first."""
        query = request.query_params
        found = self.events.select(query.get("handler_id"), query.get("stream_id"), _limit(query.get("limit")))
        pictures_url = f"{request.base_url}pictures/"
        return JSONResponse([event.listed(pictures_url) for event in found])

    async def delete_events(self, _request: Request) -> Response:
        """Forget every event."""
        await self.events.clear()
        return Response(status_code=204)

    async def get_picture(self, request: Request) -> Response:
        """Return an image of an event."""
        event = self.events.find(request.path_params["event_id"])
        name = f"{request.path_params['event_id']}/{request.path_params['name']}"
        for image in event.images if event else ():
            if image.file == name:
                path = self.events.pictures / image.file
                return FileResponse(path, media_type=image.content_type, headers=_PICTURE_HEADERS)
        raise not_found()

    async def get_faults(self, _request: Request) -> Response:
        """Tell which fault is on."""
        switch = self.faults
        return JSONResponse({**switch.fault.model_dump(), "is_on": switch.is_on, "hits": switch.hits})

    async def put_faults(self, request: Request) -> Response:
        """Switch a fault on or off."""
        try:
            self.faults.set(Fault.model_validate_json(await request.body()))
        except ValidationError as e:
            first = e.errors()[0]
            raise bad_json(".".join(map(str, first["loc"])), first["msg"]) from e
        return await self.get_faults(request)

    async def healthcheck(self, _request: Request) -> Response:
        """Tell whether deliveries can be kept."""
        began = time.perf_counter()
        if not os.access(self.events.pictures, os.W_OK):
            error = {"component": "disk", "error": f"{self.events.pictures} cannot be written", "status": 500}
            return JSONResponse({"errors": [error]}, 502)
        return JSONResponse({"execution_time": time.perf_counter() - began})

    async def page(self, request: Request) -> Response:
        """Show the last events."""
        fault = self.faults.fault if self.faults.is_on else Fault(mode="off")
        mark = f'"{self.events.version}-{len(self.images)}-{fault.mode}"'
        if request.headers.get("If-None-Match") == mark:
            return Response(status_code=304, headers={"ETag": mark})
        text = render_page(self.events.newest(SHOWN_EVENTS), len(self.events), len(self.images), fault)
        headers = {"ETag": mark, "Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
        return HTMLResponse(text, headers=headers)


async def _version(_request: Request) -> Response:
    major, minor, patch = (int(number) for number in re.findall(r"\d+", version("luna-streams-operator"))[:3])
    return JSONResponse({"Version": {"api": _API_VERSION, "major": major, "minor": minor, "patch": patch}})


def create_app(inbox: Inbox, max_body_bytes: int = bodies.DEFAULT_MAX_BYTES) -> Starlette:
    """Return an inbox as an application; see `inbox_server`."""
    routes = [
        Route("/{version:int}/handlers/{handler_id}/events", inbox.add_event, methods=["POST"]),
        Route("/{version:int}/handlers/{handler_id}/stream_events", inbox.add_stream_events, methods=["POST"]),
        Route("/webhooks/{name}", inbox.add_cloud_event, methods=["POST"]),
        Route("/{version:int}/events/{event_id}", inbox.get_event),
        Route("/{version:int}/images", inbox.add_image, methods=["POST"]),
        Route("/{version:int}/images/{image_id}", inbox.put_image, methods=["PUT"]),
        Route("/{version:int}/images/{image_id}", inbox.get_image),
        Route("/{version:int}/buckets/{bucket}/images", inbox.add_image, methods=["POST"]),
        Route("/{version:int}/buckets/{bucket}/images/{image_id}", inbox.put_image, methods=["PUT"]),
        Route("/{version:int}/buckets/{bucket}/images/{image_id}", inbox.get_image),
        Route("/events", inbox.list_events),
        Route("/events", inbox.delete_events, methods=["DELETE"]),
        Route("/pictures/{event_id}/{name}", inbox.get_picture),
        Route("/faults", inbox.get_faults),
        Route("/faults", inbox.put_faults, methods=["PUT"]),
        Route("/healthcheck", inbox.healthcheck),
        Route("/version", _version),
        Route("/", inbox.page),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(FaultMiddleware, inbox.faults), Middleware(BodyLimit, max_body_bytes)],
        exception_handlers={
            InboxError: handle_inbox_error,
            HTTPException: handle_http_exception,
            OSError: handle_disk_error,
        },
    )


def inbox_server(inbox: Inbox, listener: socket.socket) -> LoopbackServer:
    """Return a server of an inbox on a bound socket; start and stop it."""
    return LoopbackServer(create_app(inbox), listener, AbortableProtocol)


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise not_found() from None


def _limit(text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not text.isdecimal():
        raise bad_query("limit")
    return int(text)


def _luna_event(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "url": f"/{_API_VERSION}/events/{event.event_id}",
        "handler_id": event.handler_id,
        "source": event.query.get("source"),
        "stream_id": event.stream_id,
        "track_id": event.track_id,
        "create_time": event.received_at,
    }
