"""How many cameras a worker on this machine holds: frames dropped, latency, CPU time and memory per stream.

    .venv/bin/python benchmarks/capacity.py [--streams 1,2,4,8] [--fps 5] [--face-model centerface-int8]

Cameras send H.264 at their rate and wait for nobody, as live sources do; the worker is a process as users start it.
A number of streams is held when nearly no frame is dropped. Beside each number a bare loop, in as many threads as the
worker has for inference, decodes, scales and searches frames of the same clip and does nothing else: what the worker
spends per frame is printed as a ratio to it. That is more than the overhead (stages.py): heads are measured, shots cut
and sent, too, and where streams are not held, frames are decoded that nobody searches. Latency is from the end of
decoding to the end of the analysis, by the histogram of the worker's /metrics, so it is as coarse as its buckets. Needs
no network. Fails when no number of streams is held, or when frames cost more than the target at one that is.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from workers import (
    Stream,
    Surroundings,
    WorkerProcess,
    a_size,
    a_stream,
    machine,
    make_clip,
    metric,
    metrics_of,
    numbers,
    surroundings,
    wait_until,
    worker,
)

from luna_processor.engines.port import Engine
from luna_processor.inference import load_engines
from luna_processor.settings import Settings
from luna_processor.vision import centerface
from luna_processor.vision.detector import DetectorSettings

TARGET = 1.25
"""CPU time per analysed frame, in frames of the bare loop."""
HELD_SHARE = 0.02
"""Part of the frames that may be dropped while a number of streams still counts as held."""
CONNECT_TIMEOUT_S = WARM_UP_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Figures:
    """What a number of streams came to."""

    streams: int
    read_fps: float
    analysed_fps: float
    dropped_share: float
    p50_ms: float
    p95_ms: float
    cpu_share: float
    """Of a core, all streams together."""
    memory_mb: float
    bare_fps: float
    """Frames a second of the bare loop beside it."""
    ratio: float
    """CPU time per analysed frame, in frames of the bare loop."""

    @property
    def is_held(self) -> bool:
        """Whether nearly no frame is lost."""
        return self.dropped_share <= HELD_SHARE


class BareLoop:
    """Decodes a clip again and again and searches every frame, in a thread.

    Args:
        clip: a file.
        engine: of the faces.
        longest_side: of the picture that is searched.
    """

    def __init__(self, clip: Path, engine: Engine, longest_side: int) -> None:
        self.frame_count = 0
        self.cpu_s = 0.0
        self._clip = clip
        self._engine = engine
        self._longest_side = longest_side

    def run(self, until_s: float) -> None:
        """Go on until a moment of the monotonic clock."""
        began_s = time.thread_time()
        while time.monotonic() < until_s:
            with av.open(str(self._clip)) as container:
                stream = container.streams.video[0]
                stream.thread_type = "NONE"
                width, height = centerface.input_size(stream.width, stream.height, self._longest_side)
                for frame in container.decode(stream):
                    scaled = frame.reformat(width=width, height=height, format="rgb24", threads=1)
                    outputs = self._engine.run([centerface.to_input(np.asarray(scaled.to_ndarray(), np.uint8))])
                    settings = DetectorSettings()
                    centerface.decode([output[0] for output in outputs], settings.min_score, settings.max_iou)
                    self.frame_count += 1
                    if time.monotonic() > until_s:
                        break
        self.cpu_s = time.thread_time() - began_s


class Bench:
    """Measures numbers of streams on one worker.

    Args:
        around: server and cameras.
        process: the worker.
        clip: what the cameras show.
        engine: finds faces.
        arguments: of the command line.
    """

    def __init__(
        self, around: Surroundings, process: WorkerProcess, clip: Path, engine: Engine, arguments: argparse.Namespace
    ) -> None:
        self._around = around
        self._process = process
        self._clip = clip
        self._engine = engine
        self._fps: float = arguments.fps
        self._measured_s: float = arguments.measured
        self._threads: int = arguments.workers
        warm_up = around.add(a_stream(str(clip), kind="videofile", name="warm-up"))
        wait_until(lambda: warm_up.status in ("done", "failure"), WARM_UP_TIMEOUT_S)
        self._idle_mb = process.memory_mb()
        """With what the networks took for themselves when they first ran."""

    def measure(self, count: int) -> Figures:
        """Measure a number of streams, and the bare loop before and after."""
        loops = self._bare()
        added = [self._around.add(a_stream(self._around.camera(self._fps), name=f"camera {n}")) for n in range(count)]
        wait_until(lambda: all(stream.report.get("video_info") for stream in added), CONNECT_TIMEOUT_S)
        time.sleep(1.0)  # the first frames of all cameras come at once
        before, began_s, used_s = metrics_of(added[0]), time.monotonic(), self._process.cpu_s()
        time.sleep(self._measured_s)
        after, took_s, used_s = metrics_of(added[0]), time.monotonic() - began_s, self._process.cpu_s() - used_s
        memory_mb = self._process.memory_mb() - self._idle_mb
        self._end(added)
        loops += self._bare()
        bare_s = sum(loop.cpu_s for loop in loops) / sum(loop.frame_count for loop in loops)
        grown = Grown(before, after)
        analysed = grown.by("stream_frames_analysed_total")
        dropped = grown.by("stream_frames_dropped_total")
        return Figures(
            streams=count,
            read_fps=grown.by("stream_frames_read_total") / took_s / count,
            analysed_fps=analysed / took_s / count,
            dropped_share=dropped / max(1.0, analysed + dropped),
            p50_ms=grown.quantile_ms("frame_age_seconds", 0.5),
            p95_ms=grown.quantile_ms("frame_age_seconds", 0.95),
            cpu_share=used_s / took_s,
            memory_mb=memory_mb,
            bare_fps=sum(loop.frame_count for loop in loops) / 2 / (self._measured_s / 4),
            ratio=used_s / max(1.0, analysed) / bare_s,
        )

    def _bare(self) -> list[BareLoop]:
        loops = [BareLoop(self._clip, self._engine, DetectorSettings().longest_side) for _ in range(self._threads)]
        until_s = time.monotonic() + self._measured_s / 4
        running = [threading.Thread(target=loop.run, args=(until_s,)) for loop in loops]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return loops

    def _end(self, streams: Sequence[Stream]) -> None:
        """Delete streams and wait until the worker has let them go."""
        threads = self._process.thread_count() - 2 * len(streams)
        for stream in streams:
            del self._around.streams[stream.stream_id]
        wait_until(lambda: self._process.thread_count() <= threads, CONNECT_TIMEOUT_S)


@dataclass(frozen=True)
class Grown:
    """Two readings of /metrics."""

    before: str
    after: str

    def by(self, name: str) -> float:
        """Return by how much a counter has grown."""
        return metric(self.after, name) - metric(self.before, name)

    def quantile_ms(self, name: str, part: float) -> float:
        """Return a quantile of a histogram, between the bounds of its bucket in proportion, as Prometheus does."""
        before, after = _buckets(self.before, name), _buckets(self.after, name)
        counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
        wanted = part * max(counts.values())
        low, below = 0.0, 0.0
        for bound, count in counts.items():
            if count >= wanted and count > below:
                inside = (wanted - below) / (count - below)
                return 1000 * (low if bound == float("inf") else low + (bound - low) * inside)
            low, below = bound, count
        return 0.0


def _buckets(text: str, name: str) -> dict[float, float]:
    prefix = f"luna_processor_{name}_bucket{{"
    found: dict[float, float] = {}
    for line in text.splitlines():
        if line.startswith(prefix):
            series, _, count = line.rpartition(" ")
            bound = float(series.partition('le="')[2].partition('"')[0])
            found[bound] = found.get(bound, 0.0) + float(count)
    return found


def show(figures: Figures) -> None:
    """Print a line of the table."""
    each = figures.cpu_share / figures.streams
    print(
        f"  {figures.streams:3}  {figures.read_fps:5.1f} {figures.analysed_fps:5.1f}  {figures.dropped_share:6.1%}  "
        f"{figures.p50_ms:4.0f} {figures.p95_ms:5.0f}  {figures.cpu_share:5.2f} {each:6.2f}  "
        f"{figures.memory_mb / figures.streams:5.1f}  {figures.bare_fps:6.1f}  {figures.ratio:5.2f}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=numbers, default=[1, 2, 4, 8], help="numbers of streams, such as 1,2,4,8")
    parser.add_argument("--fps", type=float, default=5.0, help="of the cameras")
    parser.add_argument("--size", type=a_size, default=(1280, 720), help="of the frames, such as 1920x1080")
    parser.add_argument("--measured", type=float, default=12.0, help="seconds per number of streams")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="inference threads")
    parser.add_argument("--face-model", help="such as centerface-int8")
    parser.add_argument("--target", type=float, default=TARGET, help="ratio that is still good")
    arguments = parser.parse_args()
    print(f"{machine()}; cameras of {arguments.size[0]}x{arguments.size[1]} at {arguments.fps:g} frames a second")
    print("             frames a second          latency ms    CPU (cores)     MB   bare loop  CPU per frame")
    print("  streams  read  analysed  dropped   p50  p95   all  each   each   frames/s   / bare loop")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clip = make_clip(folder / "clip.mp4", arguments.size, 100)
        around = stack.enter_context(surroundings(clip))
        engines = load_engines(Settings(streams_origin=around.origin, face_model=arguments.face_model))
        model = ["--face-model", arguments.face_model] if arguments.face_model else []
        process = stack.enter_context(worker(around, "--inference-workers", str(arguments.workers), *model))
        bench = Bench(around, process, clip, engines.faces.engine, arguments)
        rows: list[Figures] = []
        for count in arguments.streams:
            rows.append(bench.measure(count))
            show(rows[-1])
    held = max((row.streams for row in rows if row.is_held), default=0)
    worst = max((row.ratio for row in rows if row.is_held), default=float("inf"))
    print(
        f"held: {held} of {max(arguments.streams)} streams; worst ratio of those {worst:.2f}, target {arguments.target}"
    )
    return 0 if held and worst <= arguments.target else 1


if __name__ == "__main__":
    sys.exit(main())
