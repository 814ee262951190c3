"""A bound on what FFmpeg takes in one piece.

Its parsers gather bytes until a frame is complete: of a server that begins a JPEG and never ends it they keep as much
as the network carries within one time-out, up to 2 GB. PyAV has no name for FFmpeg's own remedy, `av_max_alloc`.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import re
from pathlib import Path

log = logging.getLogger(__name__)

MAX_BLOCK_BYTES = 128 * 1024 * 1024
"""A picture of 7680x4320 in RGB needs 95 MiB; no compressed one comes near that."""
MAX_PIXELS = MAX_BLOCK_BYTES // 4
"""Pictures of more are refused before they are converted: their RGB, and what it is aligned by, would not fit."""
_LIBRARY = re.compile(r"/\S*/libavutil[^/\s]*\.so[^/\s]*$", re.MULTILINE)


@functools.cache
def bound_allocations() -> None:
    """Tell the FFmpeg that PyAV has loaded into this process; once is enough."""
    loaded = _LIBRARY.search(Path("/proc/self/maps").read_text())
    if loaded is None:
        log.warning("FFmpeg's memory has no bound: libavutil was not found among the loaded libraries")
        return
    ctypes.CDLL(loaded[0]).av_max_alloc(ctypes.c_size_t(MAX_BLOCK_BYTES))
