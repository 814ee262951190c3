"""Who was seen when and where: the tracks of an analysis, gathered frame by frame and told as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Any

from luna_processor.delivery.events import luna_time
from luna_processor.vision.detections import FloatArray
from luna_streams.stream import Mode


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A face or a body in a frame."""

    box_xyxy: FloatArray
    """Pixels of the frame."""
    score: float

    def to_json(self) -> dict[str, Any]:
        """Return it in the form events have."""
        left, top, right, bottom = (round(float(side), 1) for side in self.box_xyxy)
        box = {"x": left, "y": top, "width": round(right - left, 1), "height": round(bottom - top, 1)}
        return {"bounding_box": box, "score": round(self.score, 4)}


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A track in one frame."""

    frame: int
    pts_s: float
    time: datetime
    face: Part | None
    body: Part | None
    is_best_so_far: bool
    """Whether a shot of this frame was the best of the track when it was analysed, or among the best."""

    def moment_json(self) -> dict[str, Any]:
        """Return when it was."""
        return {"frame": self.frame, "pts_s": round(self.pts_s, 3), "time": luna_time(self.time)}

    def to_json(self) -> dict[str, Any]:
        """Return it as tracks.json has it."""
        return {
            "frame": self.frame,
            "pts_s": round(self.pts_s, 3),
            "face": self.face.to_json() if self.face else None,
            "body": self.body.to_json() if self.body else None,
            "is_best_so_far": self.is_best_so_far,
        }


@dataclass(slots=True, eq=False)
class Track:
    """Somebody who is followed."""

    mode: Mode
    track_id: str
    number: int | None = None
    """Counts the tracks that were confirmed, for people."""
    sightings: list[Sighting] = field(default_factory=list)
    shots: list[str] = field(default_factory=list)
    """Names of the pictures that were sent."""

    @property
    def is_confirmed(self) -> bool:
        """Whether it was seen often enough to count."""
        return self.number is not None

    def to_json(self) -> dict[str, Any]:
        """Return it as tracks.json has it."""
        first, last = self.sightings[0], self.sightings[-1]
        return {
            "number": self.number,
            "track_id": self.track_id,
            "mode": self.mode,
            "first": first.moment_json(),
            "last": last.moment_json(),
            "sighting_count": len(self.sightings),
            "best_shots": self.shots,
            "sightings": [sighting.to_json() for sighting in self.sightings],
        }


class TrackBook:
    """The tracks that go on."""

    def __init__(self) -> None:
        self._tracks: dict[tuple[Mode, str], Track] = {}
        self._numbers = count(1)

    def saw(self, mode: Mode, track_id: str, sighting: Sighting, *, is_confirmed: bool) -> Track:
        """Add a sighting; returns its track."""
        track = self._tracks.setdefault((mode, track_id), Track(mode, track_id))
        track.sightings.append(sighting)
        if is_confirmed and track.number is None:
            track.number = next(self._numbers)
        return track

    def merge(self, mode: Mode, track_id: str, into: str) -> None:
        """Make one track of two that turned out to be the same person's; the lower number stays."""
        gone = self._tracks.pop((mode, track_id), None)
        if gone is None:
            return
        kept = self._tracks.setdefault((mode, into), Track(mode, into))
        kept.sightings = _joined((*kept.sightings, *gone.sightings))
        kept.shots = [*gone.shots, *kept.shots]
        kept.number = min((number for number in (kept.number, gone.number) if number is not None), default=None)

    def number_of(self, track_id: str) -> int | None:
        """Return the number of a track, by whichever mode it is followed."""
        return next((track.number for track in self._with_id(track_id) if track.is_confirmed), None)

    def add_shot(self, track_id: str, picture: str) -> None:
        """Take down that a picture of a track was sent."""
        for track in self._with_id(track_id):
            track.shots.append(picture)

    def end(self, mode: Mode, track_id: str) -> Track | None:
        """Forget a track that has ended; returns it if it was confirmed."""
        track = self._tracks.pop((mode, track_id), None)
        return track if track is not None and track.is_confirmed else None

    def end_all(self) -> list[Track]:
        """Forget all tracks; returns those that were confirmed."""
        tracks = [track for track in self._tracks.values() if track.is_confirmed]
        self._tracks.clear()
        return tracks

    def _with_id(self, track_id: str) -> Iterator[Track]:
        return (track for (_, known_id), track in self._tracks.items() if known_id == track_id)


def _joined(sightings: Iterable[Sighting]) -> list[Sighting]:
    """Return the sightings of two tracks of one person in order; a face and a body of one frame become one sighting."""
    by_frame: dict[int, Sighting] = {}
    for sighting in sorted(sightings, key=lambda each: each.frame):
        if known := by_frame.get(sighting.frame):
            sighting = replace(
                known,
                face=known.face or sighting.face,
                body=known.body or sighting.body,
                is_best_so_far=known.is_best_so_far or sighting.is_best_so_far,
            )
        by_frame[sighting.frame] = sighting
    return list(by_frame.values())
