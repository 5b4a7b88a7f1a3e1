"""How the service itself reaches sources: under its rules, with nobody's keys.

In: Settings. Out: SourceSettings for workers and schedulers. Files, keys and
tokens of the machine are for nobody's task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tasks_service.config import Settings
from tasks_service.runs.checks import Rules
from tasks_service.sources.location import Credential, GitLocation
from tasks_service.sources.settings import SourceSettings

_GIT_USER = "dummy"
"""Forges take a token as the password of any user."""


def service_source_settings(settings: Settings, environ: Mapping[str, str]) -> SourceSettings:
    """Return what all sources of the service have in common.

    Args:
        settings: Of the service.
        environ: Certificates and limits are taken from it, no login.
    """
    base = SourceSettings.from_environment(environ)
    return dataclasses.replace(
        base,
        # Whether HTTP is taken, and from whom, the policy says.
        allow_http=True,
        egress=Rules.of(settings).policy,
        # A proxy would resolve names by itself.
        environment={k: v for k, v in base.environment.items() if "proxy" not in k.lower()},
        login=None,
        ssh_key=None,
        known_hosts=None,
        ssh_agent="",
    )


def with_token(base: SourceSettings, location: GitLocation, token: str) -> SourceSettings:
    """Return settings with a task's token as the login of its own Git server."""
    # Over ssh a token is no login.
    if not token or location.scheme not in ("http", "https"):
        return base
    login = Credential(location.host, _GIT_USER, token, location.scheme)
    return dataclasses.replace(base, login=login)
