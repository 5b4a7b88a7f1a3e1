"""One pipeline from a task file's text to a Plan, or to every problem in it.

In: the text the user wrote, run variables, values, secrets. Out: a Compiled.
Called by ``tasks lint``, ``render``, ``plan``, ``run`` and the service, so
that what they show is what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runners.model.plan import Plan
from tasks_service.errors import ERROR, InvalidTaskFile, Problem
from tasks_service.plans.variables import RunVariables


@dataclass(frozen=True, slots=True)
class SecretRequest:
    """One entry of ``secrets`` whose value must be found (Y-030 to Y-032)."""

    id: str
    keyvault: str = ""
    client_id: str = ""


SecretResolver = Callable[[Sequence[SecretRequest]], Mapping[str, str]]
"""Resolve all secrets of a file at once; raise a RunnerError if one can't be had."""


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What changes how a file is read, besides its variables and values.

    Attributes:
        strict: A missing template key is an error (``--strict``).
        image_aliases: Bare first words of ``cmd`` and their images (V-30);
            None takes the defaults.
        working_directory: Used where the file names none (Y-022).
        env: ``NAME=value`` entries added after the file's own.
        network: An existing network that becomes the default (Y-047).
        alias_reader: Returns the text of one ``alias.src`` entry; raises
            OSError or InvalidInput where it can't be had.
    """

    strict: bool = False
    image_aliases: Mapping[str, str] | None = None
    working_directory: str = ""
    env: tuple[str, ...] = ()
    network: str = ""
    alias_reader: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """What became of a task file.

    ``plan`` is None exactly when ``problems`` holds an error. ``rendered`` is
    the text after aliases and templates (it may hold secret values; print
    ``masked()``). Problems are in file order.
    """

    file: str
    plan: Plan | None
    problems: tuple[Problem, ...]
    rendered: str = field(default="", repr=False)

    @property
    def ok(self) -> bool:
        """True if there is a plan."""
        return self.plan is not None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the file from running."""
        return tuple(p for p in self.problems if p.severity == ERROR)

    def require_plan(self) -> Plan:
        """Return the plan.

        Raises:
            InvalidTaskFile: the file has errors; carries all problems.
        """
        if self.plan is None:
            raise InvalidTaskFile(self.problems)
        return self.plan


def compile_task(
    text: str | bytes,
    *,
    file: str = "acb.yaml",
    variables: RunVariables | None = None,
    values: str | bytes | None = None,
    values_file: str = "values.yaml",
    set_values: Sequence[str] = (),
    set_secrets: Sequence[str] = (),
    resolve_secrets: SecretResolver | None = None,
    options: CompileOptions | None = None,
) -> Compiled:
    """Compile a task file's text to a plan; find every problem on the way.

    Args:
        text: What the user wrote; bytes must be UTF-8.
        file: Its name, for messages.
        variables: Facts of the run; None means all unknown.
        values: Text of the values file, YAML.
        values_file: Its name, for messages.
        set_values: ``key=value`` entries, strings, stronger than the file.
        set_secrets: The same, masked in all output.
        resolve_secrets: Called once, before the second rendering, with the
            file's secrets; None leaves a placeholder, for looking offline.
        options: See CompileOptions.

    Returns:
        A Compiled. Bad input never raises.

    Raises:
        RunnerError: only what ``resolve_secrets`` raises.
    """
    raise NotImplementedError
