"""The plan: the engine's frozen input, and all it knows of a task file.

``tasks_service.plans`` compiles a task file to a Plan; ``runners.engine``
walks it. A plan holds no template, no alias and no default left to fill in:
``needs`` names every edge and ``timeout_s`` is set on every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WORKSPACE = "/workspace"
"""Where the shared workspace is mounted in every step (X-01)."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file the user wrote; line and column count from 1."""

    file: str
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the run (Y-040 to Y-048)."""

    name: str
    driver: str = "bridge"
    ipv6: bool = False
    skip_creation: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of secret files, decoded bytes by file name (Y-050 to Y-054)."""

    name: str
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """Where a declared volume appears in a step."""

    name: str
    mount_path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step, ready to run.

    Attributes:
        id: Unique in the plan; the container's name and DNS host name.
        kind: A key of ``runners.steps.KINDS``.
        spec: What the kind's ``parse`` made of the step's text; only the
            kind's own module looks inside.
        needs: Ids of the steps that must have succeeded first.
        timeout_s: One clock over all repeats and retries (Y-202).
        retry_delay_s: Pause between attempts (Y-205).
        working_directory: Absolute path, or None to keep the image's own.
        network: A network name, or None for the engine's default bridge.
        env: Merged task and step environment, in order.
        position: Where the step stands in the task file, for messages.
    """

    id: str
    kind: str
    spec: Any
    needs: tuple[str, ...] = ()
    timeout_s: int = 600
    start_delay_s: int = 0
    retries: int = 0
    retry_delay_s: float = 5
    retry_on_errors: tuple[str, ...] = ()
    repeat: int = 0
    ignore_errors: bool = False
    detach: bool = False
    keep: bool = False
    working_directory: str | None = WORKSPACE
    network: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    entry_point: str | None = None
    user: str | None = None
    ports: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    privileged: bool = False
    isolation: str | None = None
    cpus: str | None = None
    pull: bool = False
    download_retries: int = 0
    download_retry_delay_s: float = 0
    cache: str | None = None
    volume_mounts: tuple[VolumeMount, ...] = ()
    exited_with: tuple[int, ...] = ()
    exited_without: tuple[int, ...] = ()
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen: steps in file order, and what they share.

    ``secrets`` maps secret names to values; they may be mounted by builds
    (``--mount=type=secret``) and are masked in all output. ``mask`` holds
    further texts to mask. Neither is ever printed or stored.
    """

    steps: tuple[PlannedStep, ...]
    version: str = "v1.0.0"
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()
    shared_volume: str = "workspace"
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    mask: tuple[str, ...] = field(default=(), repr=False)

    def step(self, step_id: str) -> PlannedStep:
        """Return the step of that id; KeyError if there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)
