"""Start everything on this machine: `luna-streams up`, or `python -m luna_local.up`."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
from logging.handlers import RotatingFileHandler

from luna_local.up.errors import UpError
from luna_local.up.folder import DataFolder
from luna_local.up.options import Options, parse
from luna_local.up.screen import Screen
from luna_local.up.session import EXIT_INTERRUPTED, Session

EXIT_CANNOT_START = 2
EXIT_BUG = 70
_MAX_LOG_BYTES = 10 * 1024 * 1024
# What the Pods import; what this process itself imports is found missing before.
_PACKAGES_OF_PODS = {"kopf": "operator", "starlette": "api-shim", "av": "processor", "onnxruntime": "processor"}

_LOG = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run everything until a signal, or until idle; return the exit status."""
    options = parse(argv)
    screen = Screen()
    # What cannot be logged is not shown instead: a person is told in one line, below.
    logging.raiseExceptions = False
    logging.lastResort = None
    try:
        _check_machine(options)
        folder = DataFolder(options.data)
        with folder.locked():
            _log_to(folder)
            return asyncio.run(Session(options, folder, screen).run())
    except UpError as e:
        screen.complain(str(e))
        return EXIT_CANNOT_START
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.complain("ended at once; nothing is left running")
        return EXIT_INTERRUPTED
    except OSError as e:
        _LOG.exception("luna-streams up cannot go on")
        screen.complain(f"{e.strerror or e} ({e.filename or options.data}); make room, or choose another --data")
        return EXIT_CANNOT_START
    except Exception as e:  # the outermost loop of the process: a bug goes into the log, a line to the person
        _LOG.exception("luna-streams up ended by a bug")
        screen.complain(f"this is a bug: {type(e).__name__}: {e}; {DataFolder(options.data).log} says more")
        return EXIT_BUG


def _check_machine(options: Options) -> None:
    if sys.platform != "linux":
        raise UpError("the local mode needs Linux: process groups are guarded by what only its kernel has")
    for package, extra in _PACKAGES_OF_PODS.items():
        is_needed = options.processors > 0 or extra != "processor"
        if is_needed and importlib.util.find_spec(package) is None:
            raise UpError(f"the package {package!r} is not installed: pip install 'luna-streams-operator[local]'")


def _log_to(folder: DataFolder) -> None:
    try:
        handler = RotatingFileHandler(folder.log, maxBytes=_MAX_LOG_BYTES, backupCount=1)
    except OSError as e:
        raise UpError(f"{folder.log} cannot be written: {e.strerror}; choose another --data") from e
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(handlers=[handler], level="INFO", format=form, force=True)


if __name__ == "__main__":
    sys.exit(main())
