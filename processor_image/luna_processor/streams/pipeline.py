"""One connection of one stream, frame by frame: detect, follow, choose, send. Wiring only; the rules are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol
from weakref import WeakKeyDictionary

from luna_processor.delivery.events import BestShot, ShotEvent
from luna_processor.delivery.identity import identities_of
from luna_processor.engines.preparation import SearchedPicture, thumbnail_of
from luna_processor.frames import Frame, SourceInfo
from luna_processor.selection.chooser import Chooser
from luna_processor.selection.shots import Shot
from luna_processor.streams.plan import AnalyticsPlan, StreamPlan
from luna_processor.streams.scene import Estimators, Found, Scene
from luna_processor.streams.search import SearchRhythm
from luna_processor.streams.stats import StreamStats
from luna_processor.tracking.following import BODY_MODES, FACE_MODES, Following
from luna_processor.tracking.subjects import SubjectsUpdate
from luna_processor.tracking.tracker import TrackerSettings
from luna_processor.vision.detections import Detections
from luna_processor.vision.imaging import jpeg
from luna_processor.vision.scenecut import SceneCuts
from luna_processor.vision.tiles import Tile, merged, tiles_of
from luna_processor.vision.view import View, resolve
from luna_streams.stream import MODE_HUMANS, Mode

LOST_FRAMES = 36
"""Frames without a detection after which a track ends (FaceStream's skip-frames)."""
LOST_LIMITS_S = (0.5, 3.0)
"""Bounds of the same in seconds: at 5 frames per second 36 frames would join two visits, at 120 split one."""
SHOT_JPEG_QUALITY = 92
FRAME_JPEG_QUALITY = 85


class Detector(Protocol):
    """Finds faces, or bodies."""

    def picture(self, frame: Frame, view: View) -> SearchedPicture:
        """Return what is searched."""

    def detect(self, picture: SearchedPicture, view: View) -> Detections:
        """Return what was found, in pixels of the view."""


class Sink(Protocol):
    """Takes best shots."""

    def send(self, event: ShotEvent) -> None:
        """Accept an event; may block while too many wait."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one frame brought, for whoever looks on."""

    scene: Scene
    updates: Mapping[Mode, SubjectsUpdate]
    """Who is seen, by what the analytics look for."""
    taken: frozenset[tuple[Mode, str]]
    """Mode and track of whom a shot of this frame is the best so far, or among the best."""
    is_cut: bool
    """Whether all tracks before this frame have ended."""
    is_searched: bool = True
    """Whether faces and bodies were looked for; otherwise nobody is seen, and nobody is gone."""


@dataclass(frozen=True, slots=True)
class Stages:
    """What all streams of the process share."""

    faces: Detector
    bodies: Detector
    estimators: Estimators
    search_every: int = 1
    """Every n-th frame of a source is searched; see `SearchRhythm`."""
    body_tile_rows: int = 0
    """Bodies are also looked for in pieces of the view; see `tiles_of`."""


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
        self._view = View(cut, plan.rotation, info.width, info.height, plan.longest_side)
        self._stages = stages
        self._sink = sink
        self._stats = stats
        self._is_file = info.duration_s is not None or plan.source.kind == "videofile"
        modes = {item.mode for item in plan.analytics}
        self._needs_faces = bool(modes.intersection(FACE_MODES))
        self._needs_bodies = bool(modes.intersection(BODY_MODES))
        self._counted_modes = {MODE_HUMANS} if MODE_HUMANS in modes else modes
        self._identities = identities_of(plan)
        self._following = Following(modes, _tracker_settings(plan, info.frame_rate), self._identities.track_id)
        self._cuts = SceneCuts()
        self._rhythm = SearchRhythm(stages.search_every)
        self._tiles = tiles_of(self._view, stages.body_tile_rows)
        self._frame_jpegs: WeakKeyDictionary[Frame, bytes] = WeakKeyDictionary()
        """Of frames that shots still hold: one may go out with several events."""
        self._frame_count = 0
        self._choosers = [Chooser(item, resolve(item.droi, info.width, info.height, "droi")) for item in plan.analytics]

    def step(self, frame: Frame) -> Step:
        """Analyse one frame.

        Raises:
            EngineFailed: if inference fails.
        """
        self._identities.begin_frame(frame.number)
        picture = self._main_detector.picture(frame, self._view)
        seen = thumbnail_of(picture)
        is_cut = seen is not None and self._cuts.is_cut(seen)
        is_doubtful = is_cut or self._following.is_doubtful(frame.pts_s)
        is_searched = self._rhythm.is_due(frame.number, frame.pts_s, is_doubtful=is_doubtful)
        found = self._search(frame, picture) if is_searched else Found(Detections.none(), Detections.none())
        if seen is None and (seen := thumbnail_of(picture)) is not None:  # a frame on a GPU shows itself when searched
            is_cut = self._cuts.is_cut(seen)
        if is_cut:
            self.finish()
        scene = Scene(frame, self._view, found, self._stages.estimators, self._frame_count)
        self._frame_count += 1
        updates = self._follow(scene) if is_searched else self._following.nothing_new()
        taken = self._choose(scene, updates)
        return Step(scene, updates, taken, is_cut, is_searched)

    def finish(self) -> None:
        """End all tracks and send what they have: the source is over or interrupted, or the picture was cut."""
        for mode, ended in self._following.end_all():
            self._end(mode, ended.track_id, is_confirmed=ended.is_confirmed)

    @property
    def _main_detector(self) -> Detector:
        """The one whose picture tells cuts of the video, also in frames that are not searched."""
        return self._stages.faces if self._needs_faces else self._stages.bodies

    def _search(self, frame: Frame, picture: SearchedPicture) -> Found:
        """Find what the analytics want.

        Args:
            frame: to search.
            picture: of the frame, made by the main detector.
        """
        faces, bodies = Detections.none(), Detections.none()
        if self._needs_bodies:
            detector = self._stages.bodies
            searched = detector.picture(frame, self._view) if self._needs_faces else picture
            bodies = detector.detect(searched, self._view)
            if self._tiles:
                bodies = merged(self._view, bodies, [(tile, _found_in(detector, frame, tile)) for tile in self._tiles])
        if self._needs_faces:
            faces = self._stages.faces.detect(picture, self._view)
        return Found(faces, bodies)

    def _follow(self, scene: Scene) -> Mapping[Mode, SubjectsUpdate]:
        """Continue the tracks with what was found; what has ended is sent."""
        updates = self._following.update(scene.faces, scene.bodies, scene.frame.pts_s)
        for mode, update in updates.items():
            for ended in update.ended:
                self._end(mode, ended.track_id, is_confirmed=ended.is_confirmed)
        found = sum(len(updates[mode].seen) for mode in self._counted_modes)
        self._stats.frames_searched += 1
        self._stats.detection_count = found
        self._stats.detections_total += found
        self._stats.live_tracks = self._following.confirmed_count
        return updates

    def _choose(self, scene: Scene, updates: Mapping[Mode, SubjectsUpdate]) -> frozenset[tuple[Mode, str]]:
        """Let the analytics choose their shots and send what is due; returns of whom a shot was kept."""
        taken: set[tuple[Mode, str]] = set()
        for chooser in self._choosers:
            update = updates[chooser.plan.mode]
            for track_id, into in update.merged:
                chooser.merge(track_id, into)
            chooser.consider(update.seen, scene)
            for subject in update.seen:
                if chooser.keeps_shot_of(subject, scene):
                    taken.add((chooser.plan.mode, subject.track_id))
            for track_id, shots in chooser.due(scene):
                self._send(chooser.plan, track_id, shots)
        return frozenset(taken)

    def _end(self, mode: int, track_id: str, *, is_confirmed: bool) -> None:
        self._stats.tracks_total += is_confirmed and mode in self._counted_modes
        for chooser in self._choosers:
            if chooser.plan.mode == mode:
                sets = chooser.end(track_id)
                for shots in sets if is_confirmed else ():
                    self._send(chooser.plan, track_id, shots)

    def _send(self, plan: AnalyticsPlan, track_id: str, shots: tuple[Shot, ...]) -> None:
        encoded = tuple(self._encode(shot) for shot in shots)
        analytics = self._plan.analytics.index(plan)
        self._sink.send(
            ShotEvent(
                stream_id=self._plan.stream_id,
                version=self._plan.version,
                source=self._plan.name,
                location=self._plan.location,
                track_id=track_id,
                target=plan.target,
                shots=encoded,
                request_id=self._identities.request_id(analytics, track_id, encoded[0].kind),
            )
        )

    def _encode(self, shot: Shot) -> BestShot:
        return BestShot(
            jpeg=jpeg(shot.picture_rgb, SHOT_JPEG_QUALITY),
            frame_jpeg=self._frame_jpeg(shot.frame) if shot.frame else None,
            face=shot.face,
            body=shot.body,
            detected_at=shot.detected_at,
            pts_s=shot.pts_s if self._is_file else None,
        )

    def _frame_jpeg(self, frame: Frame) -> bytes:
        encoded = self._frame_jpegs.get(frame)
        if encoded is None:
            encoded = self._frame_jpegs[frame] = jpeg(frame.rgb(), FRAME_JPEG_QUALITY)
        return encoded


def _found_in(detector: Detector, frame: Frame, tile: Tile) -> Detections:
    return detector.detect(detector.picture(frame, tile.view), tile.view)


def _tracker_settings(plan: StreamPlan, frame_rate: float) -> TrackerSettings:
    low, high = LOST_LIMITS_S
    lost_s = LOST_FRAMES / frame_rate if frame_rate > 0 else high
    found = TrackerSettings(max_lost_s=min(high, max(low, lost_s)))
    # Who is in one picture of a folder need not be in the next; in a video, that is a false alarm.
    return replace(found, evidence_needed=0.0) if plan.source.kind == "images" else found
