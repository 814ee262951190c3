"""Errors of the shim, named by what is wrong; `replies.ERRORS` says how each is answered.

The text of an error is the documented `detail`. It never holds a credential or a value of the request's body.
"""

from __future__ import annotations

from luna_streams.errors import GroupNameNotFound, GroupNotFound


class StartupError(Exception):
    """The shim cannot start as configured: a person has to change something, and the text says what."""


class Refusal(Exception):
    """A request that is not answered as asked, because of the request."""


class PageNotFound(Refusal):
    """No such resource."""

    def __init__(self) -> None:
        super().__init__("Page not found")


class MethodNotAllowed(Refusal):
    """The resource does not have this method."""

    def __init__(self) -> None:
        super().__init__("Method not allowed")


class BadQuery(Refusal):
    """A query parameter has a value it cannot have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Bad query parameters '{name}'")


class QueryIncomplete(Refusal):
    """A required query parameter is missing."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Required parameters '{name}' not found")


class BadContentType(Refusal):
    """The Content-Type header cannot be understood, or its character set is not UTF-8."""

    def __init__(self) -> None:
        super().__init__("Bad content type")


class UnacceptableContentType(Refusal):
    """The body is of a kind that this resource does not take."""

    def __init__(self, allowed: str) -> None:
        super().__init__(f"Content type is unacceptable allowed types: '{allowed}'")


class EmptyBody(Refusal):
    """There is no body where one is needed."""

    def __init__(self) -> None:
        super().__init__("Request does not contain data")


class BadJson(Refusal):
    """The body is not JSON."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Failed to validate input json. Message: {message}")


class BadBody(Refusal):
    """The body is JSON, and not what this resource takes."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"Failed to validate input json. Path: '{path}', message: '{message}'")


class BadRequest(Refusal):
    """The request is wrong in another way, for example one of its headers."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Invalid http request: {message}")


class BodyTooLarge(Refusal):
    """The body is larger than the shim takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Invalid http request: the body is larger than {limit} bytes")


class BadToken(Refusal):
    """A worker shows a token that the cluster does not accept; it is not taken for a worker from outside."""

    def __init__(self) -> None:
        super().__init__("Specified token corrupted")


class UnknownGroupName(Refusal):
    """A stream is to join a group that its account does not have."""

    def __init__(self, group_name: str) -> None:
        super().__init__(GroupNameNotFound(group_name).detail)


class UnknownGroupId(Refusal):
    """A stream is to join a group that does not exist."""

    def __init__(self, group_id: str) -> None:
        super().__init__(GroupNotFound(group_id).detail)


class QuotaExceeded(Refusal):
    """As many streams are active as may be; the text is the one clients of LUNA Streams know."""

    def __init__(self) -> None:
        super().__init__(
            "License problem: Streams license limit exceeded. "
            "Please contact VisionLabs for license upgrade or delete redundant streams"
        )


class NoPreview(Refusal):
    """No worker shows this stream at present."""

    def __init__(self, stream_id: str) -> None:
        # LUNA Streams says `live` for the last frame, too.
        super().__init__(f"Not found `live` preview url for stream with id '{stream_id}'.")


class Disabled(Refusal):
    """The resource is switched off by the settings."""

    def __init__(self) -> None:
        super().__init__("Resource is disabled.")


class UnsupportedMediaType(Refusal):
    """Accept names no form in which this resource can be answered; desc and text are swapped in LUNA, too."""

    def __init__(self) -> None:
        super().__init__("Bad/incomplete input data")


class DocumentMissing(Exception):
    """The documentation was not installed with the service."""

    def __init__(self) -> None:
        super().__init__("Document file not found")


class PreviewFailed(Exception):
    """The picture of a stream cannot be had from its worker, or not any more; the text says why."""


class NotReady(Exception):
    """The shim cannot answer right now: the API server was not heard yet, or no replica leads. Try again."""


class LogsUnavailable(Exception):
    """The database of the log does not answer, or its tables are not as they have to be. Try again later."""


class Unhealthy(Exception):
    """Something the service depends on is not well; the text says what, for people."""
