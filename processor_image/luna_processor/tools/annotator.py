"""Turn what the pipeline saw in a frame into an annotated picture, and keep it: in a video, or as a file per frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from luna_processor.frames import Frame
from luna_processor.streams.plan import StreamPlan
from luna_processor.tools.drawing import DROI, REGION, Annotation, Artist, Mark, Region, Thumbnail, colour_of
from luna_processor.tools.placement import Canvas
from luna_processor.tools.tracks import Sighting, Track
from luna_processor.tools.video import VideoFile
from luna_processor.vision.imaging import jpeg
from luna_processor.vision.view import Picture, PixelRect, resolve

_SHOWN_S = 2.0
"""How long a best shot is shown after it was sent."""
_JPEG_QUALITY = 88


class PictureStore(Protocol):
    """Keeps annotated pictures."""

    def add(self, picture_rgb: Picture, name: str, at_s: float) -> None:
        """Keep a picture.

        Args:
            picture_rgb: (H, W, 3), all of one size.
            name: of its frame.
            at_s: seconds since the first one.
        """

    def close(self) -> None:
        """Finish what was begun."""


class VideoStore:
    """Keeps pictures in a video.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._video = VideoFile(path)

    def add(self, picture_rgb: Picture, name: str, at_s: float) -> None:
        """Append a picture."""
        self._video.write(picture_rgb, at_s)

    def close(self) -> None:
        """Write the index."""
        self._video.close()


class FileStore:
    """Keeps each picture in a file.

    Args:
        folder: is made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder

    def add(self, picture_rgb: Picture, name: str, at_s: float) -> None:
        """Write a picture."""
        (self._folder / f"{name}.jpg").write_bytes(jpeg(picture_rgb, _JPEG_QUALITY))

    def close(self) -> None:
        """Nothing is left to do."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    thumbnail: Thumbnail
    until_s: float


class Annotator:
    """Annotates the frames of one stream.

    Args:
        plan: of the stream.
        store: keeps the pictures.
        longest_side: of the pictures, pixels.
    """

    def __init__(self, plan: StreamPlan, store: PictureStore, longest_side: int) -> None:
        self._plan = plan
        self._store = store
        self._longest_side = longest_side
        self._canvas: Canvas | None = None
        self._artist: Artist | None = None
        self._regions: tuple[Region, ...] = ()
        self._first: datetime | None = None
        self._connection = 1
        self._last_number = -1
        self._at_s = 0.0
        self._unpublished: list[tuple[bytes, int | None]] = []
        self._sent: list[_Sent] = []
        self._last_picture: Picture | None = None
        self._last_annotation: Annotation | None = None

    def sent(self, picture_jpeg: bytes, number: int | None) -> None:
        """Show a best shot from the next picture on."""
        self._unpublished.append((picture_jpeg, number))

    def draw(self, frame: Frame, seen: Sequence[tuple[Track, Sighting]]) -> None:
        """Annotate a frame and keep it.

        Raises:
            OSError: if the picture cannot be kept.
        """
        canvas, artist = self._prepared(frame)
        if frame.number <= self._last_number:
            self._connection += 1
        self._last_number = frame.number
        self._at_s = self._time_of(frame)
        width, height = canvas.unturned_size
        picture = np.rot90(frame.scaled_rgb(width, height), k=-canvas.rotation // 90)
        annotation = Annotation(
            headline=f"{clock(frame.pts_s)}  frame {frame.number}  {len(seen)} seen",
            regions=self._regions,
            marks=[mark for track, sighting in seen for mark in marks_of(track, sighting)],
            thumbnails=self._thumbnails(artist),
        )
        self._last_picture, self._last_annotation = picture, annotation
        name = f"{frame.number:06d}" if self._connection == 1 else f"{self._connection}-{frame.number:06d}"
        self._store.add(artist.draw(picture, annotation), name, self._at_s)

    def close(self) -> None:
        """Finish; best shots that were sent at the very end are shown on the last picture for as long as others.

        Raises:
            OSError: if it cannot be written.
        """
        try:
            artist, picture, annotation = self._artist, self._last_picture, self._last_annotation
            if self._unpublished and artist and picture is not None and annotation is not None:
                last = artist.draw(picture, replace(annotation, thumbnails=self._thumbnails(artist)))
                self._store.add(last, "end", self._at_s + 0.04)
                self._store.add(last, "end", self._at_s + _SHOWN_S)
        finally:
            self._store.close()

    def _prepared(self, frame: Frame) -> tuple[Canvas, Artist]:
        """Return what is drawn on; after a reconnection frames may be of another size, the pictures may not."""
        canvas, artist = self._canvas, self._artist
        if (
            canvas is not None
            and artist is not None
            and (canvas.frame_width, canvas.frame_height)
            == (
                frame.width,
                frame.height,
            )
        ):
            return canvas, artist
        if canvas is None:
            canvas = Canvas.of(frame.width, frame.height, self._plan.rotation, self._longest_side)
        else:
            canvas = replace(canvas, frame_width=frame.width, frame_height=frame.height)
        artist = Artist(canvas)
        self._canvas, self._artist, self._regions = canvas, artist, _regions(self._plan, frame.width, frame.height)
        return canvas, artist

    def _time_of(self, frame: Frame) -> float:
        """Return when a frame is shown: a live source may be reconnected, its frames then count from 0 again."""
        if self._plan.source.is_live:
            self._first = self._first or frame.captured_at
            return (frame.captured_at - self._first).total_seconds()
        return frame.pts_s

    def _thumbnails(self, artist: Artist) -> list[Thumbnail]:
        for picture_jpeg, number in self._unpublished:
            text = "sent" if number is None else f"#{number} sent"
            thumbnail = Thumbnail(artist.thumbnail(picture_jpeg), text, colour_of(number))
            self._sent.append(_Sent(thumbnail, self._at_s + _SHOWN_S))
        self._unpublished.clear()
        self._sent = [sent for sent in self._sent if sent.until_s > self._at_s]
        return [sent.thumbnail for sent in reversed(self._sent)]


def marks_of(track: Track, sighting: Sighting) -> list[Mark]:
    """Return the boxes of a track in one frame; the label stands at the face where there is one."""
    colour = colour_of(track.number)
    parts = [part for part in (sighting.face, sighting.body) if part is not None]
    if not track.is_confirmed:
        return [Mark(part.box_xyxy, colour) for part in parts]
    scores = " / ".join(f"{part.score:.2f}" for part in parts)
    best = "  BEST" if sighting.is_best_so_far else ""
    labels = [f"#{track.number}  {scores}{best}", *([""] * len(parts))]
    return [
        Mark(part.box_xyxy, colour, label, sighting.is_best_so_far) for part, label in zip(parts, labels, strict=False)
    ]


def clock(seconds: float) -> str:
    """Return a time as a player shows it, with milliseconds."""
    milliseconds = round(max(0.0, seconds) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _regions(plan: StreamPlan, width: int, height: int) -> tuple[Region, ...]:
    """Return the regions of the stream that are not the whole frame."""
    found: list[Region] = []
    if not plan.roi.is_whole:
        found.append(Region(_box(resolve(plan.roi, width, height, "roi")), REGION, "roi", dims_outside=True))
    for number, item in enumerate(plan.analytics, 1):
        if not item.droi.is_whole:
            text = "droi" if len(plan.analytics) == 1 else f"droi {number}"
            found.append(Region(_box(resolve(item.droi, width, height, "droi")), DROI, text))
    return tuple(found)


def _box(rect: PixelRect) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array([rect.left, rect.top, rect.right, rect.bottom], np.float32)
