"""Answers: JSON by orjson, and the one table of how errors are answered.

Source of codes and texts: LUNA Streams API 1.1.18 and the public error list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import orjson
import ormsgpack
from starlette.responses import Response

from luna_api_shim import errors
from luna_kube import ApiError
from luna_streams import errors as domain

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
LINK: Final = "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-"
_INCOMPLETE: Final = "Bad/incomplete input data"
_NOT_FOUND: Final = "Object not found"


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """How a kind of error is answered.

    Attributes:
        status: of HTTP.
        code: of LUNA.
        desc: the short text of the code.
        detail: None takes the error's own text.
    """

    status: int
    code: int
    desc: str
    detail: str | None = None


INTERNAL: Final = ErrorForm(500, 1, "internal server error", "internal server error")
DATABASE: Final = ErrorForm(500, 10017, "Database error", "Database connection timeout error")
"""Kubernetes' API server is the database here."""

ERRORS: Final[Mapping[type[Exception], ErrorForm]] = MappingProxyType(
    {
        errors.BadToken: ErrorForm(401, 11062, "Forbidden"),
        errors.QuotaExceeded: ErrorForm(403, 11055, "Forbidden"),
        errors.BadQuery: ErrorForm(400, 12012, _INCOMPLETE),
        errors.PageNotFound: ErrorForm(404, 12013, "Resource not found"),
        errors.QueryIncomplete: ErrorForm(400, 12014, _INCOMPLETE),
        errors.BadContentType: ErrorForm(400, 12017, _INCOMPLETE),
        errors.MethodNotAllowed: ErrorForm(405, 12021, "Method not allowed"),
        errors.BadBody: ErrorForm(400, 12022, _INCOMPLETE),
        errors.UnacceptableContentType: ErrorForm(400, 12023, _INCOMPLETE),
        errors.UnsupportedMediaType: ErrorForm(415, 12024, "Unsupported media type"),
        errors.BadJson: ErrorForm(400, 12027, _INCOMPLETE),
        errors.EmptyBody: ErrorForm(400, 12030, _INCOMPLETE),
        errors.DocumentMissing: ErrorForm(500, 12032, "Internal server error"),
        errors.BadRequest: ErrorForm(400, 12046, _INCOMPLETE),
        errors.BodyTooLarge: ErrorForm(413, 12046, _INCOMPLETE),
        errors.Disabled: ErrorForm(403, 12049, "Forbidden"),
        errors.UnknownGroupName: ErrorForm(400, 39007, _NOT_FOUND),
        errors.UnknownGroupId: ErrorForm(400, 39008, _NOT_FOUND),
        domain.StreamNotFound: ErrorForm(404, 39001, _NOT_FOUND),
        domain.CannotPause: ErrorForm(400, 39003, domain.CannotPause.desc),
        domain.CannotCancel: ErrorForm(400, 39005, domain.CannotCancel.desc),
        domain.GroupExists: ErrorForm(409, 39006, domain.GroupExists.desc),
        domain.GroupNameNotFound: ErrorForm(404, 39007, _NOT_FOUND),
        domain.GroupNotFound: ErrorForm(404, 39008, _NOT_FOUND),
        errors.NoPreview: ErrorForm(404, 39009, "Forbidden"),
        errors.PreviewFailed: ErrorForm(500, 39010, "Preview processing error"),
        errors.NotReady: DATABASE,
        errors.LogsUnavailable: DATABASE,
        errors.Unhealthy: ErrorForm(502, 1, INTERNAL.desc),
        ApiError: DATABASE,
    }
)


def _dumps(content: object) -> bytes:
    try:
        return orjson.dumps(content)
    except TypeError:
        # A number beyond 64 bits, as a report's version may be: the document sets no bound, and orjson has one.
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def json_reply(content: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(_dumps(content), status, media_type=JSON)


def msgpack_reply(content: object) -> Response:
    """Answer with msgpack."""
    return Response(ormsgpack.packb(content), media_type=MSGPACK)


def raw_json_reply(body: bytes) -> Response:
    """Answer with JSON that is rendered already."""
    return Response(body, media_type=JSON)


def no_content() -> Response:
    """Answer 204."""
    return Response(status_code=204)


def error_form(error: Exception) -> ErrorForm:
    """Return how an error is answered; what is not in the table is a fault of the shim."""
    return next((ERRORS[kind] for kind in type(error).__mro__ if kind in ERRORS), INTERNAL)


def error_body(form: ErrorForm, detail: str) -> dict[str, object]:
    """Return the body of every error."""
    return {"error_code": form.code, "desc": form.desc, "detail": detail, "link": f"{LINK}{form.code}"}


def error_content(error: Exception) -> tuple[int, dict[str, object]]:
    """Return status and body with which an error is answered."""
    form = error_form(error)
    return form.status, error_body(form, str(error) if form.detail is None else form.detail)


def error_reply(error: Exception) -> Response:
    """Answer with an error."""
    status, content = error_content(error)
    return json_reply(content, status)
