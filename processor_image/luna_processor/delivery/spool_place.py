"""Where a process keeps the events that wait, when its settings do not say so."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from luna_processor.delivery.outbox import Outbox
from luna_processor.delivery.spool import Spool
from luna_processor.errors import StartupError
from luna_processor.settings import Settings

log = logging.getLogger(__name__)

_MEMORY_BYTES: Final = 64 * 2**20
"""Of events that wait in memory: some hundreds."""


def open_outbox(settings: Settings, environment: Mapping[str, str]) -> Outbox:
    """Open the outbox of a process, with what waits in it from the last time.

    Without a folder in the settings it is one of the user's, by the port: two processes never have the same, and one
    that is started again finds its own. Where that cannot be used, or the port is any, events wait in memory.

    Args:
        settings: of the process.
        environment: tells where the user keeps what programs have to remember.

    Raises:
        StartupError: if the folder that the settings name cannot be used.
    """
    if settings.spool_size == 0:
        return _in_memory("--spool-size is 0")
    if settings.spool_dir is not None:
        return _on_disk(settings.spool_dir.expanduser().absolute(), settings.spool_size)
    state = _state_folder(environment)
    if settings.port == 0:
        return _in_memory("with --port 0 no folder would be found again; name one by --spool-dir")
    if state is None:
        return _in_memory("this user has no home; name a folder by --spool-dir")
    try:
        return _on_disk(state / "luna-streams" / f"spool-{settings.port}", settings.spool_size)
    except StartupError as e:
        return _in_memory(str(e))


def _on_disk(folder: Path, size_bytes: int) -> Outbox:
    outbox = Outbox(Spool(folder), size_bytes)
    log.info("events wait for delivery in %s, %d from before", folder, outbox.size)
    return outbox


def _in_memory(why: str) -> Outbox:
    log.warning("events wait for delivery in memory, and are lost when the process is killed: %s", why)
    return Outbox(Spool(None), _MEMORY_BYTES)


def _state_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder for programs' state, as XDG has it; None for a user without a home."""
    if (state := Path(environment.get("XDG_STATE_HOME", ""))).is_absolute():
        return state
    home = Path(environment.get("HOME", ""))
    return home / ".local" / "state" if home.is_absolute() else None
