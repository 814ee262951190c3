"""Where previews may be fetched from: the address of the worker that holds the stream, and listed networks.

A worker may report any URL, and whoever looks at a preview makes the shim fetch it. So the URL counts for nothing:
what it resolves to must be the address the worker was seen at when it took the stream, or lie in a network that the
deployment lists. Judged are addresses, never names or notations, and the connection goes to the judged address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

FORBIDDEN: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local; the metadata services of most clouds
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "168.63.129.16/32",  # Azure's platform service
        "192.0.0.192/32",  # metadata of Oracle Cloud
        "::/128",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "fd00:ec2::/32",  # metadata of AWS
        "fd20:ce::/32",  # metadata of Google Cloud
    )
)
"""Never fetched from, whoever says so."""

_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


def address_of(text: str) -> Address | None:
    """Return an address in its plain form, an IPv4-mapped one as IPv4; None for what is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_permitted(address: Address, worker: Address | None, networks: Sequence[Network]) -> bool:
    """Tell whether a preview may be fetched from an address.

    Args:
        address: that a URL leads to.
        worker: address of the stream's worker, where known.
        networks: that the deployment lists.
    """
    return all(not _is_in(face, FORBIDDEN) and (face == worker or _is_in(face, networks)) for face in _faces(address))


def _faces(address: Address) -> Iterator[Address]:
    """Yield an address, and the IPv4 addresses that packets to it may end at: each must be permitted."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if _is_in(address, _NAT64) or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(int(address) & 0xFFFFFFFF)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
