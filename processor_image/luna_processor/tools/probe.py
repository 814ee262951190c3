"""`luna-streams probe`: what is in a source, can it be decoded, and what to write into a stream for it."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from dataclasses import replace
from types import FrameType

from luna_processor.errors import ProcessorError, StartupError
from luna_processor.sources.survey import Effort, Survey, survey
from luna_processor.streams.plan import Platform, SourcePlan, make_plan
from luna_processor.tools.arguments import SOME_PLATFORM, add_source, seconds, whole_number
from luna_processor.tools.findings import Advice, facts, problem, to_json
from luna_processor.tools.recipe import Transport, Wishes, shown, source_type, to_stream
from luna_processor.tools.screen import Screen
from luna_streams.references import has_user_info
from luna_streams.stream import StreamData

EXIT_UNDECODABLE = 1
EXIT_USAGE = 2
_PROGRAM = "luna-streams probe"
_PLATFORM = Platform(SOME_PLATFORM, 6)
_ALL_FRAMES = sys.maxsize
_DEFAULT_WIDTH: int = StreamData.model_fields["preferred_program_stream_frame_width"].default
_RTSP = re.compile(r"rtsp://", re.IGNORECASE)
_EXAMPLES = """\
examples:
  luna-streams probe recording.mp4
  luna-streams probe rtsp://user:password@camera/live --transport udp
  luna-streams probe https://example.com/live.m3u8 --preferred-width 1280
  luna-streams probe pictures/ --mask '%05d.jpg'
  luna-streams probe --json recording.mp4 | jq .video.codec

exit status: 0 it can be decoded, 1 it cannot, 2 wrong usage
"""


def main(argv: list[str] | None = None) -> int:
    """Probe; returns the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    screen = Screen(_PROGRAM)
    if not arguments.source or "\0" in arguments.source:
        screen.complain("no source: name a file or URL")
        return EXIT_USAGE
    try:
        plan, advice = _planned(arguments, arguments.transport)
    except ProcessorError as e:
        return _tell(Survey(error=str(e)), _unplanned(arguments), screen, is_json=arguments.json)
    # Reading may wait in FFmpeg, which no signal interrupts: Ctrl-C ends the process at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    effort = Effort(seconds=arguments.seconds, frames=arguments.frames or _ALL_FRAMES)
    found = survey(plan, effort, lambda: False)
    if found.info is None and arguments.transport is None and _RTSP.match(plan.reference):
        found, advice = _by_udp(arguments, effort, found, advice)
    return _tell(found, advice, screen, is_json=arguments.json)


def _planned(arguments: argparse.Namespace, transport: Transport | None) -> tuple[SourcePlan, Advice]:
    """Return what is read, and what to write into a stream for it.

    Raises:
        ProcessorError: if no stream may read that.
    """
    wishes = Wishes(
        source=arguments.source,
        transport=transport,
        mask=arguments.mask,
        preferred_width=arguments.preferred_width,
    )
    stream = to_stream({}, wishes)
    plan = make_plan(stream, _PLATFORM).source
    data = stream.submission.spec.data
    advice = Advice(
        type=data.type,
        reference=shown(arguments.source),
        has_user_info=has_user_info(arguments.source),
        mask=data.mask,
        preferred_width=data.preferred_program_stream_frame_width,
    )
    return replace(plan, timeout_s=arguments.timeout), advice


def _unplanned(arguments: argparse.Namespace) -> Advice:
    """Return what is known of a source that no stream may read."""
    return Advice(
        type=source_type(arguments.source, arguments.transport, arguments.mask),
        reference=shown(arguments.source),
        has_user_info=has_user_info(arguments.source),
        mask=arguments.mask,
        preferred_width=arguments.preferred_width or _DEFAULT_WIDTH,
    )


def _by_udp(arguments: argparse.Namespace, effort: Effort, by_tcp: Survey, advice: Advice) -> tuple[Survey, Advice]:
    """Try the other transport of RTSP; some servers know only that."""
    try:
        plan, other_advice = _planned(arguments, "udp")
    except StartupError:
        return by_tcp, advice
    found = survey(plan, effort, lambda: False)
    return (by_tcp, advice) if problem(found) else (found, other_advice)


def _tell(found: Survey, advice: Advice, screen: Screen, *, is_json: bool) -> int:
    wrong = problem(found)
    if is_json:
        screen.say(json.dumps(to_json(found, advice), ensure_ascii=False, indent=2))
    elif found.info is not None:
        screen.table(advice.reference, facts(found, advice))
    if wrong is None:
        return 0
    screen.complain(wrong)
    return EXIT_UNDECODABLE


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Say what is in a source, whether it can be decoded, and what to write into a stream for it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="file, URL, camera or folder of pictures")
    parser.add_argument("--json", action="store_true", help="for scripts")
    add_source(parser)
    parser.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="SECONDS", help="longest wait for an answer (%(default)g)"
    )
    parser.add_argument(
        "--seconds", type=seconds, default=5.0, metavar="SECONDS", help="time for decoding (%(default)g)"
    )
    parser.add_argument("--frames", type=whole_number, metavar="N", help="frames to decode at most")
    return parser
