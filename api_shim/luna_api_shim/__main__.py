"""Start the shim: `luna-streams shim`, or `python -m luna_api_shim`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys

from luna_api_shim.errors import StartupError
from luna_api_shim.service import Service, connected, listen
from luna_api_shim.settings import PREFIX, Settings, load
from luna_kube import NotConfigured, load_credentials

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main(argv: list[str] | None = None) -> int:
    """Run the shim until SIGTERM or SIGINT.

    Returns:
        0 after a signal; 2 if a person has to change something first, after one line that says what.
    """
    parser = argparse.ArgumentParser(
        prog="luna-streams shim",
        description="Serves the LUNA Streams REST API over the resources of a Kubernetes API server. "
        f"Every flag may also be set as a variable {PREFIX}*.",
    )
    for name, field in Settings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=field.description)
    flags = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
    try:
        settings = load(flags, os.environ)
        logging.basicConfig(level=settings.log_level.upper(), format=_LOG_FORMAT, stream=sys.stderr)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request passed on to the leader
        asyncio.run(_run(settings))
    except (StartupError, NotConfigured) as e:
        print(f"luna-streams shim: {e}", file=sys.stderr)
        return 2
    return 0


async def _run(settings: Settings) -> None:
    credentials = await load_credentials(settings.kubeconfig or None)
    with listen(settings) as listener:
        async with connected(settings, credentials) as client:
            service = Service(settings, client, listener)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, service.stop)
            await service.run()


if __name__ == "__main__":
    sys.exit(main())
