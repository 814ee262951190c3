"""What a spool holds, and the changes that are made to it; plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """What is known about an event without reading it."""

    number: int
    """Of this spool; events are sent in this order."""
    request_id: str
    stream_id: str
    version: int
    origin: str
    made_at_s: float
    """Seconds since 1970."""
    shot_count: int
    size_bytes: int
    image_origins: tuple[str | None, ...]
    """Where the source frame of each shot was stored already, None where it was not."""


@dataclass(frozen=True, slots=True)
class Run:
    """The latest run of a stream whose source can be read again."""

    stream_id: str
    version: int
    number: int
    """Counts the runs of the version that were finished before."""
    began_at_s: float | None
    """When it was begun last; None when it is finished."""


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """An event waits from now on."""

    event: StoredEvent
    body: bytes


@dataclass(frozen=True, slots=True)
class NoteFrames:
    """Source frames of an event were stored."""

    number: int
    image_origins: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class SettleEvent:
    """An event was delivered or given up."""

    event: StoredEvent
    loss: str | None
    """Why it was given up."""
    is_remembered: bool
    """Whether its run may find it again."""


@dataclass(frozen=True, slots=True)
class SetRun:
    """A run was begun or finished."""

    run: Run
    forgets_settled: bool
    """Whether what was settled before is no part of it."""


@dataclass(frozen=True, slots=True)
class ForgetRun:
    """A stream is gone."""

    stream_id: str


Change = StoreEvent | NoteFrames | SettleEvent | SetRun | ForgetRun
