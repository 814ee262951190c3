"""Which ports the servers take."""

from __future__ import annotations

import time

from luna_local.serving import PortTaken, bind_loopback
from luna_local.up.errors import UpError

_PATIENCE_S = 2.0
_RETRY_S = 0.1


def rest_port(wanted: int) -> int:
    """Return the port of the REST API, which is free; 0 chooses one.

    Waits a moment for one that is taken: it may belong to the shim of an `up` that was killed just now.

    Raises:
        UpError: if somebody else listens there.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _free(wanted)
        except PortTaken as e:
            if time.monotonic() >= deadline:
                raise UpError(f"{e}; end whoever listens there, or choose another --port (0: any free one)") from e
            time.sleep(_RETRY_S)


def preferred_port(wanted: int) -> int:
    """Return a port if it is free, else any that is; 0 chooses one.

    The same ports every time keep kubeconfig and inbox addresses that were written down valid over restarts.
    """
    try:
        return _free(wanted if wanted <= 65535 else 0)
    except PortTaken:
        return _free(0)


def _free(port: int) -> int:
    with bind_loopback(port) as listener:
        chosen: int = listener.getsockname()[1]
        return chosen
