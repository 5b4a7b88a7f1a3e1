"""Options that ``run`` and ``build`` share, checked into one frozen value.

In: click's parameters. Out: RunOptions. Nothing heavy is imported here: bad
options end before a YAML parser or an engine is loaded.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from runners.model.errors import InvalidInput

F = TypeVar("F", bound=Callable[..., Any])

RUN_TIMEOUT_S = 3600
MAX_TIMEOUT_S = 28_800
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_REGISTRY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?)*"
    r"(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?"
)
_RUN_ID = re.compile(r"[a-z0-9]{2,32}")
_OS = ("linux", "windows")
_ARCHITECTURES = {
    "amd64": "amd64", "x86_64": "amd64", "x86": "386", "386": "386",
    "arm": "arm", "arm64": "arm64", "aarch64": "arm64",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run, apart from what.

    Attributes:
        platforms: Normalised ``os/arch[/variant]``, in order; empty is the
            machine's own.
        backend, isolation: Empty leaves the choice to the backend.
        cpus, memory, disk, pids: None leaves the default of ``Limits``.
    """

    registry: str = ""
    output: str | None = None
    logs: bool = True
    quiet: bool = False
    progress: str = "auto"
    colour: str = "auto"
    timeout_s: int = RUN_TIMEOUT_S
    platforms: tuple[str, ...] = ()
    isolation: str = ""
    backend: str = ""
    run_id: str = ""
    logins: tuple[str, ...] = ()
    cpus: float | None = None
    memory: int | None = None
    disk: int | None = None
    pids: int | None = None

    @property
    def is_quiet(self) -> bool:
        """True if only errors are shown."""
        return self.quiet or self.progress == "quiet"

    @property
    def shows_logs(self) -> bool:
        """True if step output is shown."""
        return self.logs and not self.is_quiet


def run_options(*, several_platforms: bool) -> Callable[[F], F]:
    """Return a decorator that adds the shared options to a command."""
    platform = click.option(
        "--platform",
        metavar="OS/ARCH",
        multiple=True,
        help="Platform, such as linux/arm64."
        + (" Repeatable or with commas." if several_platforms else ""),
    )
    options = (
        click.option("-r", "--registry", metavar="HOST", envvar="TASKS_REGISTRY",
                     help="Registry of the run: host or host:port."),
        click.option("--login", "logins", metavar="HOST", multiple=True,
                     help="Use Docker's login of this registry, too. Repeatable."),
        click.option("--timeout", metavar="SECONDS", type=click.IntRange(1, MAX_TIMEOUT_S),
                     default=RUN_TIMEOUT_S, show_default=True, help="End the run after this time."),
        click.option("-o", "--output", type=click.Choice(["json", "yaml", "table"]),
                     help="Print the run record to standard output; step output goes to"
                          " standard error."),
        click.option("--no-logs", is_flag=True, help="Do not show the output of steps."),
        click.option("-q", "--quiet", is_flag=True,
                     help="Show errors only; print pushed images."),
        click.option("--progress", type=click.Choice(["auto", "plain", "tty", "quiet", "json"]),
                     default="auto", envvar="TASKS_PROGRESS", show_default=True,
                     help="How to show the run."),
        click.option("--color", "colour", type=click.Choice(["auto", "always", "never"]),
                     default="auto", help="When to colour; NO_COLOR is respected."),
        platform,
        click.option("--isolation", metavar="LEVEL", envvar="TASKS_ISOLATION",
                     help="How strongly the runner is isolated; see `tasks doctor`."),
        click.option("--backend", metavar="NAME", envvar="TASKS_BACKEND",
                     help="How the runner is made."),
        click.option("--id", "run_id", metavar="ID",
                     help="Id of the run instead of a fresh one: lower-case letters, digits."),
        click.option("--cpu", "cpus", type=click.FloatRange(0.1, 1024), metavar="N",
                     help="CPUs of the whole run."),
        click.option("--memory", metavar="SIZE", help="Memory of the whole run, such as 4g."),
        click.option("--disk", metavar="SIZE", help="Disk of the whole run, such as 20g."),
        click.option("--pids", type=click.IntRange(16, 1 << 22), metavar="N",
                     help="Processes of the whole run."),
    )  # fmt: skip

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def parse_run_options(parameters: Mapping[str, Any]) -> RunOptions:
    """Check the shared parameters of a command.

    Raises:
        InvalidInput: One of them can't be; the message names it.
    """
    run_id = parameters["run_id"] or ""
    if run_id and not _RUN_ID.fullmatch(run_id):
        raise InvalidInput(
            f"--id {run_id[:80]!r} is not a run id", hint="use 2 to 32 lower-case letters or digits"
        )
    memory, disk = parameters["memory"], parameters["disk"]
    return RunOptions(
        registry=parse_registry(parameters["registry"] or "", "-r"),
        output=parameters["output"],
        logs=not parameters["no_logs"],
        quiet=parameters["quiet"],
        progress=parameters["progress"],
        colour=parameters["colour"],
        timeout_s=parameters["timeout"],
        platforms=parse_platforms(parameters["platform"]),
        isolation=parameters["isolation"] or "",
        backend=parameters["backend"] or "",
        run_id=run_id,
        logins=tuple(parse_registry(host, "--login") for host in parameters["logins"]),
        cpus=parameters["cpus"],
        memory=parse_size(memory, "--memory") if memory else None,
        disk=parse_size(disk, "--disk") if disk else None,
        pids=parameters["pids"],
    )


def parse_registry(text: str, flag: str) -> str:
    """Return a registry's host, checked; empty stays empty."""
    if text and not _REGISTRY.fullmatch(text):
        raise InvalidInput(
            f"{flag} {text[:80]!r} is not a registry",
            hint="give host or host:port, without https:// and without a path",
        )
    return text.lower()


def parse_size(text: str, flag: str) -> int:
    """Return bytes of ``4g``, ``512m`` or ``1.5GiB``; units count by 1024."""
    match = _SIZE.fullmatch(text.strip())
    count = int(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if count < 1 << 20:
        raise InvalidInput(f"{flag} {text[:40]!r} is not a size", hint="write 512m or 4g")
    return count


def parse_platforms(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return normalised platforms of repeated, comma-separated texts (C-005)."""
    words = [word.strip() for text in texts for word in text.split(",")]
    return tuple(dict.fromkeys(_platform(word) for word in words))


def _platform(text: str) -> str:
    os_name, _, rest = text.lower().partition("/")
    architecture, _, variant = rest.partition("/")
    if os_name not in _OS:
        raise InvalidInput(
            f"--platform {text[:40]!r}: operating system {os_name[:20]!r} is not known",
            hint="use linux/ARCH",
        )
    if os_name == "windows":
        raise InvalidInput("--platform windows is not supported: runners are Linux machines")
    if architecture and architecture not in _ARCHITECTURES:
        known = ", ".join(dict.fromkeys(_ARCHITECTURES.values()))
        raise InvalidInput(
            f"--platform {text[:40]!r}: architecture {architecture[:20]!r} is not known",
            hint=f"use one of {known}",
        )
    if variant and variant not in ("v6", "v7", "v8"):
        raise InvalidInput(
            f"--platform {text[:40]!r}: variant {variant[:20]!r} is not known",
            hint="use v6, v7 or v8",
        )
    named = _ARCHITECTURES[architecture] if architecture else machine_architecture()
    return f"{os_name}/{named}" + (f"/{variant}" if variant else "")


def machine_architecture() -> str:
    """Return this machine's architecture in the words of images."""
    machine = os.uname().machine.lower()
    return _ARCHITECTURES.get(machine, machine)


def state_directory(env: Mapping[str, str]) -> Path:
    """Return where runs keep state.

    ``$TASKS_STATE_DIR``, else the first place where a runner was set up: the
    user's XDG state, then the checkout this program runs from; else the first.
    """
    if env.get("TASKS_STATE_DIR"):
        return Path(env["TASKS_STATE_DIR"]).absolute()
    import platformdirs

    usual = platformdirs.user_state_path("tasks", appauthor=False)
    checkout = Path(__file__).resolve().parents[2] / ".tasks"
    set_up = [place for place in (usual, checkout) if (place / "runner.json").is_file()]
    return set_up[0] if set_up else usual


def read_standard_input(limit: int, what: str) -> bytes:
    """Return all of standard input.

    Raises:
        InvalidInput: It holds more than ``limit`` bytes.
    """
    data = sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        raise InvalidInput(f"{what} on standard input is larger than {limit // 1024} KiB")
    return data
