"""The egress rules (N3): a URL in, the addresses it may be reached at or a refusal out.

Called by everything of the service that connects where a user says: sources,
alias files, stores of secrets, webhooks. A name is resolved once, every address
is judged, and the caller connects to what was judged, never to the name again:
a second answer of the resolver can't lead elsewhere. ``transport.py`` does that
for HTTP; for Git ``Target`` has the words to put into its options.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

from runners.model.errors import Denied, InvalidInput, Unavailable
from tasks_service.egress.addresses import Address, Network, kind_of, parse_address

Resolver = Callable[[str, int], Sequence[str]]
"""Host and port in, addresses out; raises OSError where there are none."""

PORTS = {"https": 443, "http": 80, "ssh": 22, "smtp": 587, "smtps": 465}
"""The schemes there are, with the port each has by itself."""

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?")
_MAX_ADDRESSES = 32


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Ask the system: its hosts file and its name servers."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True)
class Target:
    """Where one URL leads: checked, and to be reached at ``addresses`` only."""

    scheme: str
    host: str
    """Lower case, without port and brackets."""
    port: int
    addresses: tuple[str, ...]

    @property
    def curl_resolve(self) -> str:
        """The value of ``http.curloptResolve`` (Git) or ``--resolve`` (curl)."""
        listed = ",".join(f"[{a}]" if ":" in a else a for a in self.addresses)
        return f"{self.host}:{self.port}:{listed}"


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Which URLs may be asked for, and at which addresses.

    Public addresses are always fine, at the usual ports. Everything else must
    be listed by the operator.

    Attributes:
        allow_hosts: ``host`` or ``host:port``; such a host may be at any
            address, and at any port where none is given. ``*.domain`` means
            all names below a domain.
        allow_networks: Networks that are not public and may be reached all
            the same (``10.0.0.0/8``). An address at which a cloud hands out
            credentials is let through by a network of that one address only.
        allow_http: Take ``http://`` from any host; listed hosts may have it anyway.
        ports: Ports of hosts that are not listed.
        schemes: What a URL may begin with.
        resolver: Where names become addresses.

    Raises:
        InvalidInput: An entry of the lists can't be.
    """

    allow_hosts: tuple[str, ...] = ()
    allow_networks: tuple[str, ...] = ()
    allow_http: bool = False
    ports: frozenset[int] = frozenset({22, 80, 443})
    schemes: tuple[str, ...] = ("https", "http", "ssh")
    resolver: Resolver = system_resolver

    def __post_init__(self) -> None:
        for text in self.allow_networks:
            _network(text)
        for text in self.allow_hosts:
            if not text or any(letter in text for letter in "/@ ") or "://" in text:
                raise InvalidInput(
                    f"allowed host {text!r} is not a host name",
                    hint="write host, host:port or *.domain; networks are a list of their own",
                )

    def check_text(self, url: str, *, what: str = "URL") -> None:
        """Check all that needs no network: quick, for the moment a URL is stored.

        Raises:
            InvalidInput: It is no URL, or its scheme is not taken.
            Denied: The host is written as an address, or has a port, that is
                not allowed.
        """
        _, host, port = self._parse(url, what)
        address = parse_address(host)
        self._judge(host, port, [address] if address is not None else [], what)

    def check(self, url: str, *, what: str = "URL") -> Target:
        """Resolve the URL's host and return where it may be reached.

        Args:
            url: As the user or a redirect gave it.
            what: The noun for messages, such as ``source`` or ``alias file``.

        Raises:
            InvalidInput: It is no URL, or its scheme is not taken.
            Denied: An address or the port is not allowed.
            Unavailable: The host is not known.
        """
        scheme, host, port = self._parse(url, what)
        literal = parse_address(host)
        found = [literal] if literal is not None else self._resolve(host, port, what)
        # One bad address among many is enough: who controls the name controls
        # which of them is taken.
        self._judge(host, port, found, what)
        addresses = tuple(dict.fromkeys(str(address) for address in found))
        return Target(scheme, host, port, addresses[:_MAX_ADDRESSES])

    def to_json(self) -> dict[str, Any]:
        """Return the lists as JSON, for a process that checks by itself."""
        return {
            "allow_hosts": list(self.allow_hosts),
            "allow_networks": list(self.allow_networks),
            "allow_http": self.allow_http,
            "ports": sorted(self.ports),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EgressPolicy:
        """Return the policy ``to_json`` wrote, with the system's resolver."""
        return cls(
            tuple(value["allow_hosts"]),
            tuple(value["allow_networks"]),
            bool(value["allow_http"]),
            frozenset(value["ports"]),
        )

    def _parse(self, url: str, what: str) -> tuple[str, str, int]:
        if len(url) > 8192 or any(ord(c) < 33 or ord(c) > 126 or c in '\\"<>`{}|^' for c in url):
            raise InvalidInput(f"{what} {_shown(url)!r} holds a character no URL can have")
        try:
            parts = urlsplit(url)
            port, host = parts.port, (parts.hostname or "").lower()
        except ValueError as exc:
            raise InvalidInput(f"{what} {_shown(url)!r} is not a URL: {exc}") from exc
        scheme = parts.scheme.lower()
        if scheme not in self.schemes:
            allowed = self.schemes[0]
            raise InvalidInput(f"{what} scheme {scheme[:20]!r} is not allowed (allowed: {allowed})")
        _check_authority(parts, host, what)
        if port == 0:
            raise InvalidInput(f"{what} {_shown(url)!r} has port 0")
        number = port or PORTS[scheme]
        listed = self.lists(host, number)
        if scheme == "http" and not (self.allow_http or listed):
            raise InvalidInput(
                f"{what} scheme 'http' is not allowed (allowed: https)",
                hint=f"whoever runs the service allows it by TASKSD_ALLOW_HOSTS={host}",
            )
        return scheme, host, number

    def lists(self, host: str, port: int) -> bool:
        """Return whether the operator listed a host: it is trusted, wherever it is."""
        for text in self.allow_hosts:
            name, _, only = _host_and_port(text)
            if only and only != str(port):
                continue
            below = name.startswith("*.") and host.endswith(name[1:])
            if below or host == name:
                return True
            mine, theirs = parse_address(name), parse_address(host)
            if mine is not None and mine == theirs:
                return True
        return False

    def _resolve(self, host: str, port: int, what: str) -> list[Address]:
        try:
            texts = self.resolver(host, port)
        except (OSError, UnicodeError) as exc:
            raise Unavailable(
                f"host {host} of the {what} is not known", hint="check the spelling and the network"
            ) from exc
        found = [address for text in texts if (address := parse_address(text)) is not None]
        if not found:
            raise Unavailable(f"host {host} of the {what} has no address")
        return found

    def _judge(self, host: str, port: int, found: Sequence[Address], what: str) -> None:
        if self.lists(host, port):
            return
        for address in found:
            kind = kind_of(address)
            if kind and not self._in_allowed_network(address, kind):
                raise Denied(
                    f"host {host} of the {what} resolves to a {kind} address ({address}),"
                    " not allowed",
                    hint="an operator of the service can list it under allow_hosts",
                )
        if port not in self.ports:
            raise Denied(
                f"port {port} of the {what} is not allowed"
                f" (allowed: {', '.join(str(p) for p in sorted(self.ports))})",
                hint=f"an operator of the service can list {host}:{port} under allow_hosts",
            )

    def _in_allowed_network(self, address: Address, kind: str) -> bool:
        for text in self.allow_networks:
            network = _network(text)
            exact = network.num_addresses == 1
            inside = address.version == network.version and address in network
            if inside and (exact or kind != "metadata"):
                return True
        return False


def _network(text: str) -> Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError as exc:
        raise InvalidInput(
            f"allowed network {text!r} is not a network", hint="write 10.0.0.0/8 or fd12::/16"
        ) from exc


def _host_and_port(text: str) -> tuple[str, str, str]:
    text = text.strip().lower()
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        return name, ":", rest.removeprefix(":")
    return (text, "", "") if text.count(":") > 1 else text.partition(":")


def _check_authority(parts: SplitResult, host: str, what: str) -> None:
    if not host:
        raise InvalidInput(f"the {what} has no host")
    if parts.netloc.count("@") > 1:
        raise InvalidInput(f"the {what} holds more than one '@', so its host is not clear")
    if parse_address(host) is not None and "%" not in host:
        return
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidInput(f"host {host[:80]!r} of the {what} is not a valid host name")


def _shown(url: str) -> str:
    # Neither a login nor a signed query belongs in a message.
    head, mark, rest = url.partition("://")
    place = rest.partition("?")[0].rpartition("@")[2] if mark else head.rpartition("@")[2]
    text = f"{head}{mark}{place}" if mark else place
    return text if len(text) <= 80 else f"{text[:79]}…"
