"""What is sent of one human whose face and body are seen off and on, written from the document alone.

It shares nothing with the processor: frame by frame, lists of what was gathered. Sources: LUNA Streams API 1.1.18,
analytics.sending, bestshot_settings, sending.body and liveness, and the choices that docs/compatibility.md and
docs/processor.md name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from support.sending_model import keep

FACES, BODIES, TOGETHER, SEPARATELY = 1, 2, 3, 4
TIED_AT = 1
"""Face and body are one human from the second frame on that shows both, and taken for somebody then, too."""
ALONE = 0.75
"""A face is so much worse without its body, where both go together."""

Event = tuple[int, list[tuple[int, str]]]
"""The frame at which it is sent; frames and kinds of its shots, best first."""


@dataclass(frozen=True)
class Person:
    """What is seen in a frame: qualities of face and body, None where the filters let none pass, and a check."""

    face: float | None
    body: float | None
    liveness: float = 1.0


@dataclass(frozen=True)
class HumanRules:
    """The parameters; periods in frames."""

    type: int
    search: int
    silence: int
    faces: int
    bodies: int
    fps: int
    needs_full_set: bool
    forgets: bool
    min_detections: int
    liveness_mode: int | None = None
    checks: int = 1
    background: int = 0
    threshold: float = 0.5


@dataclass(frozen=True)
class Candidate:
    """A shot that may be sent."""

    number: int
    quality: float
    has_body: bool = False


@dataclass
class Gathered:
    """What a human's track holds at a moment."""

    faces: list[Candidate] = field(default_factory=list)
    bodies: list[Candidate] = field(default_factory=list)
    detections: int = 0
    has_new_body: bool = False
    checks: list[float] = field(default_factory=list)


def human_events(film: Sequence[Person], rules: HumanRules) -> list[Event]:
    """Return what is sent; the end of the track is the frame after the last."""
    sent: list[Event] = []
    gathered, clock, is_silent = Gathered(), 0, False
    for at, person in enumerate(film):
        if is_silent and 0 <= rules.silence <= at - clock:
            clock, is_silent = at, False
        if is_silent:
            continue
        _gather(gathered, at, person, rules)
        if at >= TIED_AT and 0 <= rules.search <= at - clock:
            events = _taken(gathered, rules)
            sent += [(at, event) for event in events]
            clock, is_silent = at, bool(events) and rules.silence != 0
    return [*sent, *((len(film), event) for event in _taken(gathered, rules))]


def _gather(gathered: Gathered, at: int, person: Person, rules: HumanRules) -> None:
    if person.body is not None and rules.type != FACES:
        gathered.detections += 1
        gathered.has_new_body = True
        gathered.bodies = keep(gathered.bodies, Candidate(at, person.body), rules.bodies, rules.fps)
    if person.face is None or rules.type == BODIES:
        return
    if at >= rules.background:
        gathered.checks.append(person.liveness)
    has_body = rules.type == TOGETHER and person.body is not None and at >= TIED_AT
    is_alone = rules.type == TOGETHER and not has_body
    quality = person.face * (ALONE if is_alone else 1)
    gathered.faces = keep(gathered.faces, Candidate(at, quality, has_body), rules.faces, rules.fps)


def _taken(gathered: Gathered, rules: HumanRules) -> list[list[tuple[int, str]]]:
    """Take what is to be sent now out of what was gathered; returns the shots of each event."""
    faces = _best(gathered.faces) if _is_alive(gathered.checks, rules) else []
    gathered.faces = []
    is_full = len(gathered.bodies) >= rules.bodies and gathered.detections >= rules.min_detections
    bodies = _best(gathered.bodies) if gathered.has_new_body and (is_full or not rules.needs_full_set) else []
    if bodies:
        gathered.has_new_body = False
        if rules.forgets:
            gathered.bodies, gathered.detections = [], 0
    if rules.type == TOGETHER:
        return [event for event in [_in_one(faces, bodies, rules)] if event]
    plain = [[(each.number, "face") for each in faces], [(each.number, "body") for each in bodies]]
    return [event for event in plain if event]


def _in_one(faces: list[Candidate], bodies: list[Candidate], rules: HumanRules) -> list[tuple[int, str]]:
    """Faces bring along the bodies of their frames, as many as are wanted; bodies of other frames fill them up."""
    room = rules.bodies if bodies else 0
    event = []
    for each in faces:
        is_human = each.has_body and room > 0
        event.append((each.number, "human" if is_human else "face"))
        room -= is_human
    shown = [number for number, _ in event]
    return event + [(each.number, "body") for each in bodies if each.number not in shown][:room]


def _is_alive(checks: Sequence[float], rules: HumanRules) -> bool:
    if rules.liveness_mode is None:
        return True
    wanted = max(1, rules.checks)
    counted = [checks[:wanted], checks[-wanted:], checks][rules.liveness_mode]
    return bool(counted) and sum(counted) / len(counted) > rules.threshold


def _best(kept: Sequence[Candidate]) -> list[Candidate]:
    return sorted(kept, key=lambda each: each.quality, reverse=True)
