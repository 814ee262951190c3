"""Errors of the domain, named by what went wrong for the caller; each carries the documented LUNA error code.

Source of codes and texts: LUNA Streams API 1.1.18 and the public error list.
"""

from __future__ import annotations


class DomainError(Exception):
    """A request the rules refuse.

    Attributes:
        code: the documented LUNA error code.
        desc: the documented short text of that code.
        detail: what was refused, in the documented words.
    """

    code: int
    desc: str

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class StreamNotFound(DomainError):
    """No such stream."""

    code, desc = 39001, "Object not found"

    def __init__(self, stream_id: str) -> None:
        super().__init__(f"Stream with id '{stream_id}' not found")


class CannotPause(DomainError):
    """A file in progress cannot be paused: it could not be resumed where it stopped."""

    code, desc = 39003, "Unable to stop processing"

    def __init__(self, stream_id: str) -> None:
        super().__init__(f"Processing of stream with id '{stream_id}' is already in progress and cannot be stopped.")


class CannotCancel(DomainError):
    """A finished stream cannot be cancelled."""

    code, desc = 39005, "Unable to cancel processing"

    def __init__(self, stream_id: str) -> None:
        super().__init__(f"Processing of streams with id '{stream_id}' is finished and cannot be cancelled")


class GroupExists(DomainError):
    """An account already has a group of that name."""

    code, desc = 39006, "Unique constraint error"

    def __init__(self, group_name: str) -> None:
        super().__init__(f"Group named '{group_name}' already exists")


class GroupNameNotFound(DomainError):
    """No group of that name in the account."""

    code, desc = 39007, "Object not found"

    def __init__(self, group_name: str) -> None:
        super().__init__(f"Group named {group_name} not found")


class GroupNotFound(DomainError):
    """No group with that id."""

    code, desc = 39008, "Object not found"

    def __init__(self, group_id: str) -> None:
        super().__init__(f"Group with id {group_id} not found")


class CredentialsMissing(Exception):
    """A stream refers to a Secret or a key that does not exist (yet)."""
