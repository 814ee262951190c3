"""A sender of MPEG-TS in datagrams, as encoders do: unicast or to a group, in real time, again and again."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

_PER_DATAGRAM = 7 * 188


def free_udp_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def datagrams(stream: bytes, host: str, port: int, duration_s: float) -> Iterator[threading.Event]:
    """Send a transport stream over loopback.

    Args:
        stream: whole packets of 188 bytes.
        host: address, also of a group.
        port: of the receiver.
        duration_s: time in which it is sent once; then it begins again.

    Yields:
        An event that ends it.
    """
    stop = threading.Event()
    pieces = [stream[start : start + _PER_DATAGRAM] for start in range(0, len(stream), _PER_DATAGRAM)]

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            while True:
                for piece in pieces:
                    with contextlib.suppress(ConnectionRefusedError):  # nobody listens yet, or any more
                        sender.sendto(piece, (host, port))
                    if stop.wait(duration_s / len(pieces)):
                        return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()
