"""Where previews may be fetched from."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_api_shim.previews.destinations import FORBIDDEN, Address, Network, address_of, is_permitted

EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
ANY_ADDRESS = st.ip_addresses()
ANY_IPV4 = st.ip_addresses(v=4)


def the(text: str) -> Address:
    return ipaddress.ip_address(text)


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


def in_ipv6(address: IPv4Address) -> dict[str, IPv6Address]:
    """Return the addresses of IPv6 that lead to one of IPv4."""
    number = int(address)
    return {
        "mapped": IPv6Address(0xFFFF << 32 | number),
        "compatible": IPv6Address(number),
        "6to4": IPv6Address(0x2002 << 112 | number << 80),
        "Teredo, client": IPv6Address(0x20010000 << 96 | number ^ 0xFFFFFFFF),
        "Teredo, server": IPv6Address(0x20010000 << 96 | number << 64),
        "NAT64": IPv6Address(0x64FF9B << 96 | number),
        "NAT64, local": IPv6Address(0x64FF9B0001 << 80 | number),
    }


@pytest.mark.parametrize(
    ("address", "worker", "listed", "permitted"),
    [
        ("10.0.0.7", "10.0.0.7", (), True),
        ("10.0.0.8", "10.0.0.7", (), False),
        ("10.0.0.8", "10.0.0.7", ("10.0.0.0/24",), True),
        ("10.0.0.7", None, (), False),
        ("10.0.0.7", None, ("10.0.0.0/24",), True),
        ("127.0.0.1", "127.0.0.1", (), True),
        ("127.0.0.1", "10.0.0.7", ("10.0.0.0/8",), False),
        ("127.0.0.2", "127.0.0.1", (), False),
        ("::1", "127.0.0.1", (), False),
        ("::1", "::1", (), True),
        ("2001:db8::7", "2001:db8::7", (), True),
        ("2001:db8::7", None, ("2001:db8::/64",), True),
        ("::ffff:10.0.0.7", "10.0.0.7", (), True),
        ("::ffff:10.0.0.8", "10.0.0.7", (), False),
        ("::ffff:10.0.0.7", None, ("10.0.0.0/8",), True),
        ("::ffff:127.0.0.1", None, ("::/0",), False),
        ("64:ff9b::10.0.0.8", None, ("64:ff9b::/96",), False),
        ("64:ff9b::10.0.0.8", None, ("64:ff9b::/96", "10.0.0.0/8"), True),
    ],
)
def test_the_worker_or_a_listed_network(
    address: str, worker: str | None, listed: tuple[str, ...], permitted: bool
) -> None:
    assert is_permitted(the(address), the(worker) if worker else None, networks(*listed)) == permitted


NEVER = "0.0.0.1 169.254.169.254 224.0.0.1 255.255.255.255 100.100.100.200 168.63.129.16"
NEVER_IN_IPV6 = ":: fe80::1 fe80::1%eth0 ff02::1 fd00:ec2::254 fd20:ce::254"


@pytest.mark.parametrize("address", [*NEVER.split(), *NEVER_IN_IPV6.split()])
def test_some_addresses_are_never_permitted(address: str) -> None:
    assert not is_permitted(the(address), the(address), EVERYWHERE)


@given(st.sampled_from([n for n in FORBIDDEN if n.version == 4]), st.data())
def test_a_forbidden_address_stays_forbidden_inside_of_ipv6(
    network: ipaddress.IPv4Network, data: st.DataObject
) -> None:
    hidden = IPv4Address(data.draw(st.integers(int(network[0]), int(network[-1]))))
    for name, address in in_ipv6(hidden).items():
        assert int(address) == 1 or not is_permitted(address, address_of(str(address)), EVERYWHERE), name


@given(ANY_IPV4, ANY_IPV4)
def test_an_address_inside_of_ipv6_needs_its_own_permission(hidden: IPv4Address, worker: IPv4Address) -> None:
    ipv6_only = (ipaddress.ip_network("::/0"),)
    for name, address in in_ipv6(hidden).items():
        if int(address) > 1 and hidden != worker:
            assert not is_permitted(address, worker, ipv6_only), name


@given(ANY_ADDRESS, ANY_ADDRESS)
def test_without_listed_networks_only_the_worker_is_left(address: Address, worker: Address) -> None:
    if is_permitted(address, worker, ()):
        assert address_of(str(address)) == worker


@given(ANY_IPV4)
def test_a_mapped_address_is_the_plain_one(address: IPv4Address) -> None:
    assert address_of(f"::ffff:{address}") == address_of(str(address)) == address


@pytest.mark.parametrize("text", ["", "worker.example", "2130706433", "0x7f.1", "010.0.0.1", "127.1", "1.2.3.4.5"])
def test_other_notations_are_no_addresses(text: str) -> None:
    assert address_of(text) is None
