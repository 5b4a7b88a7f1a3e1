"""Options of the commands that are the service, turned into Settings.

In: click's parameters and the environment. Out: Loaded, with the origin of
each value. Flags win over ``TASKSD_…``, those over the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tasks_service.config import Loaded

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, tuple[str, str]] = {
    "state_dir": ("DIR", "Folder of database, keys, uploads and logs."),
    "database_url": ("URL", "postgresql://…; better by TASKSD_DATABASE_URL."),
    "redis_url": ("URL", "redis://…; better by TASKSD_REDIS_URL."),
    "listen": ("HOST:PORT", "Where the API listens."),
    "metrics_listen": ("HOST:PORT", "Where health and metrics are served, apart from the API."),
    "registry": ("HOST", "Registry of runs that name none."),
    "pool": ("NAME", "Pool whose runs this worker takes."),
    "concurrency": ("N", "Runs executed at once."),
    "backend": ("NAME", "How runners are made."),
    "isolation": ("LEVEL", "How strongly runners are isolated."),
    "drain": ("TIME", "How long runs get to end when the worker stops (5m)."),
    "runner_state_dir": ("DIR", "Where the runner backend was set up."),
    "log_format": ("auto|json|console", "Form of the log on standard error."),
    "log_level": ("LEVEL", "debug, info, warning or error."),
}


def settings_options(*names: str) -> Callable[[F], F]:
    """Return a decorator that adds ``--config`` and the named settings as options."""

    def add(function: F) -> F:
        for name in reversed(names):
            metavar, text = _OPTIONS[name]
            option = click.option("--" + name.replace("_", "-"), name, metavar=metavar, help=text)
            function = option(function)
        return click.option(
            "--config",
            "config_file",
            metavar="FILE",
            envvar="TASKSD_CONFIG",
            help="TOML file of settings; `tasks config` lists them.",
        )(function)

    return add


def load(parameters: Mapping[str, Any], **defaults: Any) -> Loaded:
    """Return the settings of this command.

    Raises:
        InvalidInput: With every setting that is wrong.
    """
    from tasks_service.cli.options import state_directory
    from tasks_service.config import load_settings

    file = parameters.get("config_file")
    usual: dict[str, Any] = {
        "state_dir": _usual_state(os.environ),
        "runner_state_dir": str(state_directory(os.environ)),
    }
    return load_settings(
        environ=os.environ,
        file=None if file is None else Path(file),
        flags={name: parameters.get(name) for name in _OPTIONS},
        defaults=usual | defaults,
    )


def _usual_state(environ: Mapping[str, str]) -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/tasks")
    home = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/"), ".local", "state"))
    return Path(home) / "tasks" / "service"
