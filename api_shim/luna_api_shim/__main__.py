"""Start the shim: `luna-streams shim`, or `python -m luna_api_shim`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence

from luna_api_shim.errors import StartupError
from luna_api_shim.service import Service, connected, listen
from luna_api_shim.settings import Settings, load
from luna_kube import NotConfigured, load_credentials

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main(argv: list[str] | None = None) -> int:
    """Run the shim until SIGTERM or SIGINT; return the exit status."""
    arguments = _arguments(argv)
    flags = {name: value for name, value in vars(arguments).items() if value is not None and name != "kubeconfig"}
    try:
        settings = load(flags, os.environ)
        logging.basicConfig(
            level=settings.log_level.upper(),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        asyncio.run(_run(settings, arguments.kubeconfig))
    except (StartupError, NotConfigured) as e:
        print(f"luna-streams shim: {e}", file=sys.stderr)
        return 1
    return 0


async def _run(settings: Settings, kubeconfig: str | None) -> None:
    credentials = await load_credentials(kubeconfig)
    with listen(settings) as listener:
        async with connected(settings, credentials) as client:
            service = Service(settings, client, listener)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, service.stop)
            await service.run()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="luna-streams shim",
        description="Serve the LUNA Streams REST API over the resources of a Kubernetes API server.",
        epilog="Every setting can also be given as a variable LUNA_SHIM_*; docs/settings.md lists them.",
    )
    parser.add_argument("--kubeconfig", help="file that says where the API server is; by default as kubectl finds it")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--namespace", help="namespace in which streams are created")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
