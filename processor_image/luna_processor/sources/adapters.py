"""Which adapter opens a source: the one place where a way of decoding is chosen."""

from __future__ import annotations

from collections.abc import Callable

from luna_processor.frames import Source
from luna_processor.sources.cuda import GpuDecoding
from luna_processor.sources.packets import Patience, VideoPackets
from luna_processor.sources.pictures import PictureSource
from luna_processor.sources.pyav import PyAvSource
from luna_processor.sources.reference import opening
from luna_processor.streams.plan import SourcePlan

DEFAULT_TIMEOUT_S = 10.0
"""Longest wait for the connection and for a packet when the stream sets none."""


def open_source(
    plan: SourcePlan, is_stopped: Callable[[], bool] = lambda: False, *, gpu: GpuDecoding | None = None
) -> Source:
    """Open a source.

    Args:
        plan: what is read, and how.
        is_stopped: true once nobody wants frames any more: asked between packets that give none.
        gpu: whose decoder is tried; None decodes on the CPU.

    Raises:
        SourceFailed: if it cannot be opened or holds no video.
        UnsuitableStream: if it is nothing that a stream of this type may open.
    """
    if plan.kind == "images":
        return PictureSource(plan, is_stopped)
    found = opening(plan)
    patience = Patience(plan.timeout_s or DEFAULT_TIMEOUT_S, is_stopped)
    accelerator = gpu.accelerator() if gpu else None
    packets = VideoPackets(found, patience, plan.preferred_width if found.is_live else None, accelerator)
    return PyAvSource(found, packets, plan.thread_count, gpu)
