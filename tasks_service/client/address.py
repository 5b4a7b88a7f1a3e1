"""Addresses of servers: checked before a token goes anywhere.

In: what a person wrote. Out: Server, or an error that names the part at fault.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from runners.model.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Server:
    """A server and the token for it. The token is bound to this address.

    Attributes:
        url: Scheme, host, port and path, without a slash at the end.
        token: Empty asks without one.
        ca_file: Certificate authorities besides the system's, PEM.
        name: Name of the context it came from, or empty.
    """

    url: str
    token: str = field(default="", repr=False)
    ca_file: str = ""
    name: str = ""

    @property
    def local(self) -> bool:
        """True if it is this machine; then proxies are passed by."""
        return _is_loopback(urlsplit(self.url).hostname or "")


def parse_server(text: str, *, allow_http: bool = False, what: str = "--server") -> str:
    """Return the address in its one form, for comparison and for requests.

    Plain HTTP is taken for loopback addresses only, as the token would else be
    readable on its way, unless ``allow_http``.

    Raises:
        InvalidInput: It is no address of a server; the message says why.
    """
    given = text.strip()
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:
        raise InvalidInput(f"{what} {given[:80]!r} is not an address", hint=_EXAMPLE) from None
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in given):
        raise InvalidInput(f"{what} {given[:80]!r} is not an address", hint=_EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            f"{what}: an address with a login in it is not taken",
            hint="give the token by TASKS_TOKEN or `tasks context add`",
        )
    if parts.query or parts.fragment:
        raise InvalidInput(f"{what} {given[:80]!r}: an address has no ? and no #", hint=_EXAMPLE)
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise InvalidInput(
            f"{what} {given[:80]!r}: over plain http anybody on the way could read the token",
            hint="use https, or allow it by TASKS_ALLOW_HTTP_SERVER=1",
        )
    shown = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    at = "" if port in (None, usual) else f":{port}"
    return f"{parts.scheme}://{shown}{at}{parts.path.rstrip('/')}"


_EXAMPLE = "write it like https://tasks.example.com or http://127.0.0.1:8080"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
