"""A delivery to a webhook: a CloudEvent in structured JSON mode, as the processor makes it.

Other CloudEvents are kept, too; of pictures it knows those in `data.shots[].image_base64`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.requests import Request

from luna_local.inbox.deliveries import Delivery, Query, as_json, request_id_of
from luna_local.inbox.errors import bad_content_type, bad_json, no_data, not_an_image
from luna_local.inbox.pictures import Picture, decoded

CONTENT_TYPE: Final = "application/cloudevents+json"
_QUERY: Final = ("source", "stream_id", "track_id")
_IMAGE: Final = "image_base64"
_Text = Annotated[str, StringConstraints(min_length=1)]


class _CloudEvent(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: _Text
    data: Any = None


async def read_cloud_event(request: Request) -> Delivery:
    """Read what a request delivers.

    Raises:
        InboxError: if it is no CloudEvent, or a picture of it is no image.
    """
    content_type = request.headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise bad_content_type(content_type)
    body = await request.body()
    if not body:
        raise no_data()
    try:
        event = _CloudEvent.model_validate_json(body)
    except ValidationError as e:
        first = e.errors()[0]
        raise bad_json(".".join(map(str, first["loc"])), first["msg"]) from e
    data = event.data if isinstance(event.data, dict) else {}
    shots = [shot for shot in data.get("shots") or () if isinstance(shot, dict)]
    pictures = [await _picture(shot, number) for number, shot in enumerate(shots) if _IMAGE in shot]
    query: Query = {name: value for name in _QUERY if isinstance(value := data.get(name), str)}
    return Delivery(request_id_of(request), query, _without_pictures(event, data, shots), tuple(pictures))


async def _picture(shot: dict[str, Any], number: int) -> Picture:
    name = str(shot.get("filename") or f"shot {number}")
    try:
        data = base64.b64decode(shot[_IMAGE], validate=True)
    except (binascii.Error, ValueError, TypeError) as e:
        raise not_an_image(repr(name)) from e
    return await decoded(name, data)


def _without_pictures(event: _CloudEvent, data: dict[str, Any], shots: list[dict[str, Any]]) -> dict[str, Any]:
    fields = event.model_dump()
    if shots:
        told = [{name: value for name, value in shot.items() if name != _IMAGE} for shot in shots]
        fields["data"] = {**data, "shots": told}
    return as_json(fields)
