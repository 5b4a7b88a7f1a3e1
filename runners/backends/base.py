"""The Backend protocol: a way to isolate; yields one live Sandbox per run.

To add a backend, write ``runners/backends/<name>/`` (or ``<name>.py``) with a
function that makes an object satisfying Backend and add its line to ``KINDS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from runners.model.cancellation import Cancellation
from runners.sandbox import Sandbox


def silent(level: str, text: str) -> None:
    """Take a notice and drop it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the whole run, enforced from outside the runner."""

    cpus: float = 2.0
    memory_bytes: int = 4 << 30
    pids: int = 4096
    disk_bytes: int = 20 << 30


@dataclass(frozen=True, slots=True)
class RegistryLogin:
    """Credentials of one registry, for one run only. Never printed."""

    registry: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """What a run needs of its sandbox.

    Attributes:
        run_id: Label of everything made for the run (of what was made for it
            before it was known, a label of that).
        source: A directory whose content becomes the workspace, or None for
            an empty one. Read, never written.
        shared_volume: Name of the workspace volume (V-02).
        registries: ``host[:port]`` of registries the run may need at a
            loopback address of the machine; reachable in the runner under
            the same name.
        logins: Registry credentials.
        read_only: Nothing may be written to ``registries``, whatever runs inside.
        needs_workspace: False lets builds read ``source`` in place.
        notice: Told in words what the backend does (progress, warnings).
    """

    run_id: str
    source: Path | None = None
    shared_volume: str = "workspace"
    registries: tuple[str, ...] = ()
    logins: tuple[RegistryLogin, ...] = ()
    read_only: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: Limits = field(default_factory=Limits)
    needs_workspace: bool = True
    notice: Callable[[str, str], None] = silent


class Prepared(Protocol):
    """A sandbox made before its run is known: for exactly one run, of one class of trust.

    It holds nothing of any run yet. Thread-safe. Whoever has it calls ``open``
    once, or ``close``.
    """

    def usable(self) -> bool:
        """Return whether it is alive and as it would be made now. Quick; never raises."""
        ...

    def fits(self, request: SandboxRequest) -> bool:
        """Return whether ``open`` can give what the request asks for."""
        ...

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """Make it the sandbox of a run; see ``Backend.open``. Destroyed if this raises."""
        ...

    def close(self) -> None:
        """Destroy it. Idempotent; never raises; nothing if it was opened."""
        ...


class Backend(Protocol):
    """A way to isolate. One backend object serves many runs, concurrently."""

    @property
    def name(self) -> str:
        """A key of ``runners.backends.KINDS``."""
        ...

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """Start a sandbox; the caller must ``close`` it.

        Nothing is left behind when this raises or is cancelled.

        Raises:
            Unavailable: the engine or a part of it does not answer.
            Denied: the asked isolation level can't be had on this machine.
        """
        ...

    def prepare(
        self, limits: Limits, cancel: Cancellation, *, read_only: bool = False
    ) -> Prepared | None:
        """Start a sandbox for a run that is not known yet; None where nothing is saved by that.

        It fits only requests with the same ``read_only``: no runner made for
        runs that are trusted is ever given to one that is not, or the other way.

        Nothing is left behind when this raises or is cancelled.

        Raises:
            Unavailable, Denied: as ``open``.
        """
        ...

    def sweep(self) -> int:
        """Destroy all that dead runs left and return how many. Idempotent.

        Runs whose owner process still lives are never touched.
        """
        ...
