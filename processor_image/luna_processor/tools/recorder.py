"""What becomes of an analysis: looks on while the pipeline runs, takes its events instead of a platform, and writes.

Everything is called by the run's analysing thread, but for what the properties say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ormsgpack

from luna_processor.delivery.accounts import Account
from luna_processor.delivery.events import EventRequest, ShotEvent
from luna_processor.delivery.formats.parts import detection_data, moment
from luna_processor.delivery.formats.requests import request_of
from luna_processor.streams.pipeline import Step
from luna_processor.streams.scene import Scene
from luna_processor.tools import folder as files
from luna_processor.tools.annotator import Annotator
from luna_processor.tools.folder import GrowingList, Lines
from luna_processor.tools.tracks import Part, Sighting, Track, TrackBook
from luna_processor.tracking.subjects import Subject
from luna_processor.vision.detections import Detections
from luna_streams.stream import Mode


@dataclass(frozen=True, slots=True)
class Limits:
    """When an analysis ends before its source does."""

    end_s: float | None = None
    """Position in the source; None for its end."""
    max_frames: int | None = None


class Recorder:
    """Writes an analysis into a folder.

    Args:
        folder: prepared.
        annotator: makes annotated pictures; None for none.
        limits: of the analysis.
        stop: ends the run; called at a limit, or when nothing can be written any more.

    Raises:
        OSError: if the folder cannot be written.
    """

    def __init__(self, folder: Path, annotator: Annotator | None, limits: Limits, stop: Callable[[], None]) -> None:
        self._folder = folder
        self._annotator = annotator
        self._limits = limits
        self._stop = stop
        self._book = TrackBook()
        self._tracks = GrowingList(folder / files.TRACKS)
        self._shots = GrowingList(folder / files.SHOTS)
        self._events = Lines(folder / files.EVENTS)
        self._unwritten: list[ShotEvent] = []
        self._shown: list[tuple[Track, Sighting]] = []
        self._last_pts_s: float | None = None
        self.frame_count = 0
        """Frames that were analysed; may be read by any thread, as the counts below."""
        self.is_at_limit = False
        """Whether a limit has ended the analysis."""
        self.failure: str | None = None
        """Why nothing could be written any more."""

    @property
    def track_count(self) -> int:
        """Confirmed tracks that have ended."""
        return self._tracks.count

    @property
    def shot_count(self) -> int:
        """Best shots that were sent."""
        return self._shots.count

    @property
    def event_count(self) -> int:
        """Events that were sent."""
        return self._events.count

    # -- the delivery --------------------------------------------------------------------------------------------

    def begin_run(self, start: object, *, is_repeatable: bool) -> Account:
        """Return the account of the run; nothing is known of earlier ones."""
        return Account()

    def finish_run(self, stream_id: str, version: int) -> None:
        """Nothing is kept beyond the run."""

    def forget_runs(self, stream_id: str) -> None:
        """Nothing is kept beyond the run."""

    def submit(self, event: ShotEvent, account: object, wait_unless: Callable[[], bool] | None) -> bool:
        """Take an event; it is written once its frame is known."""
        self._unwritten.append(event)
        return True

    def wait_delivered(self, account: object, unless: Callable[[], bool]) -> bool:
        """Return at once: nothing is ever on its way."""
        return True

    # -- looking on ----------------------------------------------------------------------------------------------

    def saw(self, step: Step) -> None:
        """Take down a frame."""
        self._writing(lambda: self._record(step))
        self._check_limits(step.scene.frame.pts_s)

    def disconnected(self) -> None:
        """Take down that all tracks have ended."""
        self._writing(self._end_all)

    def close(self) -> None:
        """Finish all files; call it once the run is over."""
        for each in (self._annotator, self._tracks, self._shots, self._events):
            if each is not None:
                self._writing(each.close, even_after_failure=True)

    # -- inside --------------------------------------------------------------------------------------------------

    def _writing(self, write: Callable[[], None], *, even_after_failure: bool = False) -> None:
        """Write, and end the run when that cannot be."""
        if self.failure is not None and not even_after_failure:
            return
        try:
            write()
        except OSError as e:
            self.failure = self.failure or f"{self._folder} cannot be written: {e.strerror or e}"
            self._stop()

    def _record(self, step: Step) -> None:
        if step.is_cut:
            self._end_all()
        seen: list[tuple[Track, Sighting]] = []
        for mode, update in step.updates.items():
            for track_id, into in update.merged:
                self._book.merge(mode, track_id, into)
            for subject in update.seen:
                sighting = _sighting(step.scene, subject, is_best=(mode, subject.track_id) in step.taken)
                track = self._book.saw(mode, subject.track_id, sighting, is_confirmed=subject.is_confirmed)
                seen.append((track, sighting))
        self._write_events()
        for mode, update in step.updates.items():
            for ended in update.ended:
                self._end(mode, ended.track_id)
        self.frame_count += 1
        if self._annotator is not None:
            # Boxes stay where they were in frames that were not searched: nobody is gone.
            self._shown = (
                seen
                if step.is_searched
                else [(track, replace(last, is_best_so_far=False)) for track, last in self._shown]
            )
            self._annotator.draw(step.scene.frame, self._shown)

    def _end(self, mode: Mode, track_id: str) -> None:
        if track := self._book.end(mode, track_id):
            self._tracks.append(track.to_json())

    def _end_all(self) -> None:
        self._write_events()
        for track in self._book.end_all():
            self._tracks.append(track.to_json())

    def _write_events(self) -> None:
        events, self._unwritten = self._unwritten, []
        for event in events:
            self._write_event(event)

    def _write_event(self, event: ShotEvent) -> None:
        number = self._book.number_of(event.track_id)
        pictures: list[str] = []
        for place, shot in enumerate(event.shots):
            stem = f"{files.PICTURES}/{self._events.count:05d}_{shot.kind}_{place}"
            self._write_picture(f"{stem}.jpg", shot.jpeg)
            if shot.frame_jpeg is not None:
                self._write_picture(f"{stem}_frame.jpg", shot.frame_jpeg)
            self._shots.append(
                {
                    "picture": f"{stem}.jpg",
                    "frame_picture": f"{stem}_frame.jpg" if shot.frame_jpeg is not None else None,
                    "event": self._events.count,
                    "place": place,
                    "track": number,
                    "track_id": event.track_id,
                    "kind": shot.kind,
                    **moment(shot),
                    **detection_data(shot),
                }
            )
            self._book.add_shot(event.track_id, f"{stem}.jpg")
            pictures.append(f"{stem}.jpg")
            if self._annotator is not None:
                self._annotator.sent(shot.jpeg, number)
        request = request_of(event, (None,) * len(event.shots))
        self._events.append(request_json(request) | {"pictures": pictures})

    def _write_picture(self, name: str, jpeg: bytes) -> None:
        (self._folder / name).write_bytes(jpeg)

    def _check_limits(self, pts_s: float) -> None:
        """End at the last frame that is wanted: the next one would lie behind the end."""
        limits = self._limits
        interval_s = pts_s - self._last_pts_s if self._last_pts_s is not None else 0.0
        self._last_pts_s = pts_s
        is_last = limits.max_frames is not None and self.frame_count >= limits.max_frames
        if is_last or (limits.end_s is not None and pts_s + interval_s > limits.end_s - 1e-6):
            self.is_at_limit = True
            self._stop()


def request_json(request: EventRequest) -> dict[str, Any]:
    """Return a request as JSON: without what authorizes it, and with sizes in place of pictures."""
    headers = {name: "***" if name.lower() == "authorization" else value for name, value in request.headers.items()}
    return {"url": request.url, "params": request.params, "headers": headers, "body": _body(request)}


def _body(request: EventRequest) -> Any:
    if request.content is None:
        return {name: json.loads(value) for name, value in request.data.items()}
    if "json" in request.headers.get("Content-Type", ""):
        return json.loads(request.content)
    return _without_bytes(ormsgpack.unpackb(request.content))


def _without_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        return {key: _without_bytes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_bytes(item) for item in value]
    return value


def _sighting(scene: Scene, subject: Subject, *, is_best: bool) -> Sighting:
    frame = scene.frame
    return Sighting(
        frame=frame.number,
        pts_s=frame.pts_s,
        time=frame.captured_at,
        face=_part(scene, scene.faces, subject.face),
        body=_part(scene, scene.bodies, subject.body),
        is_best_so_far=is_best,
    )


def _part(scene: Scene, detections: Detections, index: int | None) -> Part | None:
    if index is None:
        return None
    return Part(scene.frame_box(detections.boxes_xyxy[index]), float(detections.scores[index]))
