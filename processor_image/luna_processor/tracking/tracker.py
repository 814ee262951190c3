"""Follow faces through a stream: one `Tracker` per stream owns its tracks and their ids.

ByteTrack's idea: detections of high score continue tracks first, then weak ones may continue what is left (a face that
turns or blurs scores low but is still where it was predicted), and only strong ones begin tracks.
A track is *confirmed* when its detections have gathered enough evidence; only confirmed tracks are anybody's business.
Nothing is random and no clock is read: the same pictures give the same tracks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from luna_processor.tracking import kalman
from luna_processor.tracking.association import CostMatrix, assign, distance_costs, overlap_costs
from luna_processor.vision.detections import Detections, FloatArray

MAX_JITTER_S = 1.0
"""Time stamps that step back by more begin anew (a counter that wrapped, a recording that is looped)."""


OLD_PLACE_IOU = 0.5
"""Overlap of somebody who was out of sight with where he was last, where that is all that tells who he is."""
MAX_BLIND_LEAP = 0.5
"""A face that moves further than this between two searches, in its sizes, is looked for in between."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Named thresholds of the tracker; as they stand for faces."""

    strong_score: float = 0.5
    """Detections from here on are associated first."""
    weak_score: float = 0.25
    """Detections below are ignored."""
    birth_score: float = 0.55
    """A detection from here on that continues nothing begins a track."""
    min_iou: float = 0.1
    """Overlap with the prediction that continues a track with a strong detection; heads are small and quick."""
    min_iou_weak: float = 0.4
    """The same with a weak detection, which must lie better."""
    max_deviations: float = 3.0
    """Distance from the prediction, in its standard deviations, that continues a track without overlap."""
    finds_lost_by_distance: bool = True
    """Whether that also holds after a picture missed it; otherwise it is where predicted, or just where it was."""
    evidence_floor: float = 0.4
    """A detection counts as evidence with its score above this; weaker ones are no evidence."""
    evidence_needed: float = 0.8
    """Sum that confirms: 2 clear views (0.9), 4 of 0.6, 8 of 0.5: passing false alarms do not live that long."""
    stops_at_once: bool = True
    """Whether it may also be where the last picture showed it: heads stop and turn round, and cameras shake."""
    max_lost_s: float = 1.44
    """A track ends after this long without a detection (FaceStream: 36 frames, at 25 frames per second)."""
    max_lost_unconfirmed_s: float = 0.3
    """The same before it is confirmed, once a picture has missed it."""
    motion: kalman.Motion = kalman.HEADS
    """How what is followed moves."""


def for_bodies(settings: TrackerSettings) -> TrackerSettings:
    """Return the thresholds as they stand for bodies, which are large and slow.

    Where one goes out, another often comes in. That place lies within any distance of the first one's prediction, but
    does not overlap with it: the prediction has left the picture by then. And the place where somebody was a moment ago
    is taken by his neighbour sooner than he stops.
    """
    return replace(settings, min_iou=0.2, finds_lost_by_distance=False, stops_at_once=False, motion=kalman.BODIES)


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

    def __init__(self, track_id: str, box_xyxy: FloatArray, motion: kalman.Motion, now_s: float) -> None:
        self.track_id = track_id
        self.state = kalman.start(box_xyxy, motion)
        self.last_xyxy = box_xyxy
        self.first_seen_s = now_s
        self.last_seen_s = now_s
        self.is_fresh = True
        """Whether the last picture showed it."""
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
        self._clock = _Clock()

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
        elapsed_s = self._clock.advance(pts_s)
        for track in self._tracks:
            track.state = kalman.predict(track.state, self._settings.motion, elapsed_s)
        ended = self._end_lost()
        # In an order of their own, so that ties do not depend on the detector's.
        order = np.lexsort(detections.boxes_xyxy.T)
        observations = self._take_in(detections.take(order))
        for track in self._tracks:
            track.is_fresh = track.last_seen_s == self._clock.now_s
        return TrackUpdate(
            tuple(replace(seen, detection=int(order[seen.detection])) for seen in observations), tuple(ended)
        )

    def is_doubtful(self, pts_s: float) -> bool:
        """Return whether a picture at this time should be searched, though another one was a short while ago.

        So it is while somebody new is not confirmed, and when somebody moves so fast that he could be lost. Nobody is
        looked for who was not there in the last picture that was searched.
        """
        return any(
            not track.is_confirmed or kalman.leap(track.state, self._clock.until(pts_s)) > MAX_BLIND_LEAP
            for track in self._tracks
            if track.is_fresh
        )

    def _take_in(self, detections: Detections) -> list[Observation]:
        """Continue tracks with the detections and begin new ones with what is left."""
        pairs = self._associate(detections)
        observations = [self._observe(track, index, detections) for track, index in pairs]
        taken = {observation.detection for observation in observations}
        for index in np.flatnonzero(detections.scores >= self._settings.birth_score):
            if int(index) not in taken:
                box, motion = detections.boxes_xyxy[index], self._settings.motion
                track = _Track(self._new_id(), box, motion, self._clock.now_s)
                self._tracks.append(track)
                observations.append(self._observe(track, int(index), detections))
        return observations

    def end_all(self) -> tuple[EndedTrack, ...]:
        """End every track: the stream is over or interrupted, or its picture was cut."""
        ended = tuple(track.ended() for track in self._tracks)
        self._tracks.clear()
        return ended

    def _end_lost(self) -> list[EndedTrack]:
        now_s = self._clock.now_s
        lost = [track for track in self._tracks if now_s - track.last_seen_s > self._patience_s(track)]
        self._tracks = [track for track in self._tracks if track not in lost]
        return [track.ended() for track in lost]

    def _patience_s(self, track: _Track) -> float:
        settings = self._settings
        # What the last picture showed was missed by none since, however few pictures a second there are.
        has_time = track.is_confirmed or track.is_fresh
        return settings.max_lost_s if has_time else settings.max_lost_unconfirmed_s

    def _associate(self, detections: Detections) -> list[tuple[_Track, int]]:
        """Pair tracks with detections: strong ones, confirmed tracks first; then weak ones; then by distance."""
        settings = self._settings
        strong = np.flatnonzero(detections.scores >= settings.strong_score)
        weak = np.flatnonzero((detections.scores >= settings.weak_score) & (detections.scores < settings.strong_score))
        confirmed = [track for track in self._tracks if track.is_confirmed]
        tentative = [track for track in self._tracks if not track.is_confirmed]
        pairs: list[tuple[_Track, int]] = []

        def pair_up(
            tracks: list[_Track], chosen: Sequence[int], costs_of: Callable[[list[_Track], FloatArray], CostMatrix]
        ) -> tuple[list[_Track], list[int]]:
            if not tracks or not chosen:  # as mostly: who is followed was found, and nobody else is there
                return tracks, list(chosen)
            matching = assign(costs_of(tracks, detections.boxes_xyxy[np.array(chosen, np.intp)]))
            pairs.extend((tracks[row], int(chosen[column])) for row, column in matching.pairs)
            return [tracks[row] for row in matching.alone_tracks], [int(chosen[c]) for c in matching.alone_detections]

        confirmed, open_strong = pair_up(confirmed, strong.tolist(), partial(self._overlaps, min_iou=settings.min_iou))
        tentative, open_strong = pair_up(tentative, open_strong, partial(self._overlaps, min_iou=settings.min_iou))
        alone, _ = pair_up(confirmed + tentative, weak.tolist(), partial(self._overlaps, min_iou=settings.min_iou_weak))
        if not settings.finds_lost_by_distance:
            lost = [track for track in alone if not track.is_fresh]
            _, open_strong = pair_up(lost, open_strong, _in_old_places)
            alone = [track for track in alone if track.is_fresh]
        pair_up(alone, open_strong, self._distances)
        return pairs

    def _overlaps(self, tracks: list[_Track], boxes_xyxy: FloatArray, min_iou: float) -> CostMatrix:
        predicted = [track.state.box_xyxy for track in tracks]
        last = [
            track.last_xyxy if track.is_fresh and self._settings.stops_at_once else box_xyxy
            for track, box_xyxy in zip(tracks, predicted, strict=True)
        ]
        return overlap_costs(predicted, last, boxes_xyxy, min_iou)

    def _distances(self, tracks: list[_Track], boxes_xyxy: FloatArray) -> CostMatrix:
        settings = self._settings
        return distance_costs([each.state for each in tracks], settings.motion, boxes_xyxy, settings.max_deviations)

    def _observe(self, track: _Track, index: int, detections: Detections) -> Observation:
        settings = self._settings
        if track.detection_count:
            track.state = kalman.correct(track.state, settings.motion, detections.boxes_xyxy[index])
        track.last_xyxy = detections.boxes_xyxy[index]
        track.last_seen_s = self._clock.now_s
        track.detection_count += 1
        track.evidence += max(0.0, float(detections.scores[index]) - settings.evidence_floor)
        track.is_confirmed = track.is_confirmed or track.evidence >= settings.evidence_needed
        return Observation(track.track_id, index, track.is_confirmed)


def _in_old_places(tracks: list[_Track], boxes_xyxy: FloatArray) -> CostMatrix:
    last = [track.last_xyxy for track in tracks]
    return overlap_costs(last, last, boxes_xyxy, OLD_PLACE_IOU)


class _Clock:
    """Seconds that never run backwards, whatever the time stamps of a source do."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._offset_s = 0.0
        """From time stamps to `now_s`."""

    def until(self, pts_s: float) -> float:
        """Return the seconds from now to a time stamp."""
        return max(0.0, pts_s + self._offset_s - self.now_s)

    def advance(self, pts_s: float) -> float:
        """Take in the next time stamp; returns the seconds that have passed."""
        if self.now_s - (pts_s + self._offset_s) > MAX_JITTER_S:
            self._offset_s = self.now_s - pts_s
        elapsed_s = self.until(pts_s)
        self.now_s += elapsed_s
        return elapsed_s
