"""When the shots of a track are sent, and how many: the documented sending policy as a pure state of one track.

A track has periods: it is searched for `search_period`, sends the best shots, is silent for `silent_period`, and so on.
Nothing here reads a clock: every frame brings its `Moment`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from luna_processor.selection.bestshot import SHOT_SPACING_S, Selection

_ROUNDING_S = 1e-6
"""Times are binary fractions: 2.12 s - 0.12 s is less than 2 s, which must not cost a period a frame."""


@dataclass(frozen=True, slots=True)
class SendingPolicy:
    """The documented parameters; -1 as in the document."""

    face_count: int = 1
    """Best shots of a face per set."""
    body_count: int = 1
    """Best shots of a body per set."""
    search_period: int = -1
    """-1: the whole track."""
    silent_period: int = 0
    """-1: for ever."""
    unit: Literal["sec", "frames"] = "sec"
    needs_full_body_set: bool = True
    """Bodies are sent only when `body_count` shots and `min_body_detections` detections were gathered."""
    min_body_detections: int = 0
    forgets_bodies: bool = False
    """Whether gathering bodies begins anew after each sending; otherwise later sets may repeat earlier shots."""
    shot_spacing_s: float = SHOT_SPACING_S
    """How far two shots of a set are apart at least."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame was, in both units a period can be given in."""

    pts_s: float
    frame_number: int
    """Counts every frame of the source, also those that were dropped."""


class Schedule:
    """The periods of one track.

    Args:
        policy: their lengths.
        began: the first frame of the track.
    """

    def __init__(self, policy: SendingPolicy, began: Moment) -> None:
        self._policy = policy
        self._began = began
        self._is_silent = False
        self.periods_over = 0
        """Search periods that have ended."""

    def is_searching(self, now: Moment) -> bool:
        """Return whether shots are looked for; ends a silence that is over."""
        silence = self._policy.silent_period
        if self._is_silent and silence >= 0 and self._elapsed(now) >= silence:
            self._is_silent, self._began = False, now
        return not self._is_silent

    def is_due(self, now: Moment) -> bool:
        """Return whether a search period is over."""
        period = self._policy.search_period
        return self.is_searching(now) and period >= 0 and self._elapsed(now) >= period

    def next_period(self, now: Moment, *, has_sent: bool) -> None:
        """Begin a silence, or the next search at once.

        A search period that found nothing is followed by another one: there is nothing to be silent about.
        """
        self._began = now
        self._is_silent = has_sent and self._policy.silent_period != 0
        self.periods_over += 1

    def end(self) -> None:
        """Search no more: what is to be sent of this track was sent."""
        self._is_silent = True
        self._policy = SendingPolicy(silent_period=-1)

    def absorb(self, other: Schedule) -> None:
        """Keep silent if either of two tracks that turned out to be one does."""
        if other._is_silent and not self._is_silent:
            self._policy, self._began, self._is_silent = other._policy, other._began, True

    def _elapsed(self, now: Moment) -> float:
        if self._policy.unit == "frames":
            return now.frame_number - self._began.frame_number
        return now.pts_s - self._began.pts_s + _ROUNDING_S


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about the liveness of a face."""

    is_alive: bool
    """As far as it was checked."""
    is_final: bool
    """Whether all checks were made; nothing is sent early before."""


ALIVE = Verdict(is_alive=True, is_final=True)
_Shot = TypeVar("_Shot")


@dataclass(frozen=True, slots=True)
class DueSet(Generic[_Shot]):
    """What is to be sent now, best first."""

    faces: tuple[_Shot, ...] = ()
    bodies: tuple[_Shot, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.faces or self.bodies)


class TrackHistory(Generic[_Shot]):
    """What one track has gathered, and when it goes out.

    Args:
        policy: of the analytics.
        began: the first frame of the track.
    """

    def __init__(self, policy: SendingPolicy, began: Moment) -> None:
        self._policy = policy
        self._schedule = Schedule(policy, began)
        self.faces: Selection[_Shot] = Selection(policy.face_count, policy.shot_spacing_s)
        self.bodies: Selection[_Shot] = Selection(policy.body_count, policy.shot_spacing_s)
        self._body_detections = 0
        self._has_new_bodies = False
        self._hurry: Literal["no", "wanted", "done"] = "no"

    def is_searching(self, now: Moment) -> bool:
        """Return whether shots are looked for at present."""
        return self._schedule.is_searching(now)

    @property
    def periods_over(self) -> int:
        """Search periods that have ended, whether or not anything was sent."""
        return self._schedule.periods_over

    def consider_face(self, now: Moment, value: float, take: Callable[[], _Shot | None]) -> bool:
        """Keep a face if it is clearly better than what is kept; see `Selection.consider`."""
        return self.is_searching(now) and self.faces.consider(now.pts_s, value, take)

    def consider_body(self, now: Moment, value: float, take: Callable[[], _Shot | None]) -> bool:
        """Count a body and keep it if it is clearly better than what is kept."""
        if not self.is_searching(now) or value <= 0:
            return False
        self._body_detections += 1
        self._has_new_bodies = True
        return self.bodies.consider(now.pts_s, value, take)

    def hurry(self) -> None:
        """Send the first face at once, without waiting for the end of its period; this happens once per track."""
        if self._hurry == "no":
            self._hurry = "wanted"

    def due(self, now: Moment, verdict: Verdict = ALIVE) -> DueSet[_Shot]:
        """Return what is to be sent now, and go on to the next period.

        Args:
            now: of the frame.
            verdict: whether the face is a person's; faces of photos are forgotten at the end of their period.
        """
        is_early = self._hurry == "wanted" and len(self.faces) > 0 and verdict == ALIVE and self.is_searching(now)
        if not is_early and not self._schedule.is_due(now):
            return DueSet()
        found = self._take(verdict)
        self._schedule.next_period(now, has_sent=bool(found))
        if is_early:
            self._hurry = "done"
            if self._policy.search_period < 0:
                self._schedule.end()
        return found

    def rest(self, verdict: Verdict = ALIVE) -> DueSet[_Shot]:
        """Return what has gathered since the last sending: the track is over."""
        return self._take(verdict)

    def absorb(self, other: TrackHistory[_Shot]) -> None:
        """Take over what another track has gathered: both turned out to be one."""
        self._schedule.absorb(other._schedule)
        self.faces.absorb(other.faces)
        self.bodies.absorb(other.bodies)
        self._body_detections += other._body_detections
        self._has_new_bodies = self._has_new_bodies or other._has_new_bodies
        if self._hurry == "no":
            self._hurry = other._hurry

    def _take(self, verdict: Verdict) -> DueSet[_Shot]:
        faces = self.faces.best() if verdict.is_alive else ()
        bodies = self.bodies.best() if self._has_new_bodies and self._is_body_set_complete else ()
        self.faces.clear()
        if bodies:
            self._has_new_bodies = False
            if self._policy.forgets_bodies:
                self.bodies.clear()
                self._body_detections = 0
        return DueSet(faces, bodies)

    @property
    def _is_body_set_complete(self) -> bool:
        policy = self._policy
        return not policy.needs_full_body_set or (
            self.bodies.is_full and self._body_detections >= policy.min_body_detections
        )
