"""Reading request bodies: bounded, UTF-8 JSON, validated by a model; every fault is a documented refusal."""

from __future__ import annotations

import json
from email.message import Message
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from luna_api_shim.errors import BadBody, BadContentType, BadJson, BodyTooLarge, EmptyBody, UnacceptableContentType
from luna_api_shim.http.wording import first_problem, not_json
from luna_streams.model import Model

JSON = "application/json"
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")

M = TypeVar("M", bound=Model)


async def read_json(request: Request, model: type[M], limit: int) -> M:
    """Read and validate a body.

    Raises:
        Refusal: BodyTooLarge, EmptyBody, BadContentType, UnacceptableContentType, BadJson or BadBody.
    """
    return validate(request, await read(request, limit), model)


def validate(request: Request, body: bytes, model: type[M]) -> M:
    """Validate a body that was read; raises as `read_json`."""
    if not body.strip():
        raise EmptyBody
    check_content_type(request.headers.get("content-type"))
    return parse(body, model)


async def read(request: Request, limit: int) -> bytes:
    """Read a body of at most `limit` bytes.

    Raises:
        BodyTooLarge: as soon as that is known; the rest is not read.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise BodyTooLarge(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def check_content_type(value: str | None) -> None:
    """Accept JSON in UTF-8; a missing header is as good, since the document does not require it.

    Raises:
        UnacceptableContentType: for another media type.
        BadContentType: for a header that is none, or another character set.
    """
    if value is None:
        return
    message = Message()
    message["content-type"] = value
    kind, subkind = message.get_content_maintype(), message.get_content_subtype()
    if "/" not in value.partition(";")[0]:
        raise BadContentType
    if f"{kind}/{subkind}" != JSON:
        raise UnacceptableContentType(JSON)
    charset = message.get_param("charset", "utf-8")
    if not isinstance(charset, str) or charset.lower() not in _CHARSETS:
        raise BadContentType


def parse(body: bytes, model: type[M]) -> M:
    """Validate JSON text.

    Raises:
        BadJson: it is not JSON.
        BadBody: it is, and not what is asked for.
    """
    _refuse_numbers_json_lacks(body)
    try:
        value = _validated(body, model)
    except ValidationError as e:
        if (message := not_json(e)) is not None:
            raise BadJson(message) from None
        raise BadBody(*first_problem(e, model)) from None
    _refuse_nul(body)
    return value


def _validated(body: bytes, model: type[M]) -> M:
    """Validate JSON text; 5.0 is as whole a number as 5, though pydantic's strict mode tells them apart."""
    try:
        return model.from_rest(body)
    except ValidationError as e:
        if not any(map(_is_whole, (problem["input"] for problem in e.errors(include_url=False)))):
            raise
        return model.from_rest(json.dumps(_with_whole_numbers(from_json(body))))


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_whole_numbers(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(child) for child in value]
    return int(value) if _is_whole(value) else value


def _refuse_numbers_json_lacks(body: bytes) -> None:
    """Refuse NaN and Infinity, which pydantic's parser takes for numbers."""
    if b"NaN" in body or b"Infinity" in body:
        _loads(body)


def _refuse_nul(body: bytes) -> None:
    """Refuse the character NUL: neither file names nor databases can hold it."""
    if b"\\u0000" in body and (path := _path_of_nul(_loads(body), ())) is not None:
        raise BadBody(".".join(path), "null characters are not permitted")


def _loads(body: bytes) -> object:
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise BadJson(str(e)) from None
    return value


def _path_of_nul(value: object, path: tuple[str, ...]) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return path if "\0" in value else None
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    else:
        return None
    found = (_path_of_nul(child, (*path, str(name))) for name, child in children)
    return next((where for where in found if where is not None), None)
