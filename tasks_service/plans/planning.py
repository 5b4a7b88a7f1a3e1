"""A checked TaskFile to a Plan: defaults filled in, environments merged.

In: a TaskFile without errors, its ids and needs. Out: PlannedSteps, networks.
Called by compile.py.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

from runners.model.plan import WORKSPACE, Network, PlannedStep, Position, VolumeMount
from tasks_service.plans.model import StepItem, TaskFile
from tasks_service.plans.scalars import is_null

DEFAULT_TIMEOUT = 600
DEFAULT_RETRY_DELAY = 5
DEFAULT_NETWORK = "acb_default_network"


def split_env(entries: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return ``NAME=value`` entries as pairs; entries without ``=`` set nothing."""
    pairs = []
    for entry in entries:
        name, separator, value = entry.partition("=")
        if separator and name:
            pairs.append((name, value))
    return tuple(pairs)


def merge_env(
    own: Sequence[tuple[str, str]], inherited: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Return ``own`` and then what ``inherited`` adds under other names (Y-023)."""
    names = {name for name, _ in own}
    return (*own, *(pair for pair in inherited if pair[0] not in names))


def command_line_env(entries: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return ``--env`` entries as pairs; one entry may hold several, with commas."""
    return split_env([part for entry in entries for part in entry.split(",")])


def working_directory(path: str) -> str:
    """Return the absolute directory for a property's text (Y-022)."""
    if not path.startswith("/"):
        path = f"{WORKSPACE}/{path}"
    # Two leading slashes mean something to POSIX; not to containers.
    return "/" + posixpath.normpath(path).lstrip("/")


def plan_networks(task: TaskFile, external: str) -> tuple[tuple[Network, ...], str | None]:
    """Return the run's networks and the one that steps use by default (Y-040 to Y-047)."""
    networks = [
        Network(item.name, item.driver or "bridge", item.ipv6, item.skip_creation)
        for item in task.networks
    ]
    default = next((item.name for item in reversed(task.networks) if item.is_default), None)
    if external:
        networks.append(Network(external, skip_creation=True))
        default = external
    if not networks:
        networks.append(Network(DEFAULT_NETWORK))
        default = DEFAULT_NETWORK
    return tuple(networks), default


class StepPlanner:
    """Makes PlannedSteps; holds what all steps of a file share."""

    def __init__(
        self, task: TaskFile, *, directory: str, env: Sequence[str], network: str | None
    ) -> None:
        self._timeout = task.step_timeout if task.step_timeout > 0 else DEFAULT_TIMEOUT
        self._directory = task.working_directory or directory
        self._env = merge_env(split_env(task.env), command_line_env(env))
        self._network = network

    def plan(
        self, step: StepItem, step_id: str, kind: tuple[str, Any], needs: tuple[str, ...],
        position: Position,
    ) -> PlannedStep:  # fmt: skip
        """Return the step, every default filled in."""
        directory: str | None = None
        if not step.disable_working_directory_override:
            directory = working_directory(step.working_directory or self._directory)
        retry_delay = step.retry_delay
        if retry_delay < 0 or not _written(step, "retryDelay"):
            retry_delay = DEFAULT_RETRY_DELAY
        return PlannedStep(
            id=step_id,
            kind=kind[0],
            spec=kind[1],
            needs=needs,
            timeout_s=step.timeout if step.timeout > 0 else self._timeout,
            start_delay_s=max(0, step.start_delay),
            retries=step.retries,
            retry_delay_s=retry_delay,
            retry_on_errors=tuple(step.retry_on_errors),
            repeat=step.repeat,
            ignore_errors=step.ignore_errors,
            detach=step.detach,
            keep=step.keep,
            working_directory=directory,
            network=step.network or self._network,
            env=merge_env(split_env(step.env), self._env),
            entry_point=step.entry_point or None,
            user=step.user or None,
            ports=tuple(step.ports),
            expose=tuple(step.expose),
            privileged=step.privileged,
            isolation=step.isolation or None,
            cpus=step.cpus if _limits(step.cpus) else None,
            pull=step.pull,
            download_retries=max(0, step.cmd_download_retries),
            download_retry_delay_s=max(0, step.cmd_download_retry_delay),
            # A cache whose place is in the text needs nobody to place it again.
            cache=None if step.cache_placed else step.cache.lower() or None,
            volume_mounts=tuple(VolumeMount(m.name, m.mount_path) for m in step.mounts),
            exited_with=tuple(step.exited_with),
            exited_without=tuple(step.exited_without),
            position=position,
        )


def _written(step: StepItem, name: str) -> bool:
    node = step.nodes.get(name)
    return node is not None and not is_null(node)


def _limits(cpus: str) -> bool:
    """Tell whether the text is a limit; 0 is none, as for ``docker run``."""
    try:
        return float(cpus) > 0
    except ValueError:
        return bool(cpus)
