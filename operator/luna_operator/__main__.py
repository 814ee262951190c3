"""The command: `luna-streams operator`, or `python -m luna_operator`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import Final

from luna_kube import Credentials, NotConfigured, load_credentials
from luna_operator.operator import Operator
from luna_operator.settings import PREFIX, Settings, load
from luna_streams.configuration import SettingsError

_YOUNG_OBJECTS: Final = 10_000
"""New objects after which Python looks for cycles, of which there are few here: with its 700 and ten thousand streams
in memory, that took up to a quarter of the CPU time of a placement."""


def main(argv: list[str] | None = None) -> int:
    """Run the operator until SIGTERM or SIGINT.

    Returns:
        0 after a signal; 2 if a person has to change something first, after one line that says what.
    """
    parser = argparse.ArgumentParser(
        prog="luna-streams operator",
        description=f"Places streams on processor pods. Every flag may also be set as a variable {PREFIX}*.",
    )
    for name, field in Settings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=field.description)
    flags = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
    try:
        settings = load(os.environ, flags)
        _log(settings.log_level)
        gc.set_threshold(_YOUNG_OBJECTS)
        asyncio.run(_serve(settings))
    except (SettingsError, NotConfigured, OSError) as e:
        print(f"luna-streams operator: {e}", file=sys.stderr)
        return 2
    return 0


async def _serve(settings: Settings) -> None:
    async def load() -> Credentials:
        return await load_credentials(settings.kubeconfig or None)

    work = asyncio.create_task(Operator(settings, load).run(), name="operator")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with suppress(asyncio.CancelledError):
        await work


def _log(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


if __name__ == "__main__":
    sys.exit(main())
