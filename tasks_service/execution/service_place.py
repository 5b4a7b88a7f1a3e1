"""The service's own machine as a place for runs: backends, and which logins a run gets.

In: Settings. Nothing here comes from a task file or a source: whoever wrote
those chooses no login of ours and no address of this machine.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from runners.backends import KINDS
from runners.backends.base import Backend, RegistryLogin
from runners.model.errors import InvalidInput
from tasks_service.config import Settings
from tasks_service.model.run import RunSecrets


class Backends:
    """One backend per isolation level, made when a run first asks for it. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._made: dict[str, Backend] = {}

    def get(self, isolation: str = "") -> Backend:
        """Return the backend of a level; empty is the one of the settings.

        Raises:
            InvalidInput: There is no such backend or level.
            Unavailable: Nothing was set up.
        """
        level = isolation or self._settings.isolation
        with self._lock:
            if level not in self._made:
                self._made[level] = self._make(level)
            return self._made[level]

    def _make(self, level: str) -> Backend:
        name = self._settings.backend
        if name not in KINDS:
            raise InvalidInput(
                f"there is no backend {name[:40]!r}", hint=f"use one of {', '.join(KINDS)}"
            )
        folder = self._settings.runner_state_dir
        return KINDS[name](
            state_dir=Path(folder) if folder else self._settings.state_dir, isolation=level
        )


class ServiceRegistries:
    """The service's own login, and those a run brought along. See Registries."""

    def __init__(self, settings: Settings, secrets: RunSecrets, *, trusted: bool = True) -> None:
        self._settings = settings
        self._secrets = secrets
        self._trusted = trusted

    def logins(self, texts: Sequence[str], *, remote: bool) -> tuple[RegistryLogin, ...]:
        """Return them; what the author wrote changes nothing. A run's own win.

        Who is not trusted gets none.
        """
        del texts, remote
        if not self._trusted:
            return ()
        settings = self._settings
        found = {}
        if settings.registry and settings.registry_username:
            found[settings.registry] = RegistryLogin(
                settings.registry, settings.registry_username, settings.registry_password
            )
        for login in self._secrets.credentials:
            found[login.registry] = RegistryLogin(login.registry, login.username, login.password)
        return tuple(found.values())

    def loopback(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return the service's own registry if it is on this machine, and never another."""
        del texts
        registry = self._settings.registry
        return (registry,) if _is_loopback(urlsplit(f"//{registry}").hostname or "") else ()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
