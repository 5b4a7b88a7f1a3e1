"""Which registries the service may ask, and with which login of its own."""

from __future__ import annotations

from tasks_service.config import Settings
from tasks_service.egress.policy import EgressPolicy


def own_host(settings: Settings) -> str:
    """Return ``host[:port]`` of the service's registry; empty if it has none."""
    return settings.registry.partition("/")[0]


def policy_of(settings: Settings) -> EgressPolicy:
    """Return the rules: public registries, the service's own and listed ones."""
    own = (own_host(settings),) if settings.registry else ()
    return EgressPolicy(
        allow_hosts=(*settings.allow_hosts, *own), allow_networks=settings.allow_networks
    )


def own_login(settings: Settings, host: str) -> tuple[str, str]:
    """Return the service's user name and password at a registry; empty where it has none."""
    if host and host == own_host(settings) and settings.registry_username:
        return settings.registry_username, settings.registry_password
    return "", ""
