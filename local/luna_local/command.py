"""The `luna-streams` command: finds the part that is asked for and hands it the rest of the command line.

Every part is an extra of the distribution, so nothing is imported before it is known which one is wanted; a part whose
packages are not installed is said so in one line.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from importlib.metadata import version
from typing import NamedTuple

EXIT_UNUSABLE = 2
_DISTRIBUTION = "luna-streams-operator"


class _Part(NamedTuple):
    module: str
    extra: str
    summary: str


_PARTS = {
    "up": _Part("luna_local.up.__main__", "local", "run everything on this machine, without a cluster"),
    "processor": _Part("luna_processor.__main__", "processor", "take streams, find faces, deliver best shots"),
    "probe": _Part("luna_processor.tools.probe", "processor", "say what is in a file or stream, and whether it works"),
    "analyze": _Part("luna_processor.tools.analyze", "processor", "find faces and bodies in a file without any server"),
    "operator": _Part("luna_operator.__main__", "operator", "place streams on processor pods of a cluster"),
    "shim": _Part("luna_api_shim.__main__", "api-shim", "serve the LUNA Streams REST API over a cluster"),
    "crds": _Part("luna_operator.crds", "operator", "bring a cluster's resource definitions up to date"),
    "check": _Part("luna_api_shim.check", "api-shim", "ask a running installation whether it works"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one part; return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] not in _PARTS:
        _parser().parse_args(arguments)  # --help and --version end here, everything else is an error
        return EXIT_UNUSABLE
    name, part = arguments[0], _PARTS[arguments[0]]
    try:
        module = importlib.import_module(part.module)
    except ModuleNotFoundError as e:
        package = (e.name or "").partition(".")[0]
        if not package or package.startswith("luna_"):
            raise  # our own fault, not a missing extra
        hint = f"pip install '{_DISTRIBUTION}[{part.extra}]'"
        print(f"luna-streams {name}: the package {package!r} is not installed: {hint}", file=sys.stderr)
        return EXIT_UNUSABLE
    try:
        status: int = module.main(arguments[1:])
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parts = "\n".join(f"  {name:<10} {part.summary}" for name, part in _PARTS.items())
    parser = argparse.ArgumentParser(
        prog="luna-streams",
        usage="luna-streams [-h] [--version] COMMAND ...",
        description=f"LUNA Streams and FaceStream, rebuilt open and Kubernetes-native.\n\ncommands:\n{parts}",
        epilog="luna-streams COMMAND --help says more about a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"luna-streams {version(_DISTRIBUTION)}")
    parser.add_argument("command", choices=[*_PARTS], metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
