"""Look after references: ask those that are due, politely, and write what they are.

In: the store's watches and a registry client. Out: digests and changes. Called
by the scheduler; several may do it at once, each change is written once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol

from runners.model.errors import RunnerError, Unavailable
from tasks_service.config import Settings
from tasks_service.errors import NotFound
from tasks_service.model.cascade import Watch
from tasks_service.process_log import get_logger
from tasks_service.registries import Answer, TooMany
from tasks_service.registries.client import host_of
from tasks_service.store import Store

LADDER_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""A notification may come before its tag is written: asked again after so long."""
MAX_BACK_OFF_S = 3600.0
_BATCH = 50
_BUDGET_S = 20.0
_log = get_logger(__name__)


class Registry(Protocol):
    """Tells what is behind a reference (``registries.RegistryClient``)."""

    def digest(self, reference: str, known: str = "") -> Answer:
        """Return what ``reference`` is now."""
        ...


class Watching:
    """Asks for what is due. One thread at a time.

    Args:
        store: Where watches are.
        registry: Whom to ask.
        settings: How often (``base_poll``).
        spread: A number in [0, 1) for the jitter.
        equal: Whether a reference is the same image under two digests (the old one first).
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        settings: Settings,
        *,
        spread: Callable[[], float] = random.random,
        equal: Callable[[str, str, str], bool] = lambda *_: False,
    ) -> None:
        self._equal = equal
        self._store = store
        self._registry = registry
        self._settings = settings
        self._spread = spread
        self._quiet: dict[str, float] = {}
        """Hosts that want to be left alone → until when, monotonic."""
        self._begins = True

    def look(self) -> bool:
        """Ask for references that are due; return whether there are more.

        All are due at the beginning: nobody knows what was told while no
        scheduler ran.
        """
        begun = time.monotonic()
        if self._begins:
            self._store.cascades.sweep()
            self._begins = False
        found = self._store.cascades.due(limit=_BATCH)
        for watch in found:
            self._one(watch)
            if time.monotonic() - begun > _BUDGET_S:
                return True
        return len(found) == _BATCH

    def _one(self, watch: Watch) -> None:
        host = host_of(watch.reference)
        left = self._quiet.get(host, 0.0) - time.monotonic()
        if left > 0:
            self._store.cascades.failed_check(watch, "the registry wants fewer requests",
                                              next_s=left * (1 + self._spread()))  # fmt: skip
            return
        try:
            answer = self._registry.digest(watch.reference, watch.digest)
        except TooMany as error:
            self._quiet[host] = time.monotonic() + error.after_s
            self._failed(watch, error, error.after_s * (1 + 0.2 * self._spread()))
        except NotFound as error:
            # The tag is gone: what it was stays known, nothing is built.
            self._failed(watch, error, self._later())
        except Unavailable as error:
            back_off = min(5.0 * 2 ** min(watch.failures, 16), MAX_BACK_OFF_S)
            self._failed(watch, error, back_off * (1 + 0.2 * self._spread()))
        except RunnerError as error:
            self._failed(watch, error, self._later())
        else:
            self._answered(watch, answer)

    def _answered(self, watch: Watch, answer: Answer) -> None:
        via = "notification" if watch.hinted else "poll"
        waits = watch.hinted not in ("", answer.digest) and watch.hint_tries < len(LADDER_S)
        next_s = LADDER_S[watch.hint_tries] if waits else self._later()
        tries = watch.hint_tries + 1 if waits else 0
        equal = bool(watch.digest) and answer.digest != watch.digest
        equal = equal and self._equal(watch.reference, watch.digest, answer.digest)
        if equal:
            _log.info("base_same", reference=watch.reference, digest=answer.digest, via=via)
        if self._store.cascades.checked(
            watch, answer.digest, via=via, next_s=next_s, tries=tries, equal=equal
        ):
            _log.info("base_moved", reference=watch.reference, digest=answer.digest, via=via)

    def _failed(self, watch: Watch, error: RunnerError, next_s: float) -> None:
        self._store.cascades.failed_check(watch, error.message, next_s=next_s)
        if not watch.failures:
            _log.warning("base_not_checked", reference=watch.reference, error=error.message)

    def _later(self) -> float:
        return self._settings.base_poll * (0.9 + 0.2 * self._spread())
