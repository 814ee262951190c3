"""The command line of `luna-streams up`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from luna_local.demo import CLIP

DEFAULT_PORT = 5160
_MAX_PROCESSORS = 100

_EPILOG = """
DIR holds everything and can be deleted when nothing runs: kubernetes/ (the API server's objects), inbox/ (events and
pictures), pods/ (logs and volumes of what runs), kubeconfig, up.log, and endpoints.json, which says where everything
is for as long as it is ready.

With --exit-when-idle the command ends as soon as no stream is pending or in progress: with status 0, or 1 if a stream
failed meanwhile; with 130 if a signal ended it before. If there are no streams at all, that is at once.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Attributes:
        data: the folder that holds everything.
        port: of the REST API; 0 takes a free one.
        processors: how many processors run; 0 leaves the streams to foreign workers.
        demo: a video file to process at once, None for none.
        exit_when_idle: end when no stream is pending or in progress any more.
    """

    data: Path
    port: int = DEFAULT_PORT
    processors: int = 1
    demo: Path | None = None
    exit_when_idle: bool = False


def default_data() -> Path:
    """Return the folder that is used unless another is given."""
    if home := os.environ.get("XDG_DATA_HOME"):
        return Path(home) / "luna-streams"
    try:
        return Path.home() / ".local" / "share" / "luna-streams"
    except RuntimeError:  # a user without a home
        return Path.cwd() / ".luna-streams"


def parse(argv: Sequence[str] | None) -> Options:
    """Read the command line; ends the program with a message if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="luna-streams up",
        description="Run API server, operator, REST API, processors and an inbox for events on this machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=default_data(), help="folder for everything (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=_whole(0, 65535),
        default=DEFAULT_PORT,
        help="port of the REST API (default: %(default)s; 0: any)",
    )
    parser.add_argument(
        "--processors",
        type=_whole(0, _MAX_PROCESSORS),
        default=1,
        metavar="N",
        help="processors to run (default: %(default)s; 0: streams wait for foreign workers)",
    )
    parser.add_argument(
        "--demo", type=Path, nargs="?", const=CLIP, metavar="FILE", help="process a sample clip, or this video file"
    )
    parser.add_argument("--exit-when-idle", action="store_true", help="end when all streams are through")
    given = parser.parse_args(argv)
    demo = given.demo.expanduser().absolute() if given.demo else None
    return Options(given.data.expanduser().absolute(), given.port, given.processors, demo, given.exit_when_idle)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return number
