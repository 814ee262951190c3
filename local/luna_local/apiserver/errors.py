"""Errors of the Kubernetes API: each becomes one ``Status`` answer with the code and reason that clients act upon.

Raise them through the functions below, so that wording and details stay those of kube-apiserver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Named(Protocol):
    """What an error needs to know of a resource."""

    @property
    def group(self) -> str:
        """API group, empty for the core."""

    @property
    def plural(self) -> str:
        """Plural name as in paths."""

    @property
    def kind(self) -> str:
        """Kind as in manifests."""


@dataclass(frozen=True)
class FieldProblem:
    """One reason why an object is invalid."""

    path: str
    message: str
    reason: str = "FieldValueInvalid"

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ApiError(Exception):
    """A refusal the client is told about.

    Args:
        code: HTTP status.
        reason: Machine-readable reason of the Status (``NotFound``, ``Conflict``, ...).
        message: Text for people.
        details: ``Status.details``.
    """

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> dict[str, Any]:
        """Return the body of the answer."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


def qualified(resource: Named) -> str:
    """Return ``plural.group`` as kubectl prints it."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _details(resource: Named, name: str) -> dict[str, Any]:
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    return {key: value for key, value in details.items() if value}


def bad_request(message: str) -> ApiError:
    """The request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """A token was presented that nobody issued, or that is no longer valid."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Named, name: str, why: str) -> ApiError:
    """A rule of the server (not RBAC: there is none) forbids this."""
    message = f'{qualified(resource)} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, _details(resource, name))


def no_such_path() -> ApiError:
    """Nothing is served at this path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def not_found(resource: Named, name: str) -> ApiError:
    """There is no such object."""
    return ApiError(404, "NotFound", f'{qualified(resource)} "{name}" not found', _details(resource, name))


def method_not_allowed(message: str = "the server does not allow this method on the requested resource") -> ApiError:
    """The path exists, the verb does not."""
    return ApiError(405, "MethodNotAllowed", message)


def not_acceptable(supported: str) -> ApiError:
    """The client accepts no form we can answer in."""
    return ApiError(406, "NotAcceptable", f"only the following media types are accepted in this response: {supported}")


def already_exists(resource: Named, name: str) -> ApiError:
    """The name is taken."""
    return ApiError(409, "AlreadyExists", f'{qualified(resource)} "{name}" already exists', _details(resource, name))


def conflict(resource: Named, name: str, why: str) -> ApiError:
    """The object changed since the client read it, or a precondition failed: read again."""
    message = f'Operation cannot be fulfilled on {qualified(resource)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource, name))


def expired(message: str) -> ApiError:
    """The history asked for is gone: list again."""
    return ApiError(410, "Expired", message)


def too_large(limit_bytes: int) -> ApiError:
    """The body is larger than this server reads."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit_bytes}")


def unsupported_media_type(content_type: str, supported: Sequence[str]) -> ApiError:
    """The body is in a form we do not read."""
    return ApiError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format ({content_type or 'no content type'})"
        f" - accepted media types include: {', '.join(supported)}",
    )


def invalid(resource: Named, name: str, problems: Sequence[FieldProblem]) -> ApiError:
    """The object breaks its schema or a rule; every problem is named."""
    texts = [str(problem) for problem in problems]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {
        **_details(resource, name),
        "kind": resource.kind,
        "causes": [{"reason": each.reason, "message": each.message, "field": each.path} for each in problems],
    }
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details)


def unprocessable(message: str) -> ApiError:
    """A patch that does not apply."""
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {message}")


def not_implemented(message: str) -> ApiError:
    """Something a real cluster has and this server deliberately lacks."""
    return ApiError(501, "NotImplemented", message)


def storage_failed(why: str) -> ApiError:
    """The journal cannot be written: nothing was changed."""
    return ApiError(503, "ServiceUnavailable", f"the change could not be saved: {why}", {"retryAfterSeconds": 5})


def version_too_large(asked: int, current: int) -> ApiError:
    """The client knows a later state than this server has."""
    return ApiError(
        504,
        "Timeout",
        f"Too large resource version: {asked}, current: {current}",
        {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]},
    )
