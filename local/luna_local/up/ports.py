"""Which ports the servers take, and that they keep them.

API server and inbox run in this process and listen from the moment a port is chosen. The REST API is another process,
which binds its port a little later: until then, and for as long as `up` runs, the port is claimed by a name that only
one process of the machine can have (an abstract socket, gone with its owner), so that of two `up` started in the same
second one is told at once.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from luna_local.serving import PortTaken, bind_loopback
from luna_local.up.errors import UpError

_PATIENCE_S = 2.0
_RETRY_S = 0.1


@contextlib.contextmanager
def rest_port(wanted: int) -> Iterator[int]:
    """Claim the port of the REST API for the length of the block; 0 chooses one.

    Waits a moment for one that is taken: it may belong to the shim of an `up` that was killed just now.

    Raises:
        UpError: if somebody else listens there or is about to.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            port, claim = _claim_free(wanted)
            break
        except PortTaken as e:
            if time.monotonic() >= deadline:
                raise UpError(f"{e}; end whoever listens there, or choose another --port (0: any free one)") from e
            time.sleep(_RETRY_S)
    with claim:
        yield port


def preferred_listener(wanted: int) -> socket.socket:
    """Listen on a port if it is free, else on any that is; 0 chooses one.

    The same ports every time keep kubeconfig and inbox addresses that were written down valid over restarts.
    """
    port = wanted if wanted <= 65535 else 0
    try:
        with _claim(port) if port else contextlib.nullcontext():
            return bind_loopback(port)
    except PortTaken:
        return bind_loopback(0)


def _claim_free(wanted: int) -> tuple[int, socket.socket]:
    with bind_loopback(wanted) as listener:
        port: int = listener.getsockname()[1]
        return port, _claim(port)


def _claim(port: int) -> socket.socket:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0luna-streams-up-port-{port}")
    except OSError as e:
        claim.close()
        raise PortTaken(f"port {port} is taken by another `luna-streams up`") from e
    return claim
