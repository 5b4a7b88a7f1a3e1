"""Backends of a worker: with runners that wait for runs, apart by whose runs they are for.

In: what makes backends, and the settings of those that wait. Out: the same
interface. Used by workers.
"""

from __future__ import annotations

from typing import Protocol

from runners.backends.base import Backend, Limits, Prepared, SandboxRequest
from runners.model.cancellation import Cancellation
from runners.sandbox import Sandbox
from tasks_service.execution.warm import WarmPool


class GetBackend(Protocol):
    """Yields the backend of an isolation level (see ``service_place.Backends``)."""

    def get(self, isolation: str = "") -> Backend:
        """Return it; empty is the installation's own level."""
        ...


class WarmBackends:
    """See GetBackend: the installation's own level has waiting runners, others have none.

    Trusted runs and all others have runners of their own. Those for the others
    wait only where there were such runs lately.

    Args:
        backends: Make runners.
        least: How many wait for trusted runs at least; 0 and none ever waits.
        most: How many runs there are at once.
        max_age_s: One that waited longer is destroyed and made anew.
        limits: Bounds of those that wait: of runs that ask for none.
        level: Name of the installation's own level where it is set by name.
    """

    def __init__(
        self,
        backends: GetBackend,
        *,
        least: int,
        most: int,
        max_age_s: float,
        limits: Limits | None = None,
        level: str = "",
    ) -> None:
        self._backends = backends
        self._level = level
        self._warm = (
            _ByTrust(
                *(
                    WarmPool(
                        backends.get,
                        limits or Limits(),
                        least=0 if read_only else least,
                        most=most,
                        max_age_s=max_age_s,
                        read_only=read_only,
                    )
                    for read_only in (False, True)
                )
            )
            if least
            else None
        )

    def get(self, isolation: str = "") -> Backend:
        """See GetBackend."""
        if self._warm is not None and isolation in ("", self._level):
            return self._warm
        return self._backends.get(isolation)

    def start(self) -> None:
        """Begin to make runners."""
        if self._warm is not None:
            self._warm.start()

    def close(self) -> None:
        """Destroy all that wait; from now on runners are made when they are asked for."""
        if self._warm is not None:
            self._warm.close()


class _ByTrust:
    """See Backend. Each request goes to the pool of its class of trust."""

    def __init__(self, trusted: WarmPool, untrusted: WarmPool) -> None:
        self._trusted = trusted
        self._untrusted = untrusted

    @property
    def name(self) -> str:
        return self._trusted.name

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        pool = self._untrusted if request.read_only else self._trusted
        return pool.open(request, cancel)

    def prepare(
        self, limits: Limits, cancel: Cancellation, *, read_only: bool = False
    ) -> Prepared | None:
        return self._trusted.prepare(limits, cancel, read_only=read_only)

    def sweep(self) -> int:
        return self._trusted.sweep()

    def start(self) -> None:
        self._trusted.start()
        self._untrusted.start()

    def close(self) -> None:
        self._trusted.close()
        self._untrusted.close()
