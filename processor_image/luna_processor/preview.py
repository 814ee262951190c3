"""Pictures of running streams for people: the last frame, and MotionJPEG.

A frame is encoded when somebody looks, once for all who look; without viewers a preview costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from weakref import WeakKeyDictionary

from luna_processor.frames import Frame
from luna_processor.imaging import jpeg
from luna_processor.stream_run import StreamRun

LIVE_FPS = 10.0
LIVE_WIDTH_PX = 640
LAST_FRAME_WIDTH_PX = 1280
JPEG_QUALITY = 75
BOUNDARY = "frame"
_PART = b"--" + BOUNDARY.encode() + b"\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n"


class Previews:
    """Encodes frames of runs; event loop only.

    Args:
        find: returns a running stream by its id.
    """

    def __init__(self, find: Callable[[str], StreamRun | None]) -> None:
        self._find = find
        self._encoded: WeakKeyDictionary[StreamRun, tuple[Frame, bytes]] = WeakKeyDictionary()
        self._encoding: WeakKeyDictionary[StreamRun, asyncio.Lock] = WeakKeyDictionary()

    async def last_frame(self, stream_id: str) -> bytes | None:
        """Return the newest frame as JPEG; None if the stream does not run or has none yet."""
        run = self._find(stream_id)
        frame = run.latest_frame if run else None
        return await asyncio.to_thread(_encode, frame, LAST_FRAME_WIDTH_PX) if frame else None

    async def live(self, stream_id: str) -> AsyncIterator[bytes]:
        """Yield the parts of a multipart/x-mixed-replace body until the stream ends; slow viewers skip frames."""
        shown: Frame | None = None
        while (run := self._find(stream_id)) is not None:
            picture = await self._current(run)
            if picture is not None and picture[0] is not shown:
                shown = picture[0]
                yield _PART % (len(picture[1]), picture[1])
            await asyncio.sleep(1 / LIVE_FPS)

    async def _current(self, run: StreamRun) -> tuple[Frame, bytes] | None:
        """Return the newest frame of a run and its JPEG, made at most once."""
        async with self._encoding.setdefault(run, asyncio.Lock()):
            frame = run.latest_frame
            if frame is None:
                return None
            known = self._encoded.get(run)
            if known is None or known[0] is not frame:
                known = (frame, await asyncio.to_thread(_encode, frame, LIVE_WIDTH_PX))
                self._encoded[run] = known
            return known


def _encode(frame: Frame, width_px: int) -> bytes:
    width = min(frame.width, width_px)
    height = max(1, round(frame.height * width / frame.width))
    return jpeg(frame.scaled_rgb(width, height), JPEG_QUALITY)
