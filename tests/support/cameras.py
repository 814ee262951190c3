"""Cameras for a cluster: an RTSP server that plays a small clip to everybody, for as long as a test may take."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import pytest

from support.media import package_clip, pictures_of, write_clip

PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")
FPS = 2
_CLIP_S, _LENGTH_S = 20, 1800


def needs_gstreamer() -> None:
    """Skip where there is no RTSP server."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if not Path(PYTHON).exists() or subprocess.run([PYTHON, "-c", probe], capture_output=True).returncode:
        pytest.skip("needs GStreamer's RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi")


@contextmanager
def rtsp_server(clip: Path, port: int = 0, address: str = "") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server; yields its process and port."""
    command = [PYTHON, str(SERVER), str(port), str(clip), *([address] if address else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline().removeprefix("ready "))
        finally:
            process.kill()


def camera_clip(folder: Path) -> Path:
    """Write half an hour of a moving face, 176x144, encoded once and repeated.

    Two frames a second, so that sixty streams of it leave two cores some time.
    """
    pictures = islice(cycle(pictures_of(package_clip("carphone_pristine"))), _CLIP_S * FPS)
    short = write_clip(folder / "short.mp4", pictures, fps=FPS, g=str(FPS), bf="0")
    return repeated(short, folder / "camera.mp4", _LENGTH_S // _CLIP_S)


def repeated(clip: Path, target: Path, times: int) -> Path:
    """Write a clip that plays another one again and again; nothing is encoded anew."""
    with av.open(str(clip)) as source:
        video = source.streams.video[0]
        packets = [(bytes(packet), packet.pts, packet.is_keyframe) for packet in source.demux(video) if packet.size]
        time_base = video.time_base or Fraction(1)
        step = round(1 / (float(video.average_rate or FPS) * float(time_base)))
        with av.open(str(target), "w") as container:
            copy = container.add_stream_from_template(video)
            for number, (data, _, is_keyframe) in enumerate(packets * times):
                packet = av.Packet(data)
                packet.stream, packet.time_base = copy, time_base
                packet.pts = packet.dts = number * step
                packet.is_keyframe = is_keyframe
                container.mux(packet)
    return target
