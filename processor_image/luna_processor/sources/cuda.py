"""Decode on an NVIDIA GPU: its video decoder (NVDEC) behind FFmpeg, which leaves the frames in the card's memory.

The same packets, waits and errors as on the CPU; only where a frame lies differs. FFmpeg falls back to the CPU by
itself when the card cannot decode a video (a codec or profile it does not know, no decoder in a MIG slice, no session
left) and says nothing; here that is noticed at the first frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import av.error
import numpy as np
from av.codec import Codec
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace

from luna_processor.engines.preparation import Colours, DevicePlanes, Matrix, Plane
from luna_processor.errors import StartupError, UnsuitableSource
from luna_processor.settings import Decoder

_ON_DEVICE = "cuda"
"""FFmpeg's pixel format of frames in the memory of a card."""
_SAMPLES = "nv12"
"""What of those can be prepared there: 8 bits, 4:2:0. Others (10 bits, 4:4:4) are converted on the host."""
_MATRICES: dict[int, Matrix] = {
    Colorspace.ITU709: "bt709",
    Colorspace.BT2020: "bt2020",
}
"""What a frame says of its colours; where it says nothing, BT.601, as swscale takes it."""


@dataclass(frozen=True, slots=True)
class GpuDecoding:
    """How a process decodes on its card."""

    gpu_index: int
    must_decode: bool
    """Whether a stream fails that the card cannot decode."""
    note_fallback: Callable[[str, str], None]
    """Told the source and why the CPU decodes it, by the decoding thread."""

    def accelerator(self) -> HWAccel:
        """Return what FFmpeg is given to open a video with."""
        return HWAccel(
            _ON_DEVICE, device=str(self.gpu_index), allow_software_fallback=not self.must_decode, is_hw_owned=True
        )

    def note_first(self, frame: VideoFrame, codec: str, shown_as: str) -> None:
        """Look where the first frame of a source lies, and say aloud if it is not where it should be.

        Raises:
            UnsuitableSource: if the stream must be decoded by the card, and is not.
        """
        reason = fallback_reason(frame.format.name, frame.sw_format.name if frame.sw_format else None, codec)
        if reason is None:
            return
        if self.must_decode:
            raise UnsuitableSource(f"{reason}; --decoder auto would let the CPU do it")
        self.note_fallback(shown_as, reason)


def fallback_reason(pixel_format: str, samples: str | None, codec: str) -> str | None:
    """Return why a frame is not all the card's business; None if it is.

    Args:
        pixel_format: FFmpeg's name for where and how the frame lies.
        samples: the same for what it holds, if it lies on a device.
        codec: of the video.
    """
    if pixel_format != _ON_DEVICE:
        return (
            f"the GPU does not decode this video ({codec}, {pixel_format}): it does not know this codec or profile, or "
            "has no decoder or none free"
        )
    if samples != _SAMPLES:
        return f"the GPU decodes this video ({codec}), but its {samples} pictures are converted on the CPU"
    return None


def gpu_decoding(gpu_index: int, decoder: Decoder, note_fallback: Callable[[str, str], None]) -> GpuDecoding | None:
    """Return how a process decodes on its card; None if the CPU decodes everything.

    Args:
        gpu_index: of the card.
        decoder: what the settings say.
        note_fallback: told the source and why the CPU decodes it.

    Raises:
        StartupError: if the card must decode and cannot be reached.
    """
    if decoder == "cpu":
        return None
    trouble = decoder_trouble(gpu_index)
    if trouble is None:
        return GpuDecoding(gpu_index, decoder == "gpu", note_fallback)
    if decoder == "gpu":
        raise StartupError(
            f"--decoder gpu: FFmpeg cannot reach GPU {gpu_index} ({trouble}); --decoder auto takes the CPU"
        )
    note_fallback("all sources", f"the CPU decodes, since FFmpeg cannot reach GPU {gpu_index} ({trouble})")
    return None


def decoder_context(gpu_index: int) -> HWAccel | None:
    """Return FFmpeg's hold on a card, to be kept until others hold it, too; None if it cannot be reached.

    All libraries of a process share the card's primary context, and who is first decides how its threads wait. FFmpeg
    refuses one that was not made to block ("Primary context already active with incompatible flags",
    hwcontext_cuda.c), and the others, which take any, would make another: so FFmpeg has to come before them.
    """
    try:
        return _context(gpu_index)
    except (av.error.FFmpegError, NotImplementedError):
        return None  # `gpu_decoding` says so, once it is known what that means


def decoder_trouble(gpu_index: int) -> str | None:
    """Return why FFmpeg cannot reach a card at all; None if it can."""
    try:
        _context(gpu_index)
    except (av.error.FFmpegError, NotImplementedError) as e:
        return str(e) or type(e).__name__
    return None


def _context(gpu_index: int) -> HWAccel:
    return HWAccel(_ON_DEVICE, device=str(gpu_index), is_hw_owned=True).create(Codec("h264", "r"))


def planes_of(frame: VideoFrame, quarter_turns: int) -> DevicePlanes | None:
    """Return where a frame lies on a device; None for one of the host, and for one that cannot be prepared there."""
    if frame.format.name != _ON_DEVICE or frame.sw_format is None or frame.sw_format.name != _SAMPLES:
        return None
    luma, chroma = frame.planes[0], frame.planes[1]
    return device_planes(frame, (CudaPlane(luma, 1), CudaPlane(chroma, 2)), quarter_turns)


def device_planes(frame: VideoFrame, planes: tuple[Plane, Plane], quarter_turns: int) -> DevicePlanes:
    """Return the planes of an NV12 frame with what is known of it."""
    matrix = _MATRICES.get(frame.colorspace, "bt601")
    colours = Colours(matrix, is_full_range=frame.color_range == ColorRange.JPEG)
    return DevicePlanes(*planes, frame.width, frame.height, colours, quarter_turns)


class CudaPlane:
    """A plane in the memory of a card, in the form that libraries for GPUs take: `__cuda_array_interface__`, version 3.

    Args:
        plane: of a frame on the card; kept, and with it the memory.
        channels: values per pixel, of one byte.
    """

    def __init__(self, plane: VideoPlane, channels: int) -> None:
        self._plane = plane
        # With the padding of each row: the memory is dense then, which DALI insists on; it cuts the padding off.
        self.shape = (plane.height, plane.line_size // channels, channels)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Return where the plane lies."""
        return {
            "shape": self.shape,
            "typestr": np.dtype(np.uint8).str,
            "data": (self._plane.buffer_ptr, True),
            "strides": None,
            "version": 3,
        }
