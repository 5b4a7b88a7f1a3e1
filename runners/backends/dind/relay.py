"""Registries of this machine's loopback address, under the same name in a runner.

No port is opened on the host. A listening socket is made inside the runner's
own network namespace, held by our process, and what connects to it is copied
to the host's loopback port. Only ports the request names exist, and they go
with the relay.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress

from runners.backends.dind import pump, readers
from runners.backends.dind.syscalls import CLONE_NEWNET, setns
from runners.model.errors import InvalidInput, SystemFault

_MOST = 256


def loopback_ports(registries: Iterable[str]) -> tuple[int, ...]:
    """Return the ports of those ``host[:port]`` that are this machine's loopback.

    Raises:
        InvalidInput: a name that is no ``host[:port]``.
    """
    ports: dict[int, None] = {}
    for registry in registries:
        host, colon, port = registry.rpartition(":")
        if not colon or port.endswith("]"):
            host, port = registry, ""
        if port and not (port.isdigit() and 0 < int(port) < 65536):
            raise InvalidInput(f"{registry!r} is not a registry's host[:port]")
        if is_loopback(host.strip("[]")):
            # Without a port a registry is looked for at both.
            ports.update(dict.fromkeys([int(port)] if port else [443, 80]))
    return tuple(ports)


def is_loopback(host: str) -> bool:
    """Return True for ``localhost`` and loopback addresses; names are not looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


class Relay:
    """Listeners in one runner, copied to this machine's loopback ports."""

    def __init__(
        self, net_namespace: int, ports: Iterable[int], *, read_only: bool = False
    ) -> None:
        """Listen on 127.0.0.1 in the namespace of the given descriptor.

        With ``read_only``, requests that would change something are refused.

        Raises:
            SystemFault: the namespace or a port of it can't be had.
        """
        self._read_only = read_only
        self._free = threading.BoundedSemaphore(_MOST)
        self._listeners: list[socket.socket] = []
        for port in ports:
            self._listeners.append(_listen_in(net_namespace, port))
        for port, listener in zip(ports, self._listeners, strict=True):
            threading.Thread(
                target=self._serve, args=(listener, port), name=f"relay-{port}", daemon=True
            ).start()

    def close(self) -> None:
        """Stop listening. Idempotent; connections end with the runner."""
        for listener in self._listeners:
            # Wakes the accepting thread, which a close alone does not.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _serve(self, listener: socket.socket, port: int) -> None:
        while True:
            try:
                inside, _ = listener.accept()
            except OSError:
                return
            if not self._free.acquire(blocking=False):
                inside.close()
                continue
            threading.Thread(
                target=self._connect, args=(inside, port), name="relay", daemon=True
            ).start()

    def _connect(self, inside: socket.socket, port: int) -> None:
        for host in ("127.0.0.1", "::1"):
            try:
                outside = socket.create_connection((host, port), timeout=10)
            except OSError:
                continue
            outside.settimeout(None)
            if self._read_only:
                readers.start(inside, outside, self._free.release)
            else:
                pump.start(inside, outside, self._free.release)
            return
        inside.close()
        self._free.release()


def _listen_in(net_namespace: int, port: int) -> socket.socket:
    made: list[socket.socket] = []
    problem: list[OSError] = []

    def work() -> None:
        # The namespace belongs to this thread alone and ends with it; the
        # socket keeps its own.
        try:
            setns(net_namespace, CLONE_NEWNET)
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            sock.listen(128)
            made.append(sock)
        except OSError as exc:
            problem.append(exc)

    thread = threading.Thread(target=work, name="relay-setup")
    thread.start()
    thread.join()
    if problem:
        raise SystemFault(
            f"port {port} of the runner can't be tied to this machine's registry: "
            f"{os.strerror(problem[0].errno or 0)}"
        ) from problem[0]
    return made[0]
