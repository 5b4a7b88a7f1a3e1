"""Machines for tests: network namespaces on a bridge of their own.

Processes started "on" a machine reach this one at ``address`` only, over a
link that can be cut. Everything made goes when the context ends.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from runners.backends.dind.relay import Relay

_NETWORKS = 64


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Machine:
    """One namespace. ``words`` in front of a command start it there."""

    def __init__(self, name: str, link: str) -> None:
        self.name = name
        self._link = link
        self._relays: list[Relay] = []

    @property
    def words(self) -> list[str]:
        # Not `ip netns exec`: it would mount another /sys, without control groups.
        return ["nsenter", f"--net=/run/netns/{self.name}", "--"]

    def relay(self, ports: Iterable[int]) -> None:
        """Have loopback ports of this machine there too: its registry, its Git server."""
        namespace = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            self._relays.append(Relay(namespace, tuple(ports)))
        finally:
            os.close(namespace)

    def cut(self) -> None:
        """Take its cable out."""
        _ip("link", "set", self._link, "down")

    def mend(self) -> None:
        """Put its cable back."""
        _ip("link", "set", self._link, "up")

    def close(self) -> None:
        for relay in self._relays:
            relay.close()


class Network:
    """A bridge and the machines on it."""

    def __init__(self, count: int = 2) -> None:
        mark = secrets.token_hex(3)
        self._bridge = f"tkb{mark}"
        self._net = _free_net()
        self._names = [f"tkm{mark}{number}" for number in range(count)]
        self._count = count
        self.machines: list[Machine] = []

    @property
    def address(self) -> str:
        """Where machines reach this one."""
        return f"{self._net}.1"

    def __enter__(self) -> Self:
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("address", "add", f"{self.address}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for number, name in enumerate(self._names):
                self._make(name, f"{self._net}.{number + 2}/24")
        except BaseException:
            self.close()
            raise
        return self

    def _make(self, name: str, address: str) -> None:
        outer, inner = f"{name}o", f"{name}i"
        _ip("netns", "add", name)
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        _ip("link", "set", outer, "master", self._bridge, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "address", "add", address, "dev", inner)
        _ip("-n", name, "link", "set", inner, "up")
        self.machines.append(Machine(name, outer))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for machine in self.machines:
            machine.close()
        for name in self._names:
            if Path(f"/run/netns/{name}").exists():
                _ip("netns", "delete", name)
        if Path(f"/sys/class/net/{self._bridge}").exists():
            _ip("link", "delete", self._bridge)


def _free_net() -> str:
    """Return the first three numbers of a network that this machine has no address in."""
    used = subprocess.run(["ip", "-o", "-4", "address"], check=True, capture_output=True, text=True)
    for _ in range(_NETWORKS):
        net = f"100.{64 + secrets.randbelow(64)}.{secrets.randbelow(256)}"
        if f" {net}." not in used.stdout:
            return net
    raise AssertionError("no free network")
