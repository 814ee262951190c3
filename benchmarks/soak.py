"""Whether a worker's memory, files and threads stay as they are over an hour's worth of reconnects, in minutes.

    .venv/bin/python benchmarks/soak.py [--minutes 5] [--streams 4] [--seconds 0.2]

Cameras break every connection after a moment: at the end of a packet, with garbage, or by taking none. All that time
further streams come and go: files that are done, streams that are deleted while they run. A worker that met a broken
camera every 10 s would see 360 reconnects in an hour; here the same takes a minute or less per stream. The figures are
read from the kernel; a leak is a slope: the line through the samples of memory after the start, and what the last
samples have more than the first ones. Needs no network. Fails when something grows.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from workers import Stream, Surroundings, WorkerProcess, a_stream, machine, make_clip, surroundings, wait_until, worker

SAMPLE_S = 1.0
START_SHARE = 0.4
"""Part of the time in which pools fill: not looked at."""
GROWTH_TARGET_MB = 3.0
"""In the time that is looked at; an allocator wanders by less than one."""
COUNT_TARGET = 4
"""Files and threads: what is just being opened or closed."""
ENDS = ("cut", "garbage", "refused")
END_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Sample:
    """What the worker held at a moment."""

    at_s: float
    reconnects: int
    memory_mb: float
    files: int
    threads: int


class Visitors:
    """Streams that come and go beside the broken cameras: files to their end, cameras deleted while they run.

    Args:
        around: the server.
        clip: a short file.
    """

    def __init__(self, around: Surroundings, clip: Path) -> None:
        self.count = 0
        self._around = around
        self._clip = clip
        self._file: Stream | None = None
        self._camera: Stream | None = None

    def go_on(self) -> None:
        """Replace those that are through."""
        streams = self._around.streams
        if self._file is None or self._file.status in ("done", "failure"):
            if self._file is not None:
                del streams[self._file.stream_id]
            self._file = self._around.add(a_stream(str(self._clip), kind="videofile", name="file"))
            self.count += 1
        if self._camera is None or self._camera.report.get("video_info"):
            if self._camera is not None:
                del streams[self._camera.stream_id]
            self._camera = self._around.add(a_stream(self._around.camera(10), name="camera"))
            self.count += 1


def watch(around: Surroundings, process: WorkerProcess, visitors: Visitors, duration_s: float) -> list[Sample]:
    """Sample the worker while everything goes on."""
    samples: list[Sample] = []
    began_s = time.monotonic()
    while (at_s := time.monotonic() - began_s) < duration_s:
        visitors.go_on()
        samples.append(
            Sample(at_s, around.connection_count, process.memory_mb(), process.file_count(), process.thread_count())
        )
        time.sleep(SAMPLE_S)
    return samples


def slope(samples: Sequence[Sample]) -> float:
    """Return how many MB a thousand reconnects add, by least squares."""
    reconnects = [sample.reconnects for sample in samples]
    return statistics.linear_regression(reconnects, [sample.memory_mb for sample in samples]).slope * 1000


def growth(values: Sequence[float]) -> float:
    """Return what the last third has more than the first, medians."""
    third = max(1, len(values) // 3)
    return statistics.median(values[-third:]) - statistics.median(values[:third])


def judge(samples: Sequence[Sample]) -> bool:
    """Print what grew; returns whether nothing did."""
    steady = samples[round(len(samples) * START_SHARE) :]
    per_thousand_mb = slope(steady)
    memory_mb = [sample.memory_mb for sample in steady]
    files, threads = [float(s.files) for s in steady], [float(s.threads) for s in steady]
    for sample in samples[:: max(1, len(samples) // 10)]:
        print(
            f"    {sample.at_s:5.0f} s {sample.reconnects:6} reconnects: "
            f"{sample.memory_mb:6.1f} MB, {sample.files:3} files, {sample.threads:3} threads"
        )
    print(f"  memory: {growth(memory_mb):+.1f} MB (target {GROWTH_TARGET_MB:g}); {per_thousand_mb:+.2f} MB per 1000")
    print(f"  files: {growth(files):+.0f}, threads: {growth(threads):+.0f} (target {COUNT_TARGET})")
    is_flat = growth(memory_mb) < GROWTH_TARGET_MB
    return is_flat and growth(files) < COUNT_TARGET and growth(threads) < COUNT_TARGET


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--streams", type=int, default=4, help="cameras that break")
    parser.add_argument("--seconds", type=float, default=0.2, help="after which a connection breaks")
    parser.add_argument("--log-level", default="error", help="of the worker")
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.streams} cameras that break after {arguments.seconds:g} s")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clip = make_clip(folder / "clip.mp4", (320, 180), 10)
        around = stack.enter_context(surroundings(clip))
        process = stack.enter_context(worker(around, "--detector-size", "128"))
        for number in range(arguments.streams):
            camera = around.camera(25, arguments.seconds, ENDS[number % len(ENDS)])
            around.add(a_stream(camera, name=f"broken {number}"))
        visitors = Visitors(around, clip)
        samples = watch(around, process, visitors, arguments.minutes * 60)
        broken = [stream for stream in around.streams.values() if stream.status == "in_progress"]
        is_flat = judge(samples)
        around.streams.clear()
        wait_until(lambda: process.thread_count() < samples[0].threads + 2 * COUNT_TARGET, END_TIMEOUT_S)
    print(f"{visitors.count} further streams came and went; {len(broken)} were being processed at the end")
    print("flat" if is_flat else "NOT FLAT")
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
