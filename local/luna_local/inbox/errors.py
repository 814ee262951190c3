"""Errors of the inbox in LUNA's documented form: {"error_code", "desc", "detail", "link"}."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_LOG = logging.getLogger(__name__)
_LINK = "https://docs.visionlabs.ai/info/luna/troubleshooting/errors-description/code-"
_BAD_INPUT = "Bad/incomplete input data"


class InboxError(Exception):
    """A request that is refused.

    Attributes:
        status: the HTTP status.
        code: LUNA's error code.
        desc: the short text of the code.
        detail: what is wrong with this request.
    """

    def __init__(self, status: int, code: int, desc: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.desc, self.detail = status, code, desc, detail


def not_an_image(name: str) -> InboxError:
    """A part that claims to be an image and is not."""
    return InboxError(400, 12025, _BAD_INPUT, f"Specified content type does not match data type: {name} is no image")


def no_data() -> InboxError:
    """A request without any image."""
    return InboxError(400, 12030, _BAD_INPUT, "Request does not contain data")


def bad_content_type(content_type: str) -> InboxError:
    """A body of a kind that cannot hold images."""
    return InboxError(400, 12017, _BAD_INPUT, f"Bad content type: {content_type}")


def bad_body(what: str) -> InboxError:
    """A body that cannot be taken apart."""
    return InboxError(400, 12046, _BAD_INPUT, f"Invalid http request: {what}")


def bad_json(path: str, message: str) -> InboxError:
    """A JSON body with a wrong value."""
    detail = f"Failed to validate input json. Path: '{path}', message: '{message}'"
    return InboxError(400, 12022, _BAD_INPUT, detail)


def bad_query(name: str) -> InboxError:
    """A query parameter with a wrong value."""
    return InboxError(400, 12012, _BAD_INPUT, f"Bad query parameters '{name}'")


def too_large(limit_bytes: int) -> InboxError:
    """A body beyond the bound."""
    return InboxError(413, 12046, _BAD_INPUT, f"Invalid http request: the body is larger than {limit_bytes} bytes")


def not_found() -> InboxError:
    """No such page or picture."""
    return InboxError(404, 12013, "Resource not found", "Page not found")


def method_not_allowed() -> InboxError:
    """The path exists, for other methods."""
    return InboxError(405, 12021, "Method not allowed", "Method not allowed")


def told_to_fail(status: int) -> InboxError:
    """What a fault makes of a request."""
    if status in {401, 403}:
        return InboxError(status, 11036, "Forbidden", "the inbox was told to refuse")
    return InboxError(status, 1, "internal server error", "the inbox was told to fail")


def error_response(error: InboxError) -> Response:
    """Return the answer to a refused request."""
    body = {
        "error_code": error.code,
        "desc": error.desc,
        "detail": error.detail,
        "link": f"{_LINK}{error.code}",
    }
    return JSONResponse(body, error.status)


async def handle_inbox_error(_request: Request, error: Exception) -> Response:
    """Answer an `InboxError`; for Starlette's table of exception handlers."""
    assert isinstance(error, InboxError)  # noqa: S101  registered for this class only
    return error_response(error)


async def handle_http_exception(_request: Request, error: Exception) -> Response:
    """Answer Starlette's own refusals (no such route, wrong method) in LUNA's form."""
    is_method = getattr(error, "status_code", 404) == 405
    return error_response(method_not_allowed() if is_method else not_found())


async def handle_disk_error(_request: Request, error: Exception) -> Response:
    """Answer a delivery that could not be written, so that its sender tries again."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    _LOG.error("a delivery was not kept: %s", error)
    return error_response(InboxError(500, 1, "internal server error", f"the delivery was not kept: {reason}"))
