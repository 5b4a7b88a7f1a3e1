"""Flags of ``az acr task`` for what is not there yet: refused, never ignored.

A flag that asks for nothing (``--commit-trigger-enabled false``) is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Later:
    """One flag that only some values may have."""

    flags: tuple[str, ...]
    why: str
    harmless: tuple[str, ...] = ()
    several: bool = False


_TRIGGERS = "these triggers are not there yet: pushes, timers and base images start tasks"
_ONE = "a task has one trigger for base images, which has no name: leave it out"
_AZURE = "belongs to Azure: logins are given by `tasks credential add` and the server's settings"
LATER = (
    Later(("--base-image-trigger-name",), _ONE),
    Later(("--update-trigger-endpoint",), _TRIGGERS),
    Later(("--update-trigger-payload-type",), _TRIGGERS),
    Later(("--update-trigger-token",), _TRIGGERS),
    Later(("--assign-identity",), _AZURE, several=True),
    Later(("--auth-mode",), _AZURE, ("default",)),
    Later(("--source-acr-auth-id",), _AZURE),
    Later(("--log-template",), "logs are kept by the server: `tasks logs RUN`"),
    Later(("--is-system-task",), "there are no system tasks", ("false",)),
    Later(("-g", "--resource-group"), "there are no resource groups: leave it out"),
    Later(("--subscription",), "there are no subscriptions: leave it out"),
)


def later_options(function: F) -> F:
    """Add the flags, hidden from the help."""
    for later in LATER:
        function = click.option(
            *later.flags,
            later.flags[-1].strip("-").replace("-", "_"),
            hidden=True,
            expose_value=False,
            multiple=later.several,
            is_flag=False,
            flag_value="true",
            callback=_check(later),
        )(function)
    return function


def _check(later: Later) -> Callable[[click.Context, click.Parameter, Any], None]:
    def check(_ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        given = value if isinstance(value, tuple) else (value,) if value is not None else ()
        for text in given:
            if str(text).lower() not in later.harmless:
                raise click.UsageError(f"{later.flags[-1]} {text}: {later.why}")

    return check
