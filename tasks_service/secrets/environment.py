"""Secrets from environment variables: ``env:NAME``.

For ``tasks run`` on a person's machine and in CI systems. A task file that
came from elsewhere may only name what ``TASKS_SECRET_ENV`` lists.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from runners.model.cancellation import Cancellation
from tasks_service.secrets.base import Access, Location, checked_value, shown
from tasks_service.secrets.errors import SecretRefused

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Environment:
    """The environment of this process."""

    def __init__(self, access: Access) -> None:
        self._access = access
        # Commas or blanks, so that both habits of writing lists work.
        self._allowed = access.setting("TASKS_SECRET_ENV").replace(",", " ").split()

    def fetch(self, location: Location, cancel: Cancellation) -> str:  # noqa: ARG002 - nothing to wait for
        """See Provider. A variable that is set but empty is an empty secret."""
        name = location.rest
        if not _NAME.fullmatch(name) or location.key:
            raise SecretRefused(
                f"'{shown(location.text)}' names no environment variable",
                hint="write keyvault: env:NAME",
            )
        self._check(name, location)
        value = self._access.environ.get(name)
        if value is None:
            raise SecretRefused(
                f"the environment variable {name} is not set",
                hint=f"export {name} before the run",
            )
        return checked_value(value)

    def _check(self, name: str, location: Location) -> None:
        if self._access.allow_local or location.trusted:
            return
        if not any(fnmatchcase(name, pattern) for pattern in self._allowed):
            raise SecretRefused(
                f"the task file may not read the environment variable {name}",
                hint=f"if it shall, add {name} to TASKS_SECRET_ENV",
            )

    def close(self) -> None:
        """See Provider."""
