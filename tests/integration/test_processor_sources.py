"""Sources as FFmpeg reads them: files that were cut off, cameras that say nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import av
import pytest

from luna_processor.errors import SourceFailed
from luna_processor.sources.adapters import open_source
from support.media import plain_pictures, write_clip
from support.sources import a_source_plan
from support.stream_runs import a_run
from support.streams_server import stream_v2
from support.waiting import eventually

SOON_S = 20
"""Before a camera's time is over, which is a minute at most, and half of it to open one."""


def frame_count(path: Path) -> int:
    """Read a file to its end."""
    source = open_source(a_source_plan("videofile", path))
    try:
        return sum(1 for _ in source.frames())
    finally:
        source.close()


def cut(whole: Path, size: int) -> Path:
    short = whole.with_stem("short")
    short.write_bytes(whole.read_bytes()[:size])
    return short


def delayed(whole: Path, by_s: int) -> Path:
    """Copy a file whose time stamps begin later, as a recorder cuts it out of what it has."""
    piece = whole.with_stem("piece")
    with av.open(str(whole)) as source, av.open(str(piece), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.pts is None or packet.dts is None or packet.time_base is None:
                continue  # the last one is empty
            shift = round(by_s / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
            target.mux(packet)
    return piece


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "ts", "flv"])
def test_a_whole_file_is_read_to_its_end_without_complaint(ending: str, tmp_path: Path) -> None:
    codec = {"avi": "mpeg4", "flv": "flv"}.get(ending, "libx264")
    assert frame_count(write_clip(tmp_path / f"whole.{ending}", plain_pictures(100), codec=codec)) == 100


@pytest.mark.parametrize(("ending", "codec"), [("mkv", "libx264"), ("avi", "mpeg4"), ("flv", "flv")])
def test_a_file_that_says_how_long_it_is_and_ends_before_is_truncated(ending: str, codec: str, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / f"whole.{ending}", plain_pictures(150), codec=codec, g="25")
    with pytest.raises(SourceFailed, match=r"short\.\w+ is truncated: [23]\.\d s of 6\.0 s could be read"):
        frame_count(cut(whole, whole.stat().st_size // 2))


def test_a_matroska_file_that_does_not_begin_with_zero_is_as_long_as_its_frames(tmp_path: Path) -> None:
    piece = delayed(write_clip(tmp_path / "whole.mkv", plain_pictures(150), g="25"), by_s=100)
    source = open_source(a_source_plan("videofile", piece))
    try:
        assert source.info.duration_s == pytest.approx(6)
        assert sum(1 for _ in source.frames()) == 150
    finally:
        source.close()
    with pytest.raises(SourceFailed, match=r"short\.mkv is truncated: [23]\.\d s of 6\.0 s could be read"):
        frame_count(cut(piece, piece.stat().st_size // 2))


def test_a_transport_stream_that_ends_within_a_packet_is_truncated(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.ts", plain_pictures(150), g="25")
    packets = whole.stat().st_size // 188
    with pytest.raises(SourceFailed, match=r"is truncated: at least \d+ bytes are missing at its end"):
        frame_count(cut(whole, packets // 2 * 188 + 100))
    assert frame_count(cut(whole, packets // 2 * 188)) > 50, "between two packets, nothing tells that more was to come"


async def test_a_stream_is_stopped_at_once_although_its_camera_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as camera:
        reference = f"http://127.0.0.1:{camera.getsockname()[1]}/video"
        run = a_run(stream_v2(reference, kind="tcp", healthcheck={"timeout": 600_000}), open_source).run
        run.start()
        connection, _ = await asyncio.get_running_loop().run_in_executor(None, camera.accept)
        with connection:
            run.stop(sends_rest=True)
            await eventually(lambda: run.is_over, "it ends, long before the camera's time is over", SOON_S)
        await eventually(lambda: "decode-" not in str(threading.enumerate()), "and so does its decoder")
