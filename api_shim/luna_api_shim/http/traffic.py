"""What the service has answered: told by `frame` for every request, to whoever wants to count or write it down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Served:
    """One request that was answered.

    Attributes:
        route: method and template of the path, e.g. `GET:/2/streams/{stream_id}`; never what a client made up.
        status: of HTTP; 0 if the client went away first.
        error_code: of LUNA, None where the answer is no error.
        duration_s: seconds until the whole answer was sent.
        time: when that was, UTC.
    """

    route: str
    status: int
    error_code: int | None
    request_id: str
    duration_s: float
    time: datetime


Listener = Callable[[Served], None]
"""Must be quick and not raise."""


class Traffic:
    """Tells listeners of every request."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Tell of every request from now on."""
        self._listeners.append(listener)

    def report(self, served: Served) -> None:
        """Take note of a request."""
        for listener in self._listeners:
            listener(served)
