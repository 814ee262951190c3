"""The best shots of all subjects of a stream for one analytics: its filters, its sets, its periods."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from luna_processor.delivery.events import BodyData, FaceData
from luna_processor.selection.liveness import LivenessRecord
from luna_processor.selection.primary import PrimaryTrack
from luna_processor.selection.sending import ALIVE, DueSet, Moment, TrackHistory, Verdict
from luna_processor.selection.shots import Shot, together
from luna_processor.selection.yaws import YawWindow
from luna_processor.streams.plan import AnalyticsPlan, Kinds
from luna_processor.streams.scene import Scene
from luna_processor.tracking.subjects import Subject
from luna_processor.vision.detections import FloatArray
from luna_processor.vision.view import Picture, PixelRect

FACE_MARGIN = 0.4
"""Picture around the face box on each side, relative to the box: LUNA looks for the face in it once more."""
BODY_MARGIN = 0.1
ALONE_PENALTY = 0.75
"""Factor for a face whose body was not found in the frame, where both are wanted together."""
FACE_LONGEST_SIDE_PX = 800
BODY_LONGEST_SIDE_PX = 1280


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A face that passed the filters that cost nothing; its shot is made when it is wanted."""

    moment: Moment
    quality: float
    take: Callable[[], Shot | None]


class _Track:
    """What one analytics knows about a subject."""

    def __init__(self, plan: AnalyticsPlan, began: Moment) -> None:
        self.history: TrackHistory[Shot] = TrackHistory(plan.sending, began)
        self.is_confirmed = False
        self.yaws = YawWindow(plan.yaws)
        self._compared: deque[_Candidate] = deque(maxlen=max(1, plan.yaws.count))
        """Of the frames whose yaws are compared: which of them are candidates may change. The shots are made."""
        self.liveness = LivenessRecord(plan.liveness) if plan.liveness else None

    @property
    def verdict(self) -> Verdict:
        """What is known about its liveness."""
        return Verdict(self.liveness.is_alive, self.liveness.is_decided) if self.liveness else ALIVE

    def absorb(self, other: _Track) -> None:
        """Take over what is known about another track of the same person."""
        self.history.absorb(other.history)
        self.yaws.absorb(other.yaws)
        self._compared += other._compared
        self.is_confirmed = self.is_confirmed or other.is_confirmed
        if self.liveness and other.liveness:
            self.liveness.absorb(other.liveness)

    def consider_face(self, candidate: _Candidate) -> None:
        """Keep a face if it is clearly better than what is kept."""
        self.history.consider_face(candidate.moment, candidate.quality, candidate.take)

    def compare_yaw(self, candidate: _Candidate, yaw: float) -> None:
        """Consider a face, and those it is compared with, as far as their yaws go together."""
        self.yaws.add(candidate.moment.frame_number, yaw)
        if shot := candidate.take():
            self._compared.append(replace(candidate, take=lambda: shot))
        if self.yaws.is_collecting:
            return
        outliers = self.yaws.outliers()
        self.history.faces.discard(lambda shot: shot.frame_number in outliers)
        for each in self._compared:
            if each.moment.frame_number not in outliers:
                self.consider_face(each)

    def due(self, now: Moment) -> DueSet[Shot]:
        """Return what is to be sent now."""
        periods_before = self.history.periods_over
        found = self.history.due(now, self.verdict)
        if self.history.periods_over != periods_before:
            self._compared.clear()  # they were considered, and belong to that period
        return found


class Chooser:
    """Chooses for one analytics.

    Args:
        plan: of the analytics.
        droi: its region, pixels of the frame.
    """

    def __init__(self, plan: AnalyticsPlan, droi: PixelRect) -> None:
        self.plan = plan
        self._droi = droi
        self._tracks: dict[str, _Track] = {}
        self._primary = PrimaryTrack(plan.primary) if plan.primary else None

    def consider(self, subjects: Sequence[Subject], scene: Scene) -> None:
        """Take a frame into account: the subjects that are seen in it."""
        for subject in subjects:
            if subject.track_id not in self._tracks:
                self._tracks[subject.track_id] = _Track(self.plan, scene.moment)
            self._tracks[subject.track_id].is_confirmed = subject.is_confirmed
        if not scene.frame.is_damaged:
            for subject in subjects if self._primary is None else self._primary_of(subjects, scene, self._primary):
                track = self._tracks[subject.track_id]
                if track.history.is_searching(scene.moment):
                    self._consider(track, subject, scene)

    def keeps_shot_of(self, subject: Subject, scene: Scene) -> bool:
        """Return whether a shot of this frame is among those kept of a subject."""
        history = self._tracks[subject.track_id].history
        kept = (*history.faces.best(), *history.bodies.best())
        return any(shot.frame_number == scene.moment.frame_number for shot in kept)

    def due(self, scene: Scene) -> Iterator[tuple[str, tuple[Shot, ...]]]:
        """Yield the sets that are to be sent now and their tracks, also of those that are out of sight for a moment."""
        for track_id, track in self._tracks.items():
            if track.is_confirmed:
                for shots in self._sets(track.due(scene.moment)):
                    yield track_id, shots

    def merge(self, track_id: str, into: str) -> None:
        """Two subjects turned out to be one."""
        if self._primary:
            self._primary.merge(track_id, into)
        track = self._tracks.pop(track_id, None)
        if track is None:
            return
        if known := self._tracks.get(into):
            known.absorb(track)
        else:
            self._tracks[into] = track

    def end(self, track_id: str) -> list[tuple[Shot, ...]]:
        """Return the sets that are left of a subject, and forget it."""
        if self._primary:
            self._primary.end(track_id)
        track = self._tracks.pop(track_id, None)
        return self._sets(track.history.rest(track.verdict)) if track else []

    def _sets(self, found: DueSet[Shot]) -> list[tuple[Shot, ...]]:
        """Return what goes out together, without empty sets."""
        if self.plan.kinds is Kinds.TOGETHER:
            sets = [together(found, self.plan.sending.body_count)]
        else:
            sets = [found.faces, found.bodies]
        return [shots for shots in sets if shots]

    def _primary_of(self, subjects: Sequence[Subject], scene: Scene, primary: PrimaryTrack) -> Sequence[Subject]:
        """Return the only subject that counts, if any; one that is near enough is sent at once."""
        heights = {
            subject.track_id: scene.face_height(subject.face)
            for subject in subjects
            if subject.is_confirmed and subject.face is not None
        }
        chosen = primary.choose(heights, scene.moment.pts_s)
        if chosen is not None and primary.is_proper(heights[chosen]):
            self._tracks[chosen].history.hurry()
        return [subject for subject in subjects if subject.track_id == chosen]

    def _consider(self, track: _Track, subject: Subject, scene: Scene) -> None:
        kinds = self.plan.kinds
        body = subject.body if subject.body is not None and self._accepts_body(subject.body, scene) else None
        if body is not None and kinds.has_bodies:
            track.history.consider_body(scene.moment, scene.body_quality(body), lambda: self._take_body(body, scene))
        face = subject.face
        if face is not None and kinds.has_faces and self._accepts_face(face, scene):
            self._consider_face(track, face, body if kinds is Kinds.TOGETHER else None, scene)

    def _consider_face(self, track: _Track, face: int, body: int | None, scene: Scene) -> None:
        """Take a face into account, with the body that is to be seen with it."""
        if track.liveness:
            for check in track.liveness.wanted(scene.background_count):
                track.liveness.add(check, scene.liveness(face, check))
        is_alone = self.plan.kinds is Kinds.TOGETHER and body is None
        quality = scene.face_quality(face) * (ALONE_PENALTY if is_alone else 1.0)
        candidate = _Candidate(scene.moment, quality, lambda: self._take_face(face, body, scene))
        if not self.plan.yaws.compares:
            track.consider_face(candidate)
        elif self.plan.face_filters.accepts_pose(scene.pose(face)):
            track.compare_yaw(candidate, scene.pose(face).yaw)

    def _accepts_face(self, face: int, scene: Scene) -> bool:
        """Return whether a face passes the filters that cost nothing."""
        return self.plan.face_filters.accepts_score(float(scene.faces.scores[face])) and self._droi.contains(
            scene.frame_box(scene.faces.boxes_xyxy[face])
        )

    def _accepts_body(self, body: int, scene: Scene) -> bool:
        box = scene.frame_box(scene.bodies.boxes_xyxy[body])
        width, height = float(box[2] - box[0]), float(box[3] - box[1])
        score = float(scene.bodies.scores[body])
        return self.plan.body_filters.accepts(score, width, height) and self._droi.contains(box)

    def _take_face(self, face: int, body: int | None, scene: Scene) -> Shot | None:
        """Return the shot of a face, and of the body it belongs to; None if the filters refuse its pose or mouth."""
        pose, filters = scene.pose(face), self.plan.face_filters
        if not filters.accepts_pose(pose):
            return None
        if filters.looks_at_mouths and scene.mouth_cover(face) > filters.max_mouth_cover:
            return None
        box = scene.faces.boxes_xyxy[face]
        data = FaceData(scene.frame_box(box), float(scene.faces.scores[face]), pose)
        alone = self._shot(scene, scene.crop(box, FACE_MARGIN, FACE_LONGEST_SIDE_PX), data, None)
        if body is None:
            return alone
        both = _union(_with_margin(box, FACE_MARGIN), _with_margin(scene.bodies.boxes_xyxy[body], BODY_MARGIN))
        picture = scene.crop(both, 0.0, BODY_LONGEST_SIDE_PX)
        return replace(self._shot(scene, picture, data, _body_data(body, scene)), face_alone=alone)

    def _take_body(self, body: int, scene: Scene) -> Shot:
        crop = scene.crop(scene.bodies.boxes_xyxy[body], BODY_MARGIN, BODY_LONGEST_SIDE_PX)
        return self._shot(scene, crop, None, _body_data(body, scene))

    def _shot(self, scene: Scene, picture: Picture, face: FaceData | None, body: BodyData | None) -> Shot:
        wants_frame = self.plan.target.frame_store is not None and self.plan.full_frames.wants(
            has_face=face is not None, has_body=body is not None
        )
        return Shot(
            picture_rgb=picture,
            face=face,
            body=body,
            frame=scene.frame if wants_frame else None,
            frame_number=scene.frame.number,
            detected_at=scene.frame.captured_at,
            pts_s=scene.frame.pts_s,
        )


def _body_data(body: int, scene: Scene) -> BodyData:
    return BodyData(scene.frame_box(scene.bodies.boxes_xyxy[body]), float(scene.bodies.scores[body]))


def _with_margin(box_xyxy: FloatArray, margin: float) -> FloatArray:
    border = (box_xyxy[2:] - box_xyxy[:2]) * margin
    return np.concatenate([box_xyxy[:2] - border, box_xyxy[2:] + border]).astype(np.float32)


def _union(left_xyxy: FloatArray, right_xyxy: FloatArray) -> FloatArray:
    corners = np.minimum(left_xyxy[:2], right_xyxy[:2]), np.maximum(left_xyxy[2:], right_xyxy[2:])
    return np.concatenate(corners).astype(np.float32)
