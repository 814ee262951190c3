"""Follow what the analytics of one stream look for: faces, bodies, and humans who tie both.

Each kind is followed once, however many analytics want it, and only if one does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from luna_processor.tracking.humans import Humans, Part
from luna_processor.tracking.subjects import EndedSubject, Subject, SubjectsUpdate
from luna_processor.tracking.tracker import EndedTrack, Observation, Tracker, TrackerSettings, for_bodies
from luna_processor.vision.detections import Detections
from luna_streams.stream import MODE_BODIES, MODE_FACES, MODE_HUMANS, Mode

FACE_MODES: tuple[Mode, ...] = (MODE_FACES, MODE_HUMANS)
BODY_MODES: tuple[Mode, ...] = (MODE_BODIES, MODE_HUMANS)


class Following:
    """The trackers of one connection.

    Args:
        modes: what the enabled analytics look for.
        settings: of the trackers, as they stand for faces.
        new_id: makes the id of a track; every call must give another one.
    """

    def __init__(self, modes: Collection[Mode], settings: TrackerSettings, new_id: Callable[[], str]) -> None:
        self._modes = frozenset(modes)
        self._faces = Tracker(settings, new_id)
        self._bodies = Tracker(for_bodies(settings), new_id)
        self._humans = Humans(new_id)

    @property
    def confirmed_count(self) -> int:
        """Number of confirmed subjects that are followed; who is followed as a human counts once."""
        if MODE_HUMANS in self._modes:
            return self._humans.confirmed_count
        return self._faces.confirmed_count + self._bodies.confirmed_count

    def update(self, faces: Detections, bodies: Detections, pts_s: float) -> Mapping[Mode, SubjectsUpdate]:
        """Take in the detections of the next picture, in pixels of the view; returns what it changed for each mode."""
        face_update, body_update = self._faces.update(faces, pts_s), self._bodies.update(bodies, pts_s)
        updates: dict[Mode, SubjectsUpdate] = {}
        if MODE_FACES in self._modes:
            seen = tuple(Subject(o.track_id, o.is_confirmed, o.detection, None) for o in face_update.observations)
            updates[MODE_FACES] = SubjectsUpdate(seen, (), _ended(face_update.ended))
        if MODE_BODIES in self._modes:
            seen = tuple(Subject(o.track_id, o.is_confirmed, None, o.detection) for o in body_update.observations)
            updates[MODE_BODIES] = SubjectsUpdate(seen, (), _ended(body_update.ended))
        if MODE_HUMANS in self._modes:
            updates[MODE_HUMANS] = self._humans.update(
                [_part(o, faces) for o in face_update.observations],
                [_part(o, bodies) for o in body_update.observations],
                [track.track_id for track in (*face_update.ended, *body_update.ended)],
            )
        return updates

    def is_doubtful(self, pts_s: float) -> bool:
        """Return whether somebody could be lost, or stay unconfirmed, if a picture at this time were not searched."""
        return self._faces.is_doubtful(pts_s) or self._bodies.is_doubtful(pts_s) or self._humans.is_doubtful

    def nothing_new(self) -> Mapping[Mode, SubjectsUpdate]:
        """Return what a picture changes that was not searched."""
        return dict.fromkeys(self._modes, SubjectsUpdate((), (), ()))

    def end_all(self) -> Iterator[tuple[Mode, EndedSubject]]:
        """End every track: the stream is over or interrupted, or its picture was cut."""
        faces, bodies = self._faces.end_all(), self._bodies.end_all()
        gone = [track.track_id for track in (*faces, *bodies)]
        humans = self._humans.update((), (), gone).ended if MODE_HUMANS in self._modes else ()
        ended: dict[Mode, tuple[EndedSubject, ...]] = {
            MODE_FACES: _ended(faces),
            MODE_BODIES: _ended(bodies),
            MODE_HUMANS: humans,
        }
        for mode in self._modes:
            for subject in ended[mode]:
                yield mode, subject


def _ended(tracks: tuple[EndedTrack, ...]) -> tuple[EndedSubject, ...]:
    return tuple(EndedSubject(track.track_id, track.is_confirmed) for track in tracks)


def _part(observation: Observation, detections: Detections) -> Part:
    return Part(
        observation.track_id,
        observation.detection,
        detections.boxes_xyxy[observation.detection],
        observation.is_confirmed,
    )
