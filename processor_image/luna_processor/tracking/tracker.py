"""Follow faces through a stream: one `Tracker` per stream owns its tracks and their ids.

ByteTrack's idea: detections of high score continue tracks first, then weak ones may continue what is left (a face that
turns or blurs scores low but is still where it was predicted), and only strong ones begin tracks.
A track is *confirmed* when its detections have gathered enough evidence; only confirmed tracks are anybody's business.
Nothing is random and no clock is read: the same pictures give the same tracks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from luna_processor.detections import Detections, FloatArray
from luna_processor.tracking import kalman
from luna_processor.tracking.association import Matching, assign, distance_costs, overlap_costs


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Named thresholds of the tracker."""

    strong_score: float = 0.5
    """Detections from here on are associated first."""
    weak_score: float = 0.25
    """Detections below are ignored."""
    birth_score: float = 0.55
    """A detection from here on that continues nothing begins a track."""
    min_iou: float = 0.2
    """Overlap with the prediction that continues a track with a strong detection."""
    min_iou_weak: float = 0.4
    """The same with a weak detection, which must lie better."""
    max_deviations: float = 3.0
    """Distance from the prediction, in its standard deviations, that continues a track without overlap."""
    evidence_floor: float = 0.4
    """A detection counts as evidence with its score above this; weaker ones are no evidence."""
    evidence_needed: float = 0.8
    """Sum that confirms: 2 clear views (0.9), 4 of 0.6, 8 of 0.5: passing false alarms do not live that long."""
    max_lost_s: float = 1.44
    """A track ends after this long without a detection (FaceStream: 36 frames, at 25 frames per second)."""
    max_lost_unconfirmed_s: float = 0.3
    """The same before it is confirmed, once a picture has missed it."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A detection that belongs to a track."""

    track_id: str
    detection: int
    """Index into the detections of the picture."""
    is_confirmed: bool


@dataclass(frozen=True, slots=True)
class EndedTrack:
    """A track that is over."""

    track_id: str
    is_confirmed: bool
    first_seen_s: float
    last_seen_s: float
    detection_count: int


@dataclass(frozen=True, slots=True)
class TrackUpdate:
    """What one picture changed."""

    observations: tuple[Observation, ...]
    ended: tuple[EndedTrack, ...]


class _Track:
    """State of one track; only its tracker touches it."""

    def __init__(self, track_id: str, box_xyxy: FloatArray, pts_s: float) -> None:
        self.track_id = track_id
        self.state = kalman.start(box_xyxy)
        self.last_xyxy = box_xyxy
        self.first_seen_s = pts_s
        self.last_seen_s = pts_s
        self.detection_count = 0
        self.evidence = 0.0
        self.is_confirmed = False

    def ended(self) -> EndedTrack:
        return EndedTrack(self.track_id, self.is_confirmed, self.first_seen_s, self.last_seen_s, self.detection_count)


class Tracker:
    """Turns the detections of successive pictures into tracks.

    Args:
        settings: thresholds.
        new_id: makes the id of a track; every call must give another one.
    """

    def __init__(self, settings: TrackerSettings, new_id: Callable[[], str]) -> None:
        self._settings = settings
        self._new_id = new_id
        self._tracks: list[_Track] = []
        self._now_s: float | None = None

    @property
    def confirmed_count(self) -> int:
        """Number of confirmed tracks that have not ended."""
        return sum(track.is_confirmed for track in self._tracks)

    def update(self, detections: Detections, pts_s: float) -> TrackUpdate:
        """Take in the detections of the next picture.

        Args:
            detections: of the picture, boxes in pixels of a frame that keeps its size.
            pts_s: time of the picture in seconds; a step backwards counts as no time passed.
        """
        previous_s = self._now_s
        self._predict(pts_s)
        ended = self._end_lost(pts_s, previous_s)
        # In an order of their own, so that ties do not depend on the detector's.
        order = np.lexsort(detections.boxes_xyxy.T)
        observations = self._take_in(detections.take(order), pts_s)
        return TrackUpdate(
            tuple(replace(seen, detection=int(order[seen.detection])) for seen in observations), tuple(ended)
        )

    def _take_in(self, detections: Detections, pts_s: float) -> list[Observation]:
        """Continue tracks with the detections and begin new ones with what is left."""
        pairs = self._associate(detections)
        observations = [self._observe(track, index, detections, pts_s) for track, index in pairs]
        taken = {observation.detection for observation in observations}
        for index in np.flatnonzero(detections.scores >= self._settings.birth_score):
            if int(index) not in taken:
                track = _Track(self._new_id(), detections.boxes_xyxy[index], pts_s)
                self._tracks.append(track)
                observations.append(self._observe(track, int(index), detections, pts_s))
        return observations

    def end_all(self) -> tuple[EndedTrack, ...]:
        """End every track: the stream is over or interrupted, or its picture was cut."""
        ended = tuple(track.ended() for track in self._tracks)
        self._tracks.clear()
        self._now_s = None
        return ended

    def _predict(self, pts_s: float) -> None:
        elapsed_s = 0.0 if self._now_s is None else max(0.0, pts_s - self._now_s)
        for track in self._tracks:
            track.state = kalman.predict(track.state, elapsed_s)
        self._now_s = pts_s

    def _end_lost(self, pts_s: float, previous_s: float | None) -> list[EndedTrack]:
        lost = [track for track in self._tracks if pts_s - track.last_seen_s > self._patience_s(track, previous_s)]
        self._tracks = [track for track in self._tracks if track not in lost]
        return [track.ended() for track in lost]

    def _patience_s(self, track: _Track, previous_s: float | None) -> float:
        settings = self._settings
        # What the last picture showed was missed by none since, however few pictures a second there are.
        is_fresh = track.last_seen_s == previous_s
        return settings.max_lost_s if track.is_confirmed or is_fresh else settings.max_lost_unconfirmed_s

    def _associate(self, detections: Detections) -> list[tuple[_Track, int]]:
        """Pair tracks with detections: strong ones, confirmed tracks first; then weak ones; then by distance."""
        settings = self._settings
        strong = np.flatnonzero(detections.scores >= settings.strong_score)
        weak = np.flatnonzero((detections.scores >= settings.weak_score) & (detections.scores < settings.strong_score))
        confirmed = [track for track in self._tracks if track.is_confirmed]
        tentative = [track for track in self._tracks if not track.is_confirmed]
        pairs: list[tuple[_Track, int]] = []

        def pair_up(
            tracks: list[_Track], chosen: Sequence[int], by_overlap: float | None
        ) -> tuple[list[_Track], list[int]]:
            boxes = detections.boxes_xyxy[np.array(chosen, np.intp)]
            states = [track.state for track in tracks]
            costs = (
                distance_costs(states, boxes, settings.max_deviations)
                if by_overlap is None
                else overlap_costs(
                    [state.box_xyxy for state in states], [track.last_xyxy for track in tracks], boxes, by_overlap
                )
            )
            matching: Matching = assign(costs)
            pairs.extend((tracks[row], int(chosen[column])) for row, column in matching.pairs)
            return [tracks[row] for row in matching.alone_tracks], [int(chosen[c]) for c in matching.alone_detections]

        confirmed, open_strong = pair_up(confirmed, strong.tolist(), settings.min_iou)
        tentative, open_strong = pair_up(tentative, open_strong, settings.min_iou)
        alone, _ = pair_up(confirmed + tentative, weak.tolist(), settings.min_iou_weak)
        pair_up(alone, open_strong, None)
        return pairs

    def _observe(self, track: _Track, index: int, detections: Detections, pts_s: float) -> Observation:
        settings = self._settings
        if track.detection_count:
            track.state = kalman.correct(track.state, detections.boxes_xyxy[index])
        track.last_xyxy = detections.boxes_xyxy[index]
        track.last_seen_s = pts_s
        track.detection_count += 1
        track.evidence += max(0.0, float(detections.scores[index]) - settings.evidence_floor)
        track.is_confirmed = track.is_confirmed or track.evidence >= settings.evidence_needed
        return Observation(track.track_id, index, track.is_confirmed)
