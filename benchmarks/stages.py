"""What a worker's pipeline costs beyond its stages: CPU time of the whole, divided by the sum of the stages alone.

    .venv/bin/python benchmarks/stages.py [--streams 1,4,8] [--mode file|live] [--size 1280x720]

The whole is a worker process as users start it, from the moment streams are in its queue until it has reported that
they are done: decoding, threads, queues, rules, metrics, reports, deliveries. The stages are called one after another
in as many threads as streams are analysed at the same time, without anything between them, on the same clip. Both give
the same number of events. Whole and stages take turns; a ratio is of one round. In mode `live` both get the frames of
the file at a camera's rate instead of as fast as it goes. Needs no network; ends within minutes.

A stage is what the work itself needs: `decode` is FFmpeg's decoder without our source around it; `choose` (filters,
rules, which shot is kept), rings, batchers, metrics and reports are no stage, so they are all overhead.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import av
import httpx
from workers import (
    Surroundings,
    WorkerProcess,
    a_size,
    a_stream,
    machine,
    make_clip,
    numbers,
    surroundings,
    wait_until,
    worker,
)

from luna_processor.delivery.events import BestShot, ShotEvent, new_request_id
from luna_processor.delivery.formats.requests import request_of
from luna_processor.engines.port import Engine
from luna_processor.engines.preparation import DevicePicture, NetworkInput
from luna_processor.frames import Frame
from luna_processor.inference import Engines, load_engines
from luna_processor.selection.chooser import Chooser
from luna_processor.selection.shots import Shot
from luna_processor.settings import Settings
from luna_processor.sources.adapters import open_source
from luna_processor.streams.pipeline import SHOT_JPEG_QUALITY, Detector
from luna_processor.streams.plan import Platform, StreamPlan, make_plan
from luna_processor.streams.scene import Estimators, Found, PoseEstimator, Scene
from luna_processor.tracking.following import Following
from luna_processor.tracking.tracker import TrackerSettings
from luna_processor.vision.detections import Detections, FloatArray
from luna_processor.vision.detector import DetectorSettings, make_detector
from luna_processor.vision.estimators import HeadPoseEstimator, MouthCoverEstimator
from luna_processor.vision.headpose import HeadPose
from luna_processor.vision.imaging import jpeg
from luna_processor.vision.scenecut import SceneCuts
from luna_processor.vision.view import Picture, View, resolve
from luna_streams.rest.v2 import queued_stream

TARGET = 1.10
DEADLINE_S = 600.0

T = TypeVar("T")


class Clock:
    """CPU seconds of one thread by stage; what a stage calls that is a stage itself counts there only."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._nested_s = 0.0

    def run(self, stage: str, work: Callable[[], T]) -> T:
        """Do some work and count what it costs as a stage."""
        before_s, self._nested_s = self._nested_s, 0.0
        began_s = time.thread_time()
        result = work()
        whole_s = time.thread_time() - began_s
        self.spent_s[stage] += whole_s - self._nested_s
        self.calls[stage] += 1
        self._nested_s = before_s + whole_s
        return result


class Direct:
    """Runs a network in the thread that asks."""

    def __init__(self, engine: Engine, clock: Clock, stage: str) -> None:
        self._engine = engine
        self._clock = clock
        self._stage = stage

    def run(self, picture: NetworkInput) -> Sequence[FloatArray]:
        """Return the outputs for one picture."""
        outputs = self._clock.run(self._stage, lambda: self._engine.run([picture]))
        return [output[0] for output in outputs]


@dataclass
class ClockedPose:
    """Head poses, with their price."""

    estimator: PoseEstimator
    clock: Clock

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> HeadPose:
        """Measure a head; the network is a stage of its own."""
        return self.clock.run("crop a head", lambda: self.estimator.estimate(view_rgb, box_xyxy))


class ClockedScene(Scene):
    """A scene whose measures and pictures are stages."""

    clock: Clock

    @property
    def rgb(self) -> Picture:
        """The view of the frame."""
        return self.clock.run("RGB of the frame", lambda: super(ClockedScene, self).rgb)

    def face_quality(self, face: int) -> float:
        """Return how good a shot it is."""
        return self.clock.run("quality", lambda: super(ClockedScene, self).face_quality(face))

    def crop(self, box_xyxy: FloatArray, margin: float, longest_side: int) -> Picture:
        """Return the picture of a shot."""
        return self.clock.run("crop a shot", lambda: super(ClockedScene, self).crop(box_xyxy, margin, longest_side))


class Bare:
    """The stages of one stream, called one after another by one thread.

    Args:
        engines: loaded networks.
        clip: a file.
        plan: of the stream; says at what rate the frames come.
    """

    def __init__(self, engines: Engines, clip: Path, plan: StreamPlan) -> None:
        self.clock = Clock()
        self.event_count = 0
        self._clip = clip
        self._plan = plan
        clock = self.clock
        faces = Direct(engines.faces.engine, clock, "find faces")
        self._faces: Detector = make_detector(engines.faces.spec, faces, DetectorSettings())
        pose = ClockedPose(HeadPoseEstimator(Direct(engines.head_pose.engine, clock, "head pose")), clock)
        mouths = MouthCoverEstimator(Direct(engines.mouth_cover.engine, clock, "mouth"))
        self._estimators = Estimators(pose, mouths)
        with closing(open_source(plan.source, lambda: False)) as source:
            info = source.info
        self._view = View(resolve(plan.roi, info.width, info.height, "roi"), plan.rotation, info.width, info.height)
        names = iter(map(str, range(10**9)))
        self._following = Following([1], TrackerSettings(max_lost_s=1.44), lambda: next(names))
        self._cuts = SceneCuts()
        [analytics] = plan.analytics
        self._chooser = Chooser(analytics, resolve(analytics.droi, info.width, info.height, "droi"))

    def run(self) -> None:
        """Process the clip; called in a thread of its own."""
        self.clock.run("decode", lambda: _decode(self._clip))
        with httpx_client() as post, closing(open_source(self._plan.source, lambda: False)) as source:
            for frame in _paced(source.frames(), self._plan.source.pace_fps):
                for track_id, shots in self._analyse(frame):
                    self._send(track_id, shots, post)
            for track_id, is_confirmed in [(e.track_id, e.is_confirmed) for _, e in self._following.end_all()]:
                for shots in self._chooser.end(track_id) if is_confirmed else ():
                    self._send(track_id, shots, post)

    def _analyse(self, frame: Frame) -> Iterator[tuple[str, tuple[Shot, ...]]]:
        clock = self.clock
        picture = clock.run("convert and scale", lambda: self._faces.picture(frame, self._view))
        found = clock.run("tensor, maps", lambda: self._faces.detect(picture, self._view))
        assert not isinstance(picture, DevicePicture), "the stages of a GPU are another benchmark's business"
        is_cut = clock.run("scene cut", lambda: self._cuts.is_cut(picture))
        assert not is_cut, "clips with cuts are another benchmark's business"
        update = clock.run("track", lambda: self._following.update(found, Detections.none(), frame.pts_s))[1]
        scene = ClockedScene(frame, self._view, Found(found, Detections.none()), self._estimators)
        scene.clock = clock
        ended = [(track.track_id, self._chooser.end(track.track_id), track.is_confirmed) for track in update.ended]
        self._chooser.consider(update.seen, scene)
        for track_id, sets, is_confirmed in ended:
            for shots in sets if is_confirmed else ():
                yield track_id, shots

    def _send(self, track_id: str, shots: tuple[Shot, ...], post: Callable[[ShotEvent], None]) -> None:
        clock, plan = self.clock, self._plan
        self.event_count += 1
        pictures = [clock.run("JPEG", partial(jpeg, shot.picture_rgb, SHOT_JPEG_QUALITY)) for shot in shots]
        event = ShotEvent(
            stream_id=plan.stream_id,
            version=plan.version,
            source=plan.name,
            location=plan.location,
            track_id=track_id,
            target=plan.analytics[0].target,
            shots=tuple(
                BestShot(picture, None, shot.face, shot.body, shot.detected_at, shot.pts_s)
                for picture, shot in zip(pictures, shots, strict=True)
            ),
            request_id=new_request_id(datetime.now(UTC)),
        )
        clock.run("deliver", lambda: post(event))


def _paced(frames: Iterator[Frame], fps: int) -> Iterator[Frame]:
    """Yield frames at a rate, or as fast as they come: after a pause the caches are cold for whoever works then."""
    began_s = time.monotonic()
    for number, frame in enumerate(frames):
        if fps:
            time.sleep(max(0.0, began_s + number / fps - time.monotonic()))
        yield frame


def _decode(clip: Path) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for _ in container.decode(stream):
            pass


@contextmanager
def httpx_client() -> Iterator[Callable[[ShotEvent], None]]:
    """Yield what posts an event over a connection that stays open."""
    loop = asyncio.new_event_loop()
    client = httpx.AsyncClient()

    def post(event: ShotEvent) -> None:
        request = request_of(event, (None,) * len(event.shots))
        sending = client.post(
            request.url, params=request.params, headers=request.headers, files=request.files, data=request.data
        )
        answer = loop.run_until_complete(sending)
        assert answer.status_code == 201

    try:
        yield post
    finally:
        loop.run_until_complete(client.aclose())
        loop.close()


@dataclass(frozen=True)
class Round:
    """One comparison."""

    whole_s: float
    stages_s: float
    by_stage_s: dict[str, float]
    """Of one stream."""
    calls: Counter[str]

    @property
    def ratio(self) -> float:
        """CPU time of the whole, in sums of the stages."""
        return self.whole_s / self.stages_s


class Bench:
    """Measures both sides on one clip.

    Args:
        around: server and platform.
        engines: for the stages.
        clip: a file.
        pace_fps: 0 is as fast as it goes.
    """

    def __init__(self, around: Surroundings, engines: Engines, clip: Path, pace_fps: int) -> None:
        self._around = around
        self._engines = engines
        self._clip = clip
        self._body = a_stream(str(clip), kind="videofile", real_time_mode_fps=pace_fps)
        known = {"stream_id": "00000000-0000-4000-8000-000000000000", "version": 1, "status": "in_progress"}
        self._plan = make_plan(queued_stream({**self._body, **known}), Platform(around.origin, 6))

    def round(self, process: WorkerProcess, streams: int, threads: int) -> Round:
        """Measure stages, whole, stages."""
        before = self._stages(threads)
        events, used_s = self._whole(process, streams)
        runs = [*before, *self._stages(threads)]
        expected = streams * runs[0].event_count
        assert events == expected, f"the worker sent {events} events, the stages {expected}"
        by_stage_s = {
            stage: statistics.mean(run.clock.spent_s[stage] for run in runs) for stage in runs[0].clock.spent_s
        }
        return Round(used_s, sum(by_stage_s.values()) * streams, by_stage_s, runs[0].clock.calls)

    def _stages(self, threads: int) -> list[Bare]:
        runs = [Bare(self._engines, self._clip, self._plan) for _ in range(threads)]
        running = [threading.Thread(target=run.run) for run in runs]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return runs

    def _whole(self, process: WorkerProcess, streams: int) -> tuple[int, float]:
        """Let the worker process the clip; returns events and CPU seconds."""
        events_before, began_s = self._around.event_count, process.cpu_s()
        added = [self._around.add(self._body | {"name": f"clip {number}"}) for number in range(streams)]
        wait_until(lambda: all(stream.status in ("done", "failure") for stream in added), DEADLINE_S)
        used_s = process.cpu_s() - began_s
        for stream in added:
            assert stream.status == "done", stream.report["error"]
        return self._around.event_count - events_before, used_s


def show(rounds: Sequence[Round], frame_count: int) -> None:
    """Print the price of each stage, medians over the rounds."""
    for stage in rounds[0].by_stage_s:
        of_rounds = [one.by_stage_s[stage] * 1000 for one in rounds]
        calls = rounds[0].calls[stage]
        of_frame, of_call = statistics.median(of_rounds) / frame_count, statistics.median(of_rounds) / calls
        per_call = f"{of_call:9.2f} ms x {calls}" if stage != "decode" else ""
        print(f"    {stage:18} {of_frame:7.2f} ms per frame {per_call}")


def compare(bench: Bench, process: WorkerProcess, streams: int, arguments: argparse.Namespace) -> float:
    """Print the comparison for a number of streams; returns the median of its ratios."""
    threads = min(streams, arguments.workers)
    rounds = [bench.round(process, streams, threads) for _ in range(arguments.rounds)]
    print(f"{streams} streams, stages in {threads} threads:" if streams > 1 else "1 stream:")
    show(rounds, arguments.frames)
    whole_ms = statistics.median(one.whole_s for one in rounds) * 1000 / streams / arguments.frames
    stages_ms = statistics.median(one.stages_s for one in rounds) * 1000 / streams / arguments.frames
    ratios = sorted(one.ratio for one in rounds)
    middle = statistics.median(ratios)
    print(f"  whole {whole_ms:.2f} ms per frame, sum of the stages {stages_ms:.2f}")
    print(f"  whole / stages: {middle:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), target {arguments.target:.2f}")
    return middle


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=numbers, default=[1, 4, 8], help="numbers of streams, such as 1,4,8")
    parser.add_argument("--mode", choices=("file", "live"), default="file", help="as fast as it goes, or paced")
    parser.add_argument("--fps", type=int, default=2, help="frames a second in mode live")
    parser.add_argument("--frames", type=int, default=75, help="of the sample clip")
    parser.add_argument("--size", type=a_size, default=(1280, 720), help="of the frames, such as 1920x1080")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="inference threads")
    parser.add_argument("--face-model", help="such as centerface-int8")
    parser.add_argument("--target", type=float, default=TARGET, help="ratio that is still good")
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.frames} frames {arguments.size[0]}x{arguments.size[1]}, mode {arguments.mode}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clip = make_clip(folder / "clip.mp4", arguments.size, arguments.frames)
        around = stack.enter_context(surroundings())
        settings = Settings(streams_origin=around.origin, face_model=arguments.face_model)
        pace_fps = arguments.fps if arguments.mode == "live" else 0
        bench = Bench(around, load_engines(settings), clip, pace_fps)
        model = ["--face-model", arguments.face_model] if arguments.face_model else []
        process = stack.enter_context(worker(around, "--inference-workers", str(arguments.workers), *model))
        worst = max(compare(bench, process, streams, arguments) for streams in arguments.streams)
    return 0 if worst <= arguments.target else 1


if __name__ == "__main__":
    sys.exit(main())
