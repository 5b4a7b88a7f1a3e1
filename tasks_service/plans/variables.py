"""Run variables: what ``.Run`` holds, and the data every template sees.

In: facts about the run, values and secrets. Out: the plain dictionary the
template engine reads (V-01 to V-18). Called by compile.py and aliases.py.
"""

from __future__ import annotations

import json
import math
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from tasks_service.plans.go_numbers import json_float


@cache
def machine_architecture() -> str:
    """Return this machine's architecture in the words of images."""
    machine = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine)


def run_date(moment: datetime) -> str:
    """Return ``moment`` as ``$Date`` prints it: UTC ``yyyyMMdd-HHmmssz`` (V-05)."""
    return moment.astimezone(UTC).strftime("%Y%m%d-%H%M%S") + "z"


@dataclass(frozen=True, slots=True)
class RunVariables:
    """The facts of one run that a task file can read as ``{{.Run.X}}``.

    All are text; what is unknown is empty, never absent (V-08, V-09).
    """

    id: str = ""
    registry: str = ""
    commit: str = ""
    branch: str = ""
    repository: str = ""
    git_tag: str = ""
    triggered_by: str = ""
    task_name: str = ""
    shared_volume: str = "workspace"
    date: str = field(default_factory=lambda: run_date(datetime.now(UTC)))
    os: str = "linux"
    os_version: str = ""
    architecture: str = field(default_factory=machine_architecture)

    @property
    def registry_name(self) -> str:
        """The login server up to its first dot (V-04)."""
        return self.registry.split(".", 1)[0]

    def template_data(self) -> dict[str, str]:
        """Return the ``.Run`` map."""
        return {
            "ID": self.id,
            "Commit": self.commit,
            "Repository": self.repository,
            "Branch": self.branch,
            "GitTag": self.git_tag,
            "TriggeredBy": self.triggered_by,
            "Registry": self.registry,
            "RegistryName": self.registry_name,
            "Date": self.date,
            "SharedVolume": self.shared_volume,
            "OS": self.os,
            "OSVersion": self.os_version,
            "Architecture": self.architecture,
            "TaskName": self.task_name,
        }


RUN_NAMES = tuple(RunVariables(date="").template_data())
"""Every name under ``.Run``."""

VARIABLE_TEXTS = {
    "ID": "Id of the run.",
    "Commit": "Commit of the source; empty where it is no Git source.",
    "Repository": "Source repository.",
    "Branch": "Branch of the source; empty where it is no Git source.",
    "GitTag": "Git tag that triggered the run.",
    "TriggeredBy": "What triggered the run.",
    "Registry": "Login server of the registry, host or host:port.",
    "RegistryName": "The login server up to its first dot.",
    "Date": "UTC time of the run's start, yyyyMMdd-HHmmssz.",
    "SharedVolume": "Name of the workspace volume.",
    "OS": "Operating system of the steps.",
    "OSVersion": "Version of the host's operating system.",
    "Architecture": "Processor architecture, such as amd64.",
    "TaskName": "Name of the task; empty in a run without one.",
}
"""What each name under ``.Run`` means, for people."""

_SHELL_SAFE = re.compile(r"[A-Za-z0-9_^@=+%,:./-]+")


def _shell_quoted(text: str) -> str:
    if not text:
        return "''"
    if _SHELL_SAFE.fullmatch(text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _json(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_json(k)}:{_json(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_json, value)) + "]"
    if isinstance(value, float) and math.isfinite(value):
        return json_float(value)
    return json.dumps(value, ensure_ascii=False)


def _go_json(value: Any) -> str:
    text = _json(value)
    # The original's encoder escapes what could end an HTML script element.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def template_data(
    variables: RunVariables, values: Mapping[str, Any], secrets: Mapping[str, str]
) -> dict[str, Any]:
    """Return what ``.`` is in a task file: Run, Build, Values, Secrets and JSON.

    ``ValuesJSON`` and ``RunJSON`` are compact, key-sorted and quoted as one
    shell word (V-18).
    """
    run = variables.template_data()
    return {
        "Run": run,
        "Build": {"ID": variables.id},
        "Values": dict(values),
        "Secrets": dict(secrets),
        "ValuesJSON": _shell_quoted(_go_json(dict(values))),
        "RunJSON": _shell_quoted(_go_json(run)),
    }
