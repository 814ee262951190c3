"""Who is followed: a face, a body, or a human who has both; what the choice of best shots is made for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody of whom a face, a body or both were seen in a frame; indices into the detections."""

    track_id: str
    is_confirmed: bool
    face: int | None
    body: int | None


@dataclass(frozen=True, slots=True)
class EndedSubject:
    """Somebody who is gone."""

    track_id: str
    is_confirmed: bool


@dataclass(frozen=True, slots=True)
class SubjectsUpdate:
    """What one frame changed."""

    seen: tuple[Subject, ...]
    merged: tuple[tuple[str, str], ...]
    """(from, into): two turned out to be one."""
    ended: tuple[EndedSubject, ...]
