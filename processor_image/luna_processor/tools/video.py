"""Write pictures into an MP4 file (PyAV)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import av.error
import numpy as np
from av.video.stream import VideoStream

from luna_processor.vision.view import Picture

_TIME_BASE = Fraction(1, 60_000)
"""Fine enough for any rate; MPEG-4 knows none finer than 1/65535."""
_KEYFRAME_EVERY = 50
"""Pictures; so much at most cannot be played when the process is killed."""
_NOMINAL_FPS = 25
"""For encoders that ask; pictures come with times of their own."""


class _Encoder(NamedTuple):
    name: str
    pixel_format: str
    options: dict[str, str]


_ENCODERS = (
    _Encoder("libx264", "yuv420p", {"preset": "veryfast", "crf": "23", "bf": "0"}),
    _Encoder("libopenh264", "yuv420p", {"b": "4M"}),
    _Encoder("mpeg4", "yuv420p", {"qmin": "3", "qmax": "6"}),
    _Encoder("mjpeg", "yuvj420p", {"qmin": "3", "qmax": "6"}),
)
"""Best first; which of them there is depends on how FFmpeg was built."""


class VideoFile:
    """An MP4 file that grows; `close` it in the end.

    If the process is killed, what was written before the last keyframe can be played all the same.

    Args:
        path: of the file, which is overwritten.

    Raises:
        OSError: if the file cannot be written; so do the methods.
    """

    def __init__(self, path: Path) -> None:
        with _as_os_error():
            self._container = av.open(str(path), "w", format="mp4", options={"movflags": "hybrid_fragmented"})
        self._stream: VideoStream | None = None
        self._last_pts = -1

    def write(self, picture_rgb: Picture, at_s: float) -> None:
        """Add a picture (H, W, 3), H and W even and always the same, that is shown from this time on."""
        if self._stream is None:
            self._stream = self._add_stream(picture_rgb.shape[1], picture_rgb.shape[0])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture_rgb), format="rgb24")
        # Frames of one moment (a source with broken times) are shown one after the other.
        frame.pts = self._last_pts = max(self._last_pts + 1, round(at_s / _TIME_BASE))
        frame.time_base = _TIME_BASE
        with _as_os_error():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is left, and the index."""
        with _as_os_error(), self._container:
            if self._stream is not None:
                self._container.mux(self._stream.encode())

    def _add_stream(self, width: int, height: int) -> VideoStream:
        encoder = next(encoder for encoder in _ENCODERS if encoder.name in av.codecs_available)
        options = encoder.options | {"g": str(_KEYFRAME_EVERY)}
        stream = cast(VideoStream, self._container.add_stream(encoder.name, rate=_NOMINAL_FPS, options=options))
        stream.width, stream.height = width, height
        stream.pix_fmt = encoder.pixel_format
        stream.codec_context.time_base = _TIME_BASE
        return stream


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Turn what FFmpeg says of a file into what Python says: most of its errors are that already."""
    try:
        yield
    except av.error.FFmpegError as e:
        raise OSError(e.errno, e.strerror) from e
