"""Pictures of running streams for people: the last frame, and MotionJPEG.

A frame is encoded when somebody looks, once for all who look; without viewers a preview costs nothing. One thread
encodes for all streams: however many are looked at, it takes one core at most, and what else the process does in
threads, such as reading events for their delivery, does not wait for pictures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol
from weakref import WeakKeyDictionary

from luna_processor.frames import Frame
from luna_processor.vision.imaging import jpeg

LIVE_FPS = 10.0
LIVE_WIDTH_PX = 640
LAST_FRAME_WIDTH_PX = 1280
JPEG_QUALITY = 75
BOUNDARY = "frame"
_PART = b"--" + BOUNDARY.encode() + b"\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n"


class Filmed(Protocol):
    """A stream whose pictures can be looked at."""

    @property
    def latest_frame(self) -> Frame | None:
        """The frame that was analysed last."""


class Previews:
    """Encodes frames of runs; event loop only.

    Args:
        find: returns a running stream by its id.
    """

    def __init__(self, find: Callable[[str], Filmed | None]) -> None:
        self._find = find
        self._encoder = ThreadPoolExecutor(1, "preview")
        self._encoded: WeakKeyDictionary[Filmed, tuple[Frame, bytes]] = WeakKeyDictionary()
        self._encoding: WeakKeyDictionary[Filmed, asyncio.Lock] = WeakKeyDictionary()

    async def last_frame(self, stream_id: str) -> bytes | None:
        """Return the newest frame as JPEG; None if the stream does not run or has none yet."""
        run = self._find(stream_id)
        frame = run.latest_frame if run else None
        return await self._encode(frame, LAST_FRAME_WIDTH_PX) if frame else None

    async def live(self, stream_id: str) -> AsyncIterator[bytes]:
        """Yield the parts of a multipart/x-mixed-replace body until the stream ends; slow viewers skip pictures.

        A viewer may be slow for as long as it likes: meanwhile nothing but the picture it is sent is held for it.
        """
        shown: bytes | None = None
        while (run := self._find(stream_id)) is not None:
            picture = await self._current(run)
            del run
            if picture is not None and picture is not shown:
                shown = picture
                yield _PART % (len(picture), picture)
            await asyncio.sleep(1 / LIVE_FPS)

    async def _current(self, run: Filmed) -> bytes | None:
        """Return the newest frame of a run as JPEG, made at most once."""
        async with self._encoding.setdefault(run, asyncio.Lock()):
            frame = run.latest_frame
            if frame is None:
                return None
            known = self._encoded.get(run)
            if known is None or known[0] is not frame:
                known = (frame, await self._encode(frame, LIVE_WIDTH_PX))
                self._encoded[run] = known
            return known[1]

    async def _encode(self, frame: Frame, width_px: int) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._encoder, _encode, frame, width_px)


def _encode(frame: Frame, width_px: int) -> bytes:
    width = min(frame.width, width_px)
    height = max(1, round(frame.height * width / frame.width))
    return jpeg(frame.scaled_rgb(width, height), JPEG_QUALITY)
