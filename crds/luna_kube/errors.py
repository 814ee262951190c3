"""Errors of the Kubernetes client, named by what the caller does next.

They carry the verb, the path and the server's own words; never headers, credentials or a request body.
"""

from __future__ import annotations

import orjson

_MAX_MESSAGE = 500


class ApiError(Exception):
    """A request that did not succeed.

    Attributes:
        action: what was tried, e.g. "PATCH /apis/lunastreams.dev/v1alpha1/namespaces/default/streams/a/status".
        status: the HTTP status, or 0 when no answer came.
        reason: the machine-readable reason of the Kubernetes Status, or "".
        retry_after_s: seconds after which the server asks to be asked again; None if it does not say.
    """

    retry_after_s: float | None = None

    def __init__(self, action: str, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(f"{action}: {message[:_MAX_MESSAGE]}")
        self.action = action
        self.status = status
        self.reason = reason


class NotConfigured(Exception):
    """There is no usable cluster configuration: a person has to provide one."""


class NotFound(ApiError):
    """No such object, namespace or resource: create it, or forget it."""


class AlreadyExists(ApiError):
    """An object of that name exists: read it."""


class Conflict(ApiError):
    """Somebody else wrote first: read again and decide again."""


class Invalid(ApiError):
    """The server refuses this body or these parameters, and always will: mend the caller or the manifest."""


class Gone(ApiError):
    """The resource version or continue token is outside of the server's history: list again."""


class Forbidden(ApiError):
    """Permissions are missing: a person has to grant them."""


class Unauthorized(Forbidden):
    """The credentials were not accepted, also not after reading them again."""


class Unavailable(ApiError):
    """No answer, or the server is in trouble: try again later. A write may or may not have happened."""


class NotSent(Unavailable):
    """The request never reached a server: it did nothing, and may be sent again."""


class TooManyRequests(ApiError):
    """The server asks to slow down; the request was not carried out.

    Attributes:
        retry_after_s: seconds to wait first.
    """

    retry_after_s: float = 1.0


def error_from_response(action: str, status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """Return the typed error of an HTTP answer whose status is not a success."""
    details = _status_details(body)
    message = details.message or f"HTTP status {status}"
    kind = _kind(status, details)
    error = kind(action, message, status=status, reason=details.reason)
    if retry_after is not None and retry_after.isdecimal():  # API servers do not use the form of a date
        error.retry_after_s = float(retry_after)
    return error


def error_from_status(action: str, status_object: dict[str, object]) -> ApiError:
    """Return the typed error of a Status object, as a watch stream carries it."""
    code = status_object.get("code")
    return error_from_response(action, code if isinstance(code, int) else 500, orjson.dumps(status_object))


class _Details:
    def __init__(self, message: str = "", reason: str = "", causes: frozenset[str] = frozenset()) -> None:
        self.message, self.reason, self.causes = message, reason, causes


def _status_details(body: bytes) -> _Details:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        # A proxy in between answers in HTML or plain text; its first line helps a person more than nothing.
        return _Details(body.decode("utf-8", "replace").strip().partition("\n")[0])
    if not isinstance(parsed, dict):
        return _Details()
    causes = (parsed.get("details") or {}).get("causes") or []
    return _Details(
        str(parsed.get("message") or ""),
        str(parsed.get("reason") or ""),
        frozenset(str(cause.get("reason", "")) for cause in causes),
    )


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: Gone,
    429: TooManyRequests,
}


def _kind(status: int, details: _Details) -> type[ApiError]:
    if "ResourceVersionTooLarge" in details.causes:
        # 504: our version is ahead of the server, e.g. its etcd was restored from a backup.
        return Gone
    if status == 409 and details.reason == "AlreadyExists":
        return AlreadyExists
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Invalid if 400 <= status < 500 else Unavailable
