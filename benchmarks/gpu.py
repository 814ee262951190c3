"""What an NVIDIA GPU brings: the cost of each stage beside the CPU's, and how many cameras one card holds.

    .venv/bin/python benchmarks/gpu.py [--streams 1,8,30,60] [--fps 30] [--size 1920x1080] [-- --gpu-runtime tensorrt]

Stages: decoding by the card (NVDEC), preparation (DALI) with search, and the same search of pictures made on the host;
per batch size, on a clip of faces, and in the same minute the same on the CPU. Cameras: as in capacity.py, a worker
that was started with `--device gpu` and whatever stands after `--`; a number is held when nearly no frame is dropped
and 95 % of the frames are analysed within the limit. Needs a GPU and no network. Fails when fewer cameras than the
largest number are held, and refuses to begin without a GPU.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from capacity import CONNECT_TIMEOUT_S, HELD_SHARE, Grown
from workers import (
    Surroundings,
    WorkerProcess,
    a_size,
    a_stream,
    machine,
    make_clip,
    metrics_of,
    numbers,
    surroundings,
    wait_until,
    worker,
)

from luna_processor.engines.card import open_card
from luna_processor.engines.port import Engine
from luna_processor.engines.preparation import NetworkInput, device_picture, planes_of
from luna_processor.errors import StartupError
from luna_processor.frames import Frame
from luna_processor.inference import load_engines
from luna_processor.settings import Settings, load
from luna_processor.sources.cuda import GpuDecoding
from luna_processor.sources.packets import Patience, VideoPackets
from luna_processor.sources.pyav import PyAvSource
from luna_processor.sources.reference import Opening
from luna_processor.vision import centerface
from luna_processor.vision.detector import DetectorSettings
from luna_processor.vision.view import PixelRect, View

ROUNDS = 20
FRAMES = 100


def frames_of(clip: Path, gpu: GpuDecoding | None, count: int) -> list[Frame]:
    """Return the first frames of a clip, decoded by the card or the CPU."""
    opening = Opening(str(clip), {}, shown_as=clip.name, is_live=False)
    packets = VideoPackets(opening, Patience(10, lambda: False), None, gpu.accelerator() if gpu else None)
    with closing(PyAvSource(opening, packets, 0, gpu)) as source:
        return list(itertools.islice(source.frames(), count))


def search_input(frame: Frame) -> NetworkInput:
    """Return what the network for faces is given of a frame: the frame itself if it lies on the card."""
    size = centerface.input_size(frame.width, frame.height, DetectorSettings().longest_side)
    planes = planes_of(frame)
    if planes is None:
        return centerface.to_input(frame.scaled_rgb(*size))
    view = View(PixelRect(0, 0, frame.width, frame.height), 0, frame.width, frame.height)
    return device_picture(planes, view, size, size)


def median_ms(work: Callable[[], object]) -> float:
    """Return how long it takes; the first three are for warming up."""
    took = []
    for _ in range(ROUNDS + 3):
        began_s = time.perf_counter()
        work()
        took.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(took[3:])


def show_stages(clip: Path, settings: Settings) -> None:
    """Print what decoding and searching cost, on the card and on the CPU."""
    on_gpu, on_cpu = load_engines(settings), load_engines(settings.model_copy(update={"device": "cpu"}))
    gpu = GpuDecoding(settings.gpu_index, False, lambda source, reason: print(f"  {reason}"))
    for name, decoding in (("GPU", gpu), ("CPU", None)):
        took = median_ms(lambda decoding=decoding: frames_of(clip, decoding, FRAMES))  # type: ignore[misc]
        print(f"  decode, {name}: {took / FRAMES:.2f} ms per frame, one stream")
    on_card, on_host = frames_of(clip, gpu, settings.max_batch), frames_of(clip, None, settings.max_batch)
    if planes_of(on_card[0]) is None:
        print("  the frames do not stay on the card: preparation there is not measured")
    ways: tuple[tuple[str, Engine, list[Frame]], ...] = (
        ("prepare and search on the GPU", on_gpu.faces.engine, on_card),
        ("search on the GPU, prepared on the host", on_gpu.faces.engine, on_host),
        ("search on the CPU, prepared on the host", on_cpu.faces.engine, on_host),
    )
    for name, engine, frames in ways:
        inputs = [search_input(frame) for frame in frames]
        for size in sorted({1, 4, settings.max_batch}):
            took = median_ms(lambda engine=engine, batch=inputs[:size]: engine.run(batch))  # type: ignore[misc]
            print(f"  {name}, batch {size:2}: {took / size:.2f} ms per frame")


def measure(around: Surroundings, process: WorkerProcess, count: int, arguments: argparse.Namespace) -> bool:
    """Print how a number of cameras is held; return whether it is."""
    added = [around.add(a_stream(around.camera(arguments.fps), name=f"camera {n}")) for n in range(count)]
    wait_until(lambda: all(stream.report.get("video_info") for stream in added), CONNECT_TIMEOUT_S)
    time.sleep(2.0)
    before, used_s, began_s = metrics_of(added[0]), process.cpu_s(), time.monotonic()
    time.sleep(arguments.measured)
    grown = Grown(before, metrics_of(added[0]))
    took_s, used_s = time.monotonic() - began_s, process.cpu_s() - used_s
    analysed, dropped = grown.by("stream_frames_analysed_total"), grown.by("stream_frames_dropped_total")
    share, p95_ms = dropped / max(1.0, analysed + dropped), grown.quantile_ms("frame_age_seconds", 0.95)
    is_held = share <= HELD_SHARE and p95_ms <= arguments.p95_ms and analysed > 0
    print(
        f"  {count:3} cameras: {analysed / took_s / count:5.1f} analysed a second each, {share:6.1%} dropped, "
        f"p50 {grown.quantile_ms('frame_age_seconds', 0.5):.0f} ms, p95 {p95_ms:.0f} ms, {used_s / took_s:.2f} cores, "
        f"{grown.by('cpu_decoded_sources_total'):.0f} decoded by the CPU{'' if is_held else '; NOT HELD'}",
        flush=True,
    )
    print("\n".join(f"      {line}" for line in grown.after.splitlines() if line.startswith("luna_processor_gpu_")))
    for stream in added:
        del around.streams[stream.stream_id]
    wait_until(lambda: "luna_processor_streams 0.0" in metrics_of(added[0]), CONNECT_TIMEOUT_S)
    return is_held


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=numbers, default=[1, 8, 30, 60], help="numbers of cameras, such as 1,30,60")
    parser.add_argument("--fps", type=float, default=30.0, help="of the cameras")
    parser.add_argument("--size", type=a_size, default=(1920, 1080), help="of the frames, such as 1280x720")
    parser.add_argument("--measured", type=float, default=15.0, help="seconds per number of cameras")
    parser.add_argument("--p95-ms", type=float, default=500.0, help="latency of 95 %% of the frames that is still good")
    parser.add_argument("flags", nargs="*", help="of the worker, after --")
    arguments = parser.parse_args()
    flags = ["--device", "gpu", *arguments.flags]
    names = [flag.removeprefix("--").replace("-", "_") for flag in flags[::2]]
    try:
        settings = load(dict(zip(names, flags[1::2], strict=True)) | {"streams_origin": "http://127.0.0.1"}, {})
        card = open_card(settings)
    except StartupError as e:
        print(f"benchmarks/gpu.py: {e}", file=sys.stderr)
        return 2
    print(f"{card.name}, {card.accelerator.runtime}; {machine()}; {arguments.size[0]}x{arguments.size[1]}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clip = make_clip(folder / "clip.mp4", arguments.size, FRAMES)
        show_stages(clip, settings)
        around = stack.enter_context(surroundings(clip))
        process = stack.enter_context(worker(around, *flags, capacity=max(arguments.streams)))
        held = [count for count in arguments.streams if measure(around, process, count, arguments)]
    print(f"held: {max(held, default=0)} of {max(arguments.streams)} cameras at p95 under {arguments.p95_ms:g} ms")
    return 0 if held and max(held) == max(arguments.streams) else 1


if __name__ == "__main__":
    sys.exit(main())
