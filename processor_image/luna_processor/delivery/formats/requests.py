"""The choice among the formats: from an event to the request that carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from luna_processor.delivery.events import EventFormat, EventRequest, ShotEvent
from luna_processor.delivery.formats.cloud_events import cloud_request
from luna_processor.delivery.formats.handler_events import handler_request
from luna_processor.delivery.formats.stream_events import stream_request

_Renderer = Callable[[ShotEvent, tuple[str | None, ...]], EventRequest]

_RENDERERS: Final[Mapping[EventFormat, _Renderer]] = MappingProxyType(
    {
        "events": handler_request,
        "stream_events": stream_request,
        "stream_events_6_18": stream_request,
        "cloudevents": cloud_request,
    }
)


def request_of(event: ShotEvent, image_origins: tuple[str | None, ...]) -> EventRequest:
    """Return the request for an event, written as its target takes it; the same at every try.

    Args:
        event: what is sent.
        image_origins: where the source frame of each shot was stored, None where it was not.
    """
    return _RENDERERS[event.target.format](event, image_origins)
