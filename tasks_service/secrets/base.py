"""The provider protocol: one module of this folder per place that keeps secrets.

To add a provider, write ``tasks_service/secrets/<kind>.py`` with a class that
satisfies ProviderKind and add its line to ``KINDS``. Nothing else names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

from runners.model.cancellation import Cancellation
from tasks_service.secrets.errors import SecretRefused

MAX_VALUE_BYTES = 64 * 1024
"""Largest value of one secret; Key Vault allows 25 KB, Docker 500 KB."""


class WantedSecret(Protocol):
    """What the task file says of one secret (``plans.compile.SecretRequest``)."""

    @property
    def id(self) -> str:
        """The name steps use (Y-030)."""
        ...

    @property
    def keyvault(self) -> str:
        """Where the value is: a URL (Y-031)."""
        ...

    @property
    def client_id(self) -> str:
        """The identity that shall read it, or an empty string (Y-032)."""
        ...


@dataclass(frozen=True, slots=True)
class Location:
    """Where one secret is, taken apart.

    Attributes:
        text: As the user wrote it; may be shown.
        scheme: Lower case, chooses the provider.
        rest: What follows the scheme, without ``//`` and the fragment.
        key: The fragment, decoded; empty if there is none.
        client_id: The identity that shall read it, or an empty string.
        trusted: True if configuration, not the task file, chose the place.
    """

    text: str
    scheme: str
    rest: str
    key: str = ""
    client_id: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """What providers may use.

    Attributes:
        environ: The environment variables that hold settings and logins.
        allow_local: Whether a task file may name any environment variable or
            file of this machine. True only if the user who starts the run
            also chose the file (``tasks run`` of a local directory).
    """

    environ: Mapping[str, str]
    allow_local: bool = False

    def setting(self, name: str) -> str:
        """Return a setting, or an empty string."""
        return self.environ.get(name, "").strip()


class Provider(Protocol):
    """A place that keeps secrets, open for one run. Thread-safe."""

    def fetch(self, location: Location, cancel: Cancellation) -> str:
        """Return the value at ``location``.

        Returns within a second or so of ``cancel``. No message, log or
        exception it makes holds a value or a login.

        Raises:
            SecretRefused: It isn't there, or may not be read.
            SecretUnavailable: The place doesn't answer.
            RunnerError: The reason of ``cancel``.
        """
        ...

    def close(self) -> None:
        """Let go of connections. Idempotent; never raises."""
        ...


class ProviderKind(Protocol):
    """A kind of provider: opens one for a run."""

    def __call__(self, access: Access) -> Provider:
        """Open the provider. Cheap: no connection before the first ``fetch``.

        Raises:
            SecretRefused: Its settings are wrong.
        """
        ...


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://)?(.*)", re.DOTALL)


def parse_location(text: str, *, client_id: str = "", trusted: bool = False) -> Location:
    """Take ``scheme:rest#key`` or ``scheme://rest#key`` apart.

    Raises:
        SecretRefused: It has no scheme, or a character no location has.
    """
    if any(ord(letter) < 33 or ord(letter) == 127 for letter in text):
        raise SecretRefused("its location has white space or a control character")
    match = _SCHEME.fullmatch(text)
    if match is None:
        raise SecretRefused(
            f"'{shown(text)}' is no location of a secret",
            hint="write keyvault as https://<vault>/secrets/<name>, vault:<path>#<key>, "
            "env:<NAME> or file:<path>",
        )
    scheme, rest = match[1].lower(), match[2]
    rest, _, key = rest.partition("#")
    return Location(text, scheme, rest, unquote(key), client_id, trusted)


def checked_value(value: str) -> str:
    """Return a value that is not too large.

    Raises:
        SecretRefused: It is larger than MAX_VALUE_BYTES.
    """
    size = len(value.encode(errors="surrogatepass"))
    if size > MAX_VALUE_BYTES:
        raise SecretRefused(f"the value has {size} bytes; at most {MAX_VALUE_BYTES} are allowed")
    return value


def shown(text: str, limit: int = 200) -> str:
    """Return text of others fit for one line of a message."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
