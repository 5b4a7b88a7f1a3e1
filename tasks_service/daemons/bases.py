"""Wire what looks after base images: a registry client with its logins, and the duties."""

from __future__ import annotations

from tasks_service.config import Settings
from tasks_service.registries import RegistryClient
from tasks_service.registries.access import own_login, policy_of
from tasks_service.registries.client import host_of
from tasks_service.registries.platforms import Platforms
from tasks_service.runs.lifecycle import RunLife
from tasks_service.scheduler.cascades import Cascades
from tasks_service.scheduler.loop import Duty
from tasks_service.scheduler.promotion import Promotions
from tasks_service.scheduler.watching import Watching
from tasks_service.store import Store

EVERY_S = 1.0
HEAL_S = 30.0


def open_registry(settings: Settings, store: Store) -> RegistryClient:
    """Return a client that may ask public registries, the service's own and listed ones."""

    def login(host: str) -> tuple[str, str]:
        own = own_login(settings, host)
        if own[0]:
            return own
        # Only a task that stands on an image there lends its login for asking.
        edges, _ = store.cascades.graph()
        for task in dict.fromkeys(e.task for e in edges if host_of(e.reference) == host):
            for found in store.tasks.secrets(task).credentials:
                if found.registry == host:
                    return found.username, found.password
        return "", ""

    return RegistryClient(policy_of(settings), login)


def base_groups(
    store: Store, life: RunLife, registry: RegistryClient, settings: Settings
) -> tuple[tuple[Duty, ...], tuple[Duty, ...]]:
    """Return the duties of base images. Asking registries must not hold waves up."""
    cascades = Cascades(store, life, settings, Promotions(store, settings))
    platforms = Platforms(registry, settings.base_platforms)
    watching = Watching(store, registry, settings, equal=platforms.equal)
    return (
        (Duty("watch_bases", EVERY_S, watching.look),),
        (
            Duty("plan_waves", EVERY_S, cascades.plan),
            Duty("heal_bases", HEAL_S, cascades.heal),
            Duty("advance_waves", EVERY_S, cascades.advance),
        ),
    )
