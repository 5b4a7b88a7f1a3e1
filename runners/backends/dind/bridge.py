"""A bridge interface with an address, made and removed without any tool.

``private_engine`` gives its engine a default bridge of its own this way; the
addresses are chosen so that they overlap no route the machine has.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import socket
import struct
from contextlib import suppress
from pathlib import Path

from runners.model.errors import SystemFault

# Request numbers of linux/sockios.h.
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_SIOCSIFMTU = 0x8922
_SIOCBRADDBR, _SIOCBRDELBR = 0x89A0, 0x89A1
_IFF_UP = 0x1

# Tried in this order; far from what engines, VPNs and clouds take by default.
_POOLS = tuple(f"10.{second}.0.0/16" for second in (213, 214, *range(160, 213), *range(215, 255)))

Net = ipaddress.IPv4Network


def make(name: str, address: str, prefix: int, mtu: int) -> None:
    """Make the bridge (or take the one that is there), address it, bring it up.

    Raises:
        SystemFault: the kernel refused.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            try:
                fcntl.ioctl(sock, _SIOCBRADDBR, name.encode() + b"\0")
            except OSError as exc:
                if exc.errno != errno.EEXIST:
                    raise
            mask = str(Net(f"0.0.0.0/{prefix}").netmask)
            fcntl.ioctl(sock, _SIOCSIFADDR, _with_address(name, address))
            fcntl.ioctl(sock, _SIOCSIFNETMASK, _with_address(name, mask))
            fcntl.ioctl(sock, _SIOCSIFMTU, struct.pack("16si", name.encode(), mtu))
            _set_up(sock, name, up=True)
        except OSError as exc:
            raise SystemFault(f"bridge {name} can't be made: {exc.strerror}") from exc


def remove(name: str) -> None:
    """Remove the bridge. Idempotent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
        _set_up(sock, name, up=False)
        fcntl.ioctl(sock, _SIOCBRDELBR, name.encode() + b"\0")


def free_pool() -> Net:
    """Return a /16 that overlaps no route of this machine.

    Raises:
        SystemFault: every candidate is taken.
    """
    taken = [route for route, _ in routes()]
    for text in _POOLS:
        pool = Net(text)
        if not any(pool.overlaps(route) for route in taken if route.prefixlen):
            return pool
    raise SystemFault(
        "no address range is free for the networks of runners",
        hint="one /16 between 10.160.0.0 and 10.254.0.0 must have no route on this machine",
    )


def routes() -> list[tuple[Net, str]]:
    """Return the machine's IPv4 routes with their interfaces."""
    found = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        target = socket.inet_ntoa(struct.pack("=I", int(fields[1], 16)))
        mask = socket.inet_ntoa(struct.pack("=I", int(fields[7], 16)))
        found.append((Net(f"{target}/{mask}", strict=False), fields[0]))
    return found


def uplink_mtu() -> int:
    """Return the MTU of the default route's interface, 1500 if there is none."""
    for route, interface in routes():
        if route.prefixlen == 0:
            with suppress(OSError, ValueError):
                return int(Path("/sys/class/net", interface, "mtu").read_text())
    return 1500


def _set_up(sock: socket.socket, name: str, *, up: bool) -> None:
    request = struct.pack("16sh14x", name.encode(), 0)
    flags = struct.unpack("16sh14x", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[1]
    flags = flags | _IFF_UP if up else flags & ~_IFF_UP
    fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", name.encode(), flags))


def _with_address(name: str, address: str) -> bytes:
    family = struct.pack("=H2x4s8x", socket.AF_INET, socket.inet_aton(address))
    return struct.pack("16s", name.encode()) + family
