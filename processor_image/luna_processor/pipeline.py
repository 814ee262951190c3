"""One connection of one stream, frame by frame: detect, follow, choose, send. Wiring only; the rules are elsewhere."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from luna_processor.bestshot import EDGE_PX, Look, Moment, Selection, frontality, quality, sharpness
from luna_processor.detections import Detections, FloatArray
from luna_processor.events import BestShot, ShotEvent, new_request_id
from luna_processor.frames import Frame, SourceInfo
from luna_processor.headpose import HeadPose
from luna_processor.imaging import jpeg, shrink
from luna_processor.plan import AnalyticsPlan, StreamPlan
from luna_processor.scenecut import SceneCuts
from luna_processor.stats import StreamStats
from luna_processor.tracking.tracker import EndedTrack, Tracker, TrackerSettings
from luna_processor.view import Picture, PixelRect, View, crop_rect, resolve

LOST_FRAMES = 36
"""Frames without a detection after which a track ends (FaceStream's skip-frames)."""
LOST_LIMITS_S = (0.5, 3.0)
"""Bounds of the same in seconds: at 5 frames per second 36 frames would join two visits, at 120 split one."""
FACE_MARGIN = 0.4
"""Picture around the face box on each side, relative to the box: LUNA looks for the face in it once more."""
FACE_LONGEST_SIDE_PX = 800
FACE_JPEG_QUALITY = 92
FRAME_JPEG_QUALITY = 85


class Detector(Protocol):
    """Finds faces."""

    def picture(self, frame: Frame, view: View) -> Picture:
        """Return what is searched."""

    def detect(self, picture: Picture, view: View) -> Detections:
        """Return the faces in pixels of the view."""


class PoseEstimator(Protocol):
    """Measures how heads are turned."""

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> HeadPose:
        """Return the pose of the head in a box of the view."""


class MouthEstimator(Protocol):
    """Measures how far mouths are covered."""

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        """Return the covered part of the mouth of the face in a box of the view, 0 to 1."""


class Sink(Protocol):
    """Takes best shots."""

    def send(self, event: ShotEvent) -> None:
        """Accept an event; may block while too many wait."""


@dataclass(frozen=True, slots=True)
class Stages:
    """What all streams of the process share."""

    detector: Detector
    pose: PoseEstimator
    mouth: MouthEstimator


@dataclass(frozen=True, slots=True, eq=False)
class _Shot:
    """A kept candidate; the frame is held only where a frame store wants it."""

    face_rgb: Picture
    frame: Frame | None
    box_xyxy: FloatArray
    score: float
    pose: HeadPose
    detected_at: datetime
    pts_s: float


class _Scene:
    """One frame under analysis; pictures and poses are made when first asked for, at most once."""

    def __init__(self, frame: Frame, view: View, detections: Detections, stages: Stages) -> None:
        self.frame = frame
        self.view = view
        self.detections = detections
        self.moment = Moment(frame.pts_s, frame.number)
        self._stages = stages
        self._rgb: Picture | None = None
        self._luma: Picture | None = None
        self._poses: dict[int, HeadPose] = {}
        self._mouths: dict[int, float] = {}
        self._qualities: dict[int, float] = {}

    @property
    def rgb(self) -> Picture:
        if self._rgb is None:
            self._rgb = self.view.apply(self.frame.rgb())
        return self._rgb

    def pose(self, index: int) -> HeadPose:
        if index not in self._poses:
            self._poses[index] = self._stages.pose.estimate(self.rgb, self.detections.boxes_xyxy[index])
        return self._poses[index]

    def mouth_cover(self, index: int) -> float:
        if index not in self._mouths:
            self._mouths[index] = self._stages.mouth.estimate(self.rgb, self.detections.boxes_xyxy[index])
        return self._mouths[index]

    def frame_box(self, index: int) -> FloatArray:
        """Return a box in pixels of the frame, cut at the edges of the view."""
        limits = np.array([self.view.width, self.view.height] * 2, np.float32)
        return self.view.to_frame(np.clip(self.detections.boxes_xyxy[index], 0, limits))

    def quality(self, index: int) -> float:
        if index not in self._qualities:
            self._qualities[index] = self._measure(index)
        return self._qualities[index]

    def face(self, index: int) -> Picture:
        rect = crop_rect(self.detections.boxes_xyxy[index], FACE_MARGIN, self.view.width, self.view.height)
        return shrink(_cut(self.rgb, rect), FACE_LONGEST_SIDE_PX).copy()

    def _measure(self, index: int) -> float:
        if self._luma is None:
            self._luma = self.view.apply(self.frame.luma())
        box = self.detections.boxes_xyxy[index]
        view = self.view
        touches_edge = bool(
            box[0] < EDGE_PX or box[1] < EDGE_PX or box[2] > view.width - EDGE_PX or box[3] > view.height - EDGE_PX
        )
        face = _cut(self._luma, crop_rect(box, 0.0, view.width, view.height))
        return quality(
            Look(
                score=float(self.detections.scores[index]),
                sharpness=sharpness(face),
                height_px=float(box[3] - box[1]),
                frontality=frontality(self.detections.landmarks_xy[index]),
                touches_edge=touches_edge,
            )
        )


class _Chooser:
    """Best shots of all tracks for one analytics."""

    def __init__(self, plan: AnalyticsPlan, droi: PixelRect) -> None:
        self.plan = plan
        self._droi = droi
        self._selections: dict[str, Selection[_Shot]] = {}

    def consider(self, track_id: str, index: int, scene: _Scene) -> None:
        selection = self._selections.setdefault(track_id, Selection(self.plan.sending, scene.moment))
        if scene.frame.is_damaged:
            return
        score = float(scene.detections.scores[index])
        if self.plan.filters.accepts_score(score) and self._droi.contains(scene.frame_box(index)):
            selection.consider(scene.moment, scene.quality(index), lambda: self._take(index, scene))

    def due(self, track_id: str, now: Moment) -> tuple[_Shot, ...]:
        return self._selections[track_id].due(now)

    def end(self, track_id: str) -> tuple[_Shot, ...]:
        selection = self._selections.pop(track_id, None)
        return selection.rest() if selection else ()

    def _take(self, index: int, scene: _Scene) -> _Shot | None:
        pose = scene.pose(index)
        filters = self.plan.filters
        if not filters.accepts_pose(pose):
            return None
        if filters.looks_at_mouths and scene.mouth_cover(index) > filters.max_mouth_cover:
            return None
        return _Shot(
            face_rgb=scene.face(index),
            frame=scene.frame if self.plan.target.frame_store else None,
            box_xyxy=scene.frame_box(index),
            score=float(scene.detections.scores[index]),
            pose=pose,
            detected_at=scene.frame.captured_at,
            pts_s=scene.frame.pts_s,
        )


class Pipeline:
    """Turns the frames of one connection into events.

    Args:
        plan: of the stream.
        info: of its open source.
        stages: what all streams share.
        sink: takes the events.
        stats: counters of the stream.

    Raises:
        UnsuitableSource: if a region of the plan lies outside the frame.
    """

    def __init__(self, plan: StreamPlan, info: SourceInfo, stages: Stages, sink: Sink, stats: StreamStats) -> None:
        cut = resolve(plan.roi, info.width, info.height, "roi")
        self._plan = plan
        self._view = View(cut, plan.rotation, info.width, info.height)
        self._stages = stages
        self._sink = sink
        self._stats = stats
        self._is_file = info.duration_s is not None or plan.source.kind == "videofile"
        self._tracker = Tracker(_tracker_settings(info.frame_rate), lambda: str(uuid.uuid4()))
        self._cuts = SceneCuts()
        self._choosers = [
            _Chooser(item, resolve(item.droi, info.width, info.height, "droi")) for item in plan.analytics
        ]

    def step(self, frame: Frame) -> None:
        """Analyse one frame.

        Raises:
            EngineFailed: if inference fails.
        """
        picture = self._stages.detector.picture(frame, self._view)
        detections = self._stages.detector.detect(picture, self._view)
        if self._cuts.is_cut(picture):
            self.finish()
        update = self._tracker.update(detections, frame.pts_s)
        self._end(update.ended)
        scene = _Scene(frame, self._view, detections, self._stages)
        for observation in update.observations:
            for chooser in self._choosers:
                chooser.consider(observation.track_id, observation.detection, scene)
                if observation.is_confirmed:
                    self._send(chooser.plan, observation.track_id, chooser.due(observation.track_id, scene.moment))
        self._stats.detection_count = len(update.observations)
        self._stats.detections_total += len(update.observations)
        self._stats.live_tracks = self._tracker.confirmed_count

    def finish(self) -> None:
        """End all tracks and send what they have: the source is over or interrupted, or the picture was cut."""
        self._end(self._tracker.end_all())

    def _end(self, tracks: tuple[EndedTrack, ...]) -> None:
        for track in tracks:
            self._stats.tracks_total += track.is_confirmed
            for chooser in self._choosers:
                shots = chooser.end(track.track_id)
                if track.is_confirmed:
                    self._send(chooser.plan, track.track_id, shots)

    def _send(self, plan: AnalyticsPlan, track_id: str, shots: tuple[_Shot, ...]) -> None:
        if not shots:
            return
        self._sink.send(
            ShotEvent(
                stream_id=self._plan.stream_id,
                version=self._plan.version,
                source=self._plan.name,
                location=self._plan.location,
                track_id=track_id,
                target=plan.target,
                shots=tuple(self._encode(shot) for shot in shots),
                request_id=new_request_id(datetime.now(UTC)),
            )
        )

    def _encode(self, shot: _Shot) -> BestShot:
        return BestShot(
            face_jpeg=jpeg(shot.face_rgb, FACE_JPEG_QUALITY),
            frame_jpeg=jpeg(shot.frame.rgb(), FRAME_JPEG_QUALITY) if shot.frame else None,
            box_xyxy=shot.box_xyxy,
            score=shot.score,
            pose=shot.pose,
            detected_at=shot.detected_at,
            pts_s=shot.pts_s if self._is_file else None,
        )


def _tracker_settings(frame_rate: float) -> TrackerSettings:
    low, high = LOST_LIMITS_S
    lost_s = LOST_FRAMES / frame_rate if frame_rate > 0 else high
    return TrackerSettings(max_lost_s=min(high, max(low, lost_s)))


def _cut(picture: Picture, rect: PixelRect) -> Picture:
    return picture[rect.top : rect.bottom, rect.left : rect.right]
