"""TLS connections that wait for their peer's goodbye when an event loop ends are no leak of ours.

Where a task is cancelled in the moment in which the handshake of its connection is through, asyncio itself begins to
close the connection, in order, and nobody is left who could wait for the peer's answer. A test's loop that ends before
it comes leaves a transport behind, about which asyncio complains whenever it is collected, in whichever test.
"""

from __future__ import annotations

from asyncio import selector_events
from typing import Any

_CLOSING = ("FLUSHING", "SHUTDOWN", "UNWRAPPED")
"""States of asyncio.sslproto.SSLProtocol."""


def let_goodbyes_be() -> None:
    """Have every event loop close such transports at its end; asyncio still complains about all others."""
    loop_class: Any = selector_events.BaseSelectorEventLoop
    close = loop_class.close

    def close_all(self: Any) -> None:
        for transport in list(self._transports.values()):
            state = getattr(getattr(transport, "_protocol", None), "_state", None)
            if getattr(state, "name", None) in _CLOSING and transport._sock is not None:
                sock, transport._sock = transport._sock, None
                sock.close()
        close(self)

    loop_class.close = close_all
