"""A delivery to `stream_events`, as FaceStream makes it since 5.1.43: msgpack, events of one or more sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import ormsgpack
from starlette.requests import Request

from luna_local.inbox.deliveries import Delivery, Query, as_json, request_id_of
from luna_local.inbox.errors import bad_body, bad_content_type, bad_json, no_data
from luna_local.inbox.pictures import Picture, decoded

_TYPES: Final = {"application/msgpack", "application/x-msgpack"}


async def read_stream_events(request: Request) -> list[Delivery]:
    """Read what a request delivers, an event each.

    Raises:
        InboxError: if it is no msgpack, lacks events or sources, or a body is no image.
    """
    content_type = request.headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() not in _TYPES:
        raise bad_content_type(content_type)
    body = await request.body()
    if not body:
        raise no_data()
    try:
        content = ormsgpack.unpackb(body)
    except ormsgpack.MsgpackDecodeError as e:
        raise bad_body(f"the body is no msgpack ({e})") from e
    request_id = request_id_of(request)
    events = _mappings(content.get("events") if isinstance(content, dict) else None, "events")
    return [await _delivery(event, f"events.{number}", request_id) for number, event in enumerate(events)]


async def _delivery(event: Mapping[str, Any], path: str, request_id: str) -> Delivery:
    sources = _mappings(event.get("sources"), f"{path}.sources")
    pictures = [await _picture(source, number) for number, source in enumerate(sources) if "body" in source]
    told = [{name: value for name, value in source.items() if name != "body"} for source in sources]
    return Delivery(request_id, _query(event, sources[0]), as_json({**event, "sources": told}), tuple(pictures))


async def _picture(source: Mapping[str, Any], number: int) -> Picture:
    name, body = source.get("filename"), source["body"]
    return await decoded(
        name if isinstance(name, str) else f"source {number}", body if isinstance(body, bytes) else b""
    )


def _query(event: Mapping[str, Any], first: Mapping[str, Any]) -> Query:
    """Return what the classic resource is told by its query: who was seen where."""
    data = event.get("source_data") or first.get("source_data")
    flat: dict[str, Any] = dict(data) if isinstance(data, dict) else {}
    for name in ("location", "geo_position"):
        inner = flat.pop(name, None)
        flat |= inner if isinstance(inner, dict) else {}
    return {name: str(value) for name, value in flat.items() if isinstance(value, str | int | float)}


def _mappings(value: object, path: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise bad_json(path, "a list of objects is expected, one at least")
    return value
