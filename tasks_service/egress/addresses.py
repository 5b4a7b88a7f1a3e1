"""What an IP address is, in one word: public, or why nobody outside should choose it (N3).

Pure. An address that carries an IPv4 address inside (mapped, NAT64, 6to4,
Teredo) is judged by the worse of both.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# First match wins. The two addresses at which clouds answer questions about
# the machine stand first: they hand out its credentials.
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("metadata", ("169.254.169.254/32", "169.254.170.2/32", "100.100.100.200/32",
                  "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::254/128",
                  "fd20:ce::254/128")),
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("shared (carrier)", ("100.64.0.0/10",)),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    ("reserved", ("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
                  "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "64:ff9b:1::/48",
                  "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16")),
)  # fmt: skip
_TABLE: tuple[tuple[str, tuple[Network, ...]], ...] = tuple(
    (kind, tuple(ip_network(text) for text in texts)) for kind, texts in _KINDS
)
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = 0x5EFE


def parse_address(text: str) -> Address | None:
    """Return the address that ``text`` writes out, or None for a name.

    Brackets and an IPv6 zone are taken off; an IPv4-mapped address becomes
    the IPv4 one. Short and numeric forms (``127.1``, ``0x7f000001``) are not
    read here: they go through the resolver like names.
    """
    bare = text.removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        found = ip_address(bare)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def kind_of(address: Address) -> str:
    """Return ``""`` for a public address, else the word that tells what it is."""
    inner = _inner(address) if isinstance(address, IPv6Address) else None
    if inner is not None and (kind := kind_of(inner)):
        return kind
    for kind, networks in _TABLE:
        if any(address.version == n.version and address in n for n in networks):
            return kind
    return ""


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    number = int(address)
    if address in _NAT64 or (address in _COMPATIBLE and number > 0xFFFF):
        return IPv4Address(number & 0xFFFFFFFF)
    if (number >> 32) & 0xFFFF == _ISATAP and (number >> 48) & 0xFDFF == 0:
        return IPv4Address(number & 0xFFFFFFFF)
    return None
