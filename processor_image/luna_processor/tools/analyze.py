"""`luna-streams analyze`: run the pipeline on a file or URL without any server; what it finds goes into a folder."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from luna_processor.errors import ProcessorError, SourceFailed, StartupError, UnsuitableStream
from luna_processor.frames import Frame, Source, SourceInfo
from luna_processor.inference import Inference, load_engines, platform_of, source_opener
from luna_processor.interface.metrics import Metrics
from luna_processor.sources.reference import opening
from luna_processor.streams.plan import SourcePlan, StreamPlan, make_plan
from luna_processor.streams.run import OpenSource, RunContext, StreamRun
from luna_processor.tools import folder as files
from luna_processor.tools.annotator import Annotator, FileStore, VideoStore
from luna_processor.tools.arguments import add_settings, add_source, load_settings, path, seconds, whole_number
from luna_processor.tools.recipe import MODES, Wishes, read_document, shown, to_stream
from luna_processor.tools.recorder import Limits, Recorder
from luna_processor.tools.screen import Fact, Screen, Standing
from luna_streams.rest.submission import QueuedStream

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_USAGE = 2
_SIGNALLED = 128
_POLL_S = 0.1
_LONGEST_SIDE_PX = 1280
_PROGRAM = "luna-streams analyze"
_EXAMPLES = """\
examples:
  luna-streams analyze party.mp4 --out found
  luna-streams analyze party.mp4 --out found --mode faces --start 60 --duration 30
  luna-streams analyze rtsp://user:password@camera/live --out found --duration 60
  luna-streams analyze --stream stream.yaml --out found --frames
  luna-streams analyze pictures/ --mask '%05d.jpg' --out found --roi 0,50,100,50% --rotation 90

exit status: 0 done, 1 the source failed (what was processed until then is in the folder), 2 wrong usage,
130 ended by Ctrl-C (what was done is in the folder, whole)
"""
Outcome = Literal["done", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Result:
    """What an analysis came to."""

    outcome: Outcome
    error: str | None
    seconds: float
    run: StreamRun
    recorder: Recorder


def main(argv: list[str] | None = None) -> int:
    """Analyse; returns the exit status."""
    arguments = _parser().parse_args(argv)
    screen = Screen(_PROGRAM)
    try:
        return _analyze(arguments, screen)
    except (StartupError, UnsuitableStream) as e:
        screen.complain(str(e))
        return EXIT_USAGE
    except ProcessorError as e:
        screen.complain(str(e))
        return EXIT_FAILED


def _analyze(arguments: argparse.Namespace, screen: Screen) -> int:
    document = read_document(arguments.stream) if arguments.stream else {}
    stream = to_stream(document, _wishes(arguments))
    settings = load_settings(vars(arguments), os.environ)
    screen.start_logging(settings.log_level)
    _check(arguments, stream)
    engines = load_engines(settings)
    opener = source_opener(settings, engines, lambda shown_as, reason: log.warning("%s: %s", shown_as, reason))
    inference = Inference(settings, engines)
    plan = make_plan(stream, platform_of(settings, inference.stages))
    if plan.source.kind != "images":
        opening(plan.source)  # what may not be opened, or is not there, is said before anything is written
    files.prepare(arguments.out, overwrite=arguments.overwrite)
    analysis = Analysis(plan, inference, opener, arguments)
    try:
        result = analysis.run(screen)
    finally:
        inference.close()
    return _conclude(result, stream, arguments.out, screen)


def _check(arguments: argparse.Namespace, stream: QueuedStream) -> None:
    if arguments.start is not None and stream.submission.spec.data.type in ("tcp", "udp"):
        raise StartupError("--start needs a file: a live source begins when it is opened")


def _wishes(arguments: argparse.Namespace) -> Wishes:
    return Wishes(
        source=arguments.source,
        transport=arguments.transport,
        mask=arguments.mask,
        mode=arguments.mode,
        roi=arguments.roi,
        droi=arguments.droi,
        rotation=arguments.rotation,
        preferred_width=arguments.preferred_width,
    )


class Analysis:
    """One run of the pipeline that is written into a folder.

    Args:
        plan: of the stream.
        inference: of this process.
        opener: of its sources.
        arguments: of the command line.
    """

    def __init__(
        self, plan: StreamPlan, inference: Inference, opener: OpenSource, arguments: argparse.Namespace
    ) -> None:
        self._plan = plan
        self._start_s = arguments.start or 0.0
        self._duration_s: float | None = arguments.duration
        self._signal: int | None = None
        self._first_frame_s: float | None = None
        is_live = plan.source.is_live
        end_s = None if is_live or self._duration_s is None else self._start_s + self._duration_s
        try:
            self._recorder = Recorder(
                arguments.out, _annotator(plan, arguments), Limits(end_s, arguments.max_frames), self._stop
            )
        except OSError as e:
            raise StartupError(f"{arguments.out} cannot be written: {e.strerror or e}") from e
        if self._start_s:
            opener = functools.partial(_open_late, opener, self._start_s)
        context = RunContext(inference.stages, self._recorder, Metrics(), lambda: None, opener, onlooker=self._recorder)
        self._run = StreamRun(plan, context)

    def run(self, screen: Screen) -> Result:
        """Analyse until the end of the source, a limit or a signal."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        began_s = time.monotonic()
        self._run.start()
        with screen.progress() as bar:
            while not self._run.is_over:
                self._run.join(_POLL_S)
                bar.show(self._standing(time.monotonic() - began_s))
                self._check_live_limit()
        self._recorder.close()
        outcome, error = self._outcome()
        return Result(outcome, error, time.monotonic() - began_s, self._run, self._recorder)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """End in order; a second signal ends at once."""
        self._signal = number
        signal.signal(number, signal.SIG_DFL)
        self._stop()

    def _stop(self) -> None:
        self._run.stop(sends_rest=True)

    def _check_live_limit(self) -> None:
        """End a live source when its time is up, which begins with its first frame."""
        if self._plan.source.is_live and self._duration_s is not None and self._recorder.frame_count:
            now_s = time.monotonic()
            self._first_frame_s = self._first_frame_s or now_s
            if now_s - self._first_frame_s >= self._duration_s:
                self._recorder.is_at_limit = True
                self._stop()

    def _standing(self, elapsed_s: float) -> Standing:
        info, stats, recorder = self._run.report.video_info, self._run.stats, self._recorder
        total_s = self._duration_s
        if not self._plan.source.is_live and info is not None and info.duration is not None:
            left_s = max(0.0, info.duration - self._start_s)
            total_s = left_s if total_s is None else min(total_s, left_s)
        fps = recorder.frame_count / max(1e-6, elapsed_s)
        return Standing(
            position_s=stats.progress_s - self._start_s,
            total_s=total_s,
            text=f"{recorder.frame_count} frames, {fps:.1f}/s, {recorder.shot_count} best shots",
        )

    def _outcome(self) -> tuple[Outcome, str | None]:
        report, recorder = self._run.report, self._recorder
        if recorder.failure is not None:
            return "failed", recorder.failure
        if self._signal is not None:
            return "interrupted", report.error
        if report.status == "failure" and not recorder.is_at_limit:
            return "failed", report.error
        return "done", report.error


def _annotator(plan: StreamPlan, arguments: argparse.Namespace) -> Annotator | None:
    if arguments.no_pictures:
        return None
    if arguments.frames:
        return Annotator(plan, FileStore(arguments.out / files.FRAMES), arguments.longest_side)
    return Annotator(plan, VideoStore(arguments.out / files.VIDEO), arguments.longest_side)


class _LateSource:
    """A source whose first frames are decoded and passed over.

    Args:
        source: open.
        start_s: time of the first frame that is wanted.
        shown_as: its name for people.
    """

    def __init__(self, source: Source, start_s: float, shown_as: str) -> None:
        self._source = source
        self._start_s = start_s
        self._shown_as = shown_as

    @property
    def info(self) -> SourceInfo:
        """What is known by now."""
        return self._source.info

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that are wanted.

        Raises:
            SourceFailed: if there are none, or reading fails.
            UnsuitableSource: if the size of the frames changes.
        """
        has_begun = False
        for frame in self._source.frames():
            if frame.pts_s >= self._start_s:
                has_begun = True
                yield frame
        if not has_begun:
            raise SourceFailed(f"{self._shown_as} ends before --start {self._start_s:g}")

    def close(self) -> None:
        """Release the file."""
        self._source.close()


def _open_late(opener: OpenSource, start_s: float, plan: SourcePlan, is_stopped: Callable[[], bool]) -> Source:
    return _LateSource(opener(plan, is_stopped), start_s, plan.shown_as)


def _conclude(result: Result, stream: QueuedStream, folder: Path, screen: Screen) -> int:
    """Write the summary, tell it, and return the exit status."""
    try:
        files.write_json(folder / files.SUMMARY, summary(result, stream))
    except OSError as e:
        screen.complain(f"{folder} cannot be written: {e.strerror or e}")
        return EXIT_FAILED
    screen.table(f"{result.outcome}: {stream_name(stream)}", facts(result, folder))
    if result.outcome == "failed":
        kept = (
            "what was processed until then is in the folder" if result.recorder.frame_count else "no frame was analysed"
        )
        screen.complain(f"{result.error}; {kept}")
        return EXIT_FAILED
    return _SIGNALLED + signal.SIGINT if result.outcome == "interrupted" else 0


def stream_name(stream: QueuedStream) -> str:
    """Return the source of a stream for people."""
    return shown(stream.submission.spec.data.reference)


def summary(result: Result, stream: QueuedStream) -> dict[str, Any]:
    """Return what summary.json holds."""
    run, recorder = result.run, result.recorder
    info = run.report.video_info
    spec = stream.submission.spec
    data = spec.data.to_resource() | {"reference": stream_name(stream)}
    return {
        "outcome": result.outcome,
        "error": result.error,
        "source": stream_name(stream),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": round(result.seconds, 3),
        "frames": {
            "read": run.stats.frames_read,
            "analysed": recorder.frame_count,
            "dropped": run.stats.frames_dropped,
        },
        "tracks": recorder.track_count,
        "best_shots": recorder.shot_count,
        "events": recorder.event_count,
        "video_info": info.model_dump(mode="json", exclude_none=True) if info else None,
        "data": data,
        "version": version("luna-streams-operator"),
    }


def facts(result: Result, folder: Path) -> list[Fact]:
    """Return the summary for people: what was done, and where it is."""
    run, recorder = result.run, result.recorder
    dropped = f", {run.stats.frames_dropped} dropped" if run.stats.frames_dropped else ""
    rate = recorder.frame_count / max(1e-6, result.seconds)
    where = {
        files.VIDEO: "what was found, drawn into the video",
        files.FRAMES: "the same, a picture per frame",
        files.TRACKS: "who was seen when and where",
        files.SHOTS: "the best shots",
        files.PICTURES: "their pictures",
        files.EVENTS: "events as they would have been sent",
        files.SUMMARY: "these figures, and the parameters",
    }
    return [
        ("frames", f"{recorder.frame_count} in {result.seconds:.1f} s ({rate:.1f} a second){dropped}"),
        ("tracks", str(recorder.track_count)),
        ("best shots", f"{recorder.shot_count} in {recorder.event_count} events"),
        *((str(folder / name), text) for name, text in where.items() if (folder / name).exists()),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        usage=f"{_PROGRAM} [SOURCE] --out DIR [OPTION ...]",
        description="Run the pipeline on a file or URL without any server, and write what it finds into a folder.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="file, URL, camera or folder of pictures")
    parser.add_argument("--out", required=True, type=path, metavar="DIR", help="folder for the results, new or empty")
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier analysis left in DIR")
    what = parser.add_argument_group("what is looked for")
    what.add_argument(
        "--stream", type=path, metavar="FILE",
        help="YAML or JSON with the stream's parameters: a Stream manifest, a body of REST v2, or the data of either",
    )  # fmt: skip
    what.add_argument("--mode", choices=[*MODES], help="humans (a face tied to its body) by default")
    what.add_argument(
        "--roi", metavar="X,Y,W,H", help="part of the frame that is searched, pixels; 0,50,100,50%% in percent"
    )
    what.add_argument("--droi", metavar="X,Y,W,H", help="part in which best shots are taken")
    what.add_argument("--rotation", type=int, choices=(0, 90, 180, 270), help="degrees clockwise")
    source = parser.add_argument_group("how much of the source is read, and how")
    add_source(source)
    source.add_argument("--start", type=seconds, metavar="SECONDS", help="position in a file")
    source.add_argument("--duration", type=seconds, metavar="SECONDS", help="a live source runs until Ctrl-C without")
    source.add_argument("--max-frames", type=whole_number, metavar="N", help="frames that are analysed")
    output = parser.add_argument_group("pictures")
    kinds = output.add_mutually_exclusive_group()
    kinds.add_argument("--frames", action="store_true", help="a picture per frame instead of a video")
    kinds.add_argument("--no-pictures", action="store_true", help="neither video nor frames: only tracks and shots")
    output.add_argument(
        "--longest-side", type=whole_number, default=_LONGEST_SIDE_PX, metavar="PIXELS",
        help="of the annotated pictures (%(default)s)",
    )  # fmt: skip
    add_settings(parser)
    return parser
