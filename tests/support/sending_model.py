"""When and what a track sends, written from the document alone: a slow reference that knows the whole film beforehand.

It shares nothing with the processor: a track is a list of what was seen in its frames, and the answer is worked out
period by period. Source: LUNA Streams API 1.1.18, stream_policies.sending and primary_track_policy, and the choices
that docs/compatibility.md names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

BETTER = 1.05
"""A shot takes the place of another when it is better by this factor."""
SPACING_S = 0.2
"""Shots of one set are so far apart."""


@dataclass(frozen=True)
class Seen:
    """A frame of a track: the quality of the candidate in it, None where no face passed the filters."""

    number: int
    quality: float | None
    is_proper: bool = False
    """Whether the face has the height at which a gate sends at once."""


@dataclass(frozen=True)
class Rules:
    """The parameters, in frames."""

    search: int
    silence: int
    count: int
    fps: int
    confirmed_at: int
    """The frame from which on it is taken for a track."""


def sendings(film: Sequence[Seen], rules: Rules, *, is_gate: bool = False) -> list[tuple[int, list[int]]]:
    """Return what is sent of a track: (frame at which it is sent, frames that are sent, best first).

    The end of the track is the frame after the last. A frame belongs to the period that ends with it; time counts from
    there, or from the end of the silence.
    """
    sent: list[tuple[int, list[int]]] = []
    clock, first, early_is_left = 0, rules.confirmed_at if is_gate else 0, is_gate
    while first < len(film):
        kept: list[Seen] = []
        is_early = False
        for at in range(first, len(film)):
            kept = keep(kept, film[at], rules.count, rules.fps)
            is_near = any(each.is_proper for each in film[rules.confirmed_at : at + 1])
            is_early = early_is_left and is_near and bool(kept)
            is_over = rules.search >= 0 and at - clock >= rules.search
            if at >= rules.confirmed_at and (is_early or is_over):
                break
        else:
            return [*sent, (len(film), _numbers(kept))] if kept else sent
        sent += [(at, _numbers(kept))] if kept else []
        if kept and (rules.silence < 0 or (is_early and rules.search < 0)):
            return sent
        early_is_left = early_is_left and not is_early
        # A period that found nothing is followed by the next at once.
        clock, first = (at + rules.silence,) * 2 if kept and rules.silence else (at, at + 1)
    return sent


def _numbers(kept: Sequence[Seen]) -> list[int]:
    return [each.number for each in sorted(kept, key=lambda each: each.quality or 0, reverse=True)]


class Rated(Protocol):
    """What may be kept: a frame, and how good it is; None where it is none."""

    @property
    def number(self) -> int:
        """Of the frame."""

    @property
    def quality(self) -> float | None:
        """Of the candidate in it."""


_Rated = TypeVar("_Rated", bound=Rated)


def keep(kept: Sequence[_Rated], new: _Rated, count: int, fps: int) -> list[_Rated]:
    """Return the best shots with a new candidate among them, if it is clearly better than the one it would replace."""
    if new.quality is None:
        return list(kept)
    near = [each for each in kept if abs(each.number - new.number) / fps < SPACING_S]
    rival = near[0] if near else min(kept, key=lambda each: each.quality or 0) if len(kept) >= count else None
    if rival is None:
        return [*kept, new]
    if new.quality < (rival.quality or 0) * BETTER:
        return list(kept)
    return [each for each in kept if each is not rival] + [new]
