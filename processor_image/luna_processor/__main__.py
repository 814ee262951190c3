"""`luna-streams processor`: one worker process."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys

from luna_processor.allocator import bound_arenas
from luna_processor.delivery.spool_place import open_outbox
from luna_processor.errors import StartupError
from luna_processor.inference import load_engines
from luna_processor.process import Process
from luna_processor.settings import PREFIX, Settings, load

EXIT_CANNOT_START = 2
VIEWER_PATIENCE_MS = 60_000
"""Who takes nothing of a preview for so long has gone without a word; the kernel breaks the connection."""


def main(argv: list[str] | None = None) -> int:
    """Run a worker until SIGTERM or SIGINT; returns the exit status."""
    flags = vars(_parser().parse_args(argv))
    bound_arenas()
    try:
        settings = load(flags, os.environ)
        _start_logging(settings.log_level)
        listener = _listen(settings.listen_host, settings.port)
        process = Process(settings, load_engines(settings), listener)
        outbox = open_outbox(settings, os.environ)  # last: a start that fails touches no spool
    except StartupError as e:
        print(f"luna-streams processor: {e}", file=sys.stderr)
        return EXIT_CANNOT_START
    with listener:
        return asyncio.run(process.run(outbox))


def _parser() -> argparse.ArgumentParser:
    """Return the parser: one flag per setting; what is not given comes from the environment."""
    parser = argparse.ArgumentParser(
        prog="luna-streams processor",
        description="Take streams from LUNA Streams, find faces and bodies in them, deliver best shots.",
        epilog=f"Each flag may be given as a variable, too: {PREFIX}STREAMS_ORIGIN and so on.",
        argument_default=argparse.SUPPRESS,
    )
    for name, field in Settings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=(field.description or "").replace("%", "%%"))
    return parser


def _start_logging(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    for chatty in ("httpx", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _listen(host: str, port: int) -> socket.socket:
    """Bind before anything else starts, so that the advertised port is true and a taken one is found at once.

    Raises:
        StartupError: if the address cannot be bound.
    """
    listener: socket.socket | None = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # Named TCP, else asyncio does not know that it is, leaves Nagle's algorithm on, and answers take 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # what is accepted inherits it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VIEWER_PATIENCE_MS)
        listener.bind((host, port))
        listener.listen(128)
        return listener
    except OSError as e:
        if listener is not None:
            listener.close()
        raise StartupError(f"cannot listen on {host}:{port}: {e.strerror}; choose another --port") from e


if __name__ == "__main__":
    sys.exit(main())
