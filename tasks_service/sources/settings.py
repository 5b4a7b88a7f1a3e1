"""What the user allows sources to cost and to use.

In: the environment. Out: SourceSettings, handed down from the command line.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runners.model.errors import InvalidInput
from tasks_service.sources.location import Credential

if TYPE_CHECKING:
    from tasks_service.egress.policy import EgressPolicy
    from tasks_service.sources.mirror import Mirrors

_PASSED_ON = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Bounds and credentials of source fetching.

    Attributes:
        allow_http: Take ``http://`` from hosts other than loopback.
        login: Credential for one HTTPS host, asked for only if the server
            wants one.
        ssh_key, known_hosts: Files for ``ssh``; None means none.
        deadline_s: For the whole fetch.
        stall_s: Longest time without progress.
        max_bytes: Of the transfer and of the checkout, each.
        max_entries: Files of the checkout.
        max_ratio: How many times larger an archive may unpack; archives that
            unpack to less than 256 MiB are not asked.
        folder: Where the sources of this user live while runs need them.
        environment: Proxy and certificate settings passed to Git.
        registry_login: User name and password of the registry that an ``oci://`` source
            names; both empty where there is none.
        submodules: Fetch the submodules of Git sources.
        egress: Rules for where sources may come from; None on the user's own
            machine, where nothing is refused.
        lfs: Fetch the Git LFS files of Git sources.
        mirrors: What earlier fetches brought; None keeps nothing.
    """

    allow_http: bool = False
    login: Credential | None = None
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    ssh_agent: str = ""
    deadline_s: float = 600
    stall_s: int = 30
    max_bytes: int = 4 << 30
    max_entries: int = 500_000
    max_ratio: int = 250
    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    egress: EgressPolicy | None = None
    registry_login: Callable[[str], tuple[str, str]] = field(
        default=lambda _host: ("", ""), repr=False
    )
    submodules: bool = False
    lfs: bool = False
    mirrors: Mirrors | None = None

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> SourceSettings:
        """Read the ``TASKS_…`` variables listed in ``docs/cli.md``.

        Raises:
            InvalidInput: A variable holds what it can't.
        """
        home = Path(env["HOME"]) if env.get("HOME") else None
        return cls(
            allow_http=allows_http(env),
            login=_login(env),
            ssh_key=Path(env["TASKS_GIT_SSH_KEY"]) if env.get("TASKS_GIT_SSH_KEY") else None,
            known_hosts=_known_hosts(env, home),
            ssh_agent=env.get("SSH_AUTH_SOCK", ""),
            deadline_s=_seconds(env, "TASKS_SOURCE_TIMEOUT", 600),
            submodules=env.get("TASKS_GIT_SUBMODULES", "") in ("1", "true", "yes"),
            lfs=env.get("TASKS_GIT_LFS", "") in ("1", "true", "yes"),
            environment={name: env[name] for name in _PASSED_ON if env.get(name)},
        )


def allows_http(env: Mapping[str, str]) -> bool:
    """Return whether the user trusts the network with ``http://``."""
    return env.get("TASKS_ALLOW_HTTP_SOURCES", "") in ("1", "true", "yes")


def _login(env: Mapping[str, str]) -> Credential | None:
    token = env.get("TASKS_GIT_TOKEN", "")
    if not token:
        return None
    host = env.get("TASKS_GIT_TOKEN_HOST", "")
    if not host or "/" in host or "@" in host:
        raise InvalidInput(
            "TASKS_GIT_TOKEN is set, but not the host it belongs to",
            hint="set TASKS_GIT_TOKEN_HOST to the host (and :port), such as github.com",
        )
    if any(ord(letter) < 32 for letter in token):
        raise InvalidInput("TASKS_GIT_TOKEN holds a control character")
    return Credential(host.lower(), env.get("TASKS_GIT_USERNAME") or "dummy", token)


def _known_hosts(env: Mapping[str, str], home: Path | None) -> Path | None:
    if env.get("TASKS_GIT_SSH_KNOWN_HOSTS"):
        return Path(env["TASKS_GIT_SSH_KNOWN_HOSTS"])
    usual = home / ".ssh" / "known_hosts" if home else None
    return usual if usual and usual.is_file() else None


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise InvalidInput(f"{name} is {text[:20]!r}, not a whole number of seconds")
    return float(text)
