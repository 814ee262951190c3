"""A request that delivers an event: what it says, taken apart and checked before anything is kept."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request

from luna_local.inbox.errors import bad_body, bad_content_type, no_data
from luna_local.inbox.multipart import Part, parse_multipart
from luna_local.inbox.pictures import Picture, decoded

Query = dict[str, str | list[str]]

_MULTIPART = "multipart/form-data"
_ANY_BYTES = {"", "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one request delivers.

    Attributes:
        query: the query parameters; one that is repeated has a list.
        fields: form fields that are no images, parsed where they are JSON.
        pictures: the images, in order.
    """

    request_id: str
    query: Query
    fields: dict[str, Any]
    pictures: tuple[Picture, ...]


async def read_delivery(request: Request) -> Delivery:
    """Read a delivery from a request whose size is bounded already.

    Raises:
        InboxError: if it has no image, or a part that claims to be one is none.
    """
    content_type = request.headers.get("Content-Type", "")
    body = await request.body()
    if not body:
        raise no_data()
    if _kind(content_type) == _MULTIPART:
        parts = parse_multipart(content_type, body)
        fields = {part.name: _field(part) for part in parts if not _is_image(part)}
        pictures = [await decoded(part.filename or part.name, part.data) for part in parts if _is_image(part)]
        if not pictures:
            raise no_data()
    else:
        fields, pictures = {}, [await read_picture(request)]
    return Delivery(request_id_of(request), query_of(request.query_params), fields, tuple(pictures))


async def read_picture(request: Request) -> Picture:
    """Read the one image that is the body of a request.

    Raises:
        InboxError: if it is none.
    """
    content_type = request.headers.get("Content-Type", "")
    if not _kind(content_type).startswith("image/") and _kind(content_type) not in _ANY_BYTES:
        raise bad_content_type(content_type)
    body = await request.body()
    if not body:
        raise no_data()
    return await decoded("image", body)


def request_id_of(request: Request) -> str:
    """Return the Luna-Request-Id of a request, or a new one."""
    return request.headers.get("Luna-Request-Id") or f"{int(time.time())},{uuid.uuid4()}"


def query_of(params: QueryParams) -> Query:
    """Return query parameters as JSON keeps them."""
    result: Query = {}
    for name in params:
        values = params.getlist(name)
        result[name] = values[0] if len(values) == 1 else values
    return result


def as_json(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields as JSON can keep them: bytes as their number, no NaN.

    Raises:
        InboxError: if they are nested too deeply.
    """
    try:
        kept: dict[str, Any] = orjson.loads(orjson.dumps(fields, default=_in_words))
    except (orjson.JSONEncodeError, orjson.JSONDecodeError) as e:
        raise bad_body(f"what is delivered cannot be kept ({e})") from e
    return kept


def _in_words(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_image(part: Part) -> bool:
    """Whether a part claims to be an image: by its type, or because it is a file of no stated type."""
    return part.content_type.startswith("image/") or (bool(part.filename) and part.content_type in _ANY_BYTES)


def _field(part: Part) -> Any:
    text = part.data.decode("utf-8", "replace")
    try:
        # Strict, so that what is kept can be written as JSON again: no NaN, no lone surrogates, no endless nesting.
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
