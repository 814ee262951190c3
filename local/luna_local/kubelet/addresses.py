"""Addresses of Pods: every Pod gets an IP of its own in 127.64.0.0/16, so that ports never collide.

The whole of 127.0.0.0/8 is the loopback interface on Linux; nothing has to be set up, and nobody outside reaches it.
Several kubelets may run on one machine (tests do): each claims a /24 by holding a UDP socket on its first address,
which the kernel releases however the kubelet ends.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

HOST_IP = "127.0.0.1"

_BLOCKS = 256
_FIRST_HOST, _LAST_HOST = 2, 254
_CLAIM_PORT = 34568


class NoAddressLeft(Exception):
    """All addresses are in use; one comes back when a Pod ends."""


class PodAddresses:
    """Hands out addresses, each to one Pod at a time; close it at the end."""

    def __init__(self) -> None:
        self._claims: dict[int, socket.socket] = {}
        self._taken: set[str] = set()
        self._next = self._candidates()

    def take(self) -> str:
        """Return an address that no Pod has.

        Addresses go around: one that was given back is used again last, so that a late packet for a Pod that ended
        does not reach its successor.

        Raises:
            NoAddressLeft: if there is none.
        """
        for _ in range(_BLOCKS * (_LAST_HOST - _FIRST_HOST + 1)):
            address = next(self._next, None)
            if address is None:
                self._next = self._candidates()
            elif address not in self._taken:
                self._taken.add(address)
                return address
        raise NoAddressLeft("every address of 127.64.0.0/16 is in use")

    def give_back(self, address: str) -> None:
        """Return an address; others may have it now."""
        self._taken.discard(address)

    def close(self) -> None:
        """Release the claims."""
        for claim in self._claims.values():
            claim.close()
        self._claims.clear()

    def _candidates(self) -> Iterator[str]:
        for block in self._blocks():
            for host in range(_FIRST_HOST, _LAST_HOST + 1):
                yield f"127.64.{block}.{host}"

    def _blocks(self) -> Iterator[int]:
        yield from list(self._claims)
        for block in range(_BLOCKS):
            if block not in self._claims and self._claim(block):
                yield block

    def _claim(self, block: int) -> bool:
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((f"127.64.{block}.1", _CLAIM_PORT))
        except OSError:  # another kubelet has it
            claim.close()
            return False
        self._claims[block] = claim
        return True
