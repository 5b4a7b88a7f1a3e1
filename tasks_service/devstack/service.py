"""``make service``: the service on the parts of the demo, for trying it out.

Publishes ``examples/demo-app`` as a Git repository and becomes ``tasks up``
with the stack's engine and registry. What another shell needs to talk to it is
in ``.tasks/service.sh``.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import NoReturn

from tasks_service.devstack import demo, processes, progress, registry
from tasks_service.devstack.git_repository import publish
from tasks_service.devstack.layout import Layout
from tasks_service.devstack.stack import SERVICE, Stack

# The stack's Git server speaks plain HTTP on this machine; both are refused otherwise.
_SOURCES = {"TASKSD_ALLOW_HOSTS": "127.0.0.1"}


def prepare(stack: Stack) -> list[str]:
    """Return the command line that is the service, once all is there for it.

    Raises:
        RunnerError: a part of it failed, with what to do.
    """
    where = stack.where
    with progress.step("Git repository of examples/demo-app") as shown:
        source = where.checkout / "examples" / "demo-app"
        shown.update(publish(source, stack.git_root / demo.REPOSITORY, tags=(demo.TAG,)))
    folder = where.state / "service"
    address = f"127.0.0.1:{registry.free_port(where, SERVICE)}"
    token = folder / "admin-token"
    folder.mkdir(mode=0o700, exist_ok=True)
    _write_shell_file(where, stack, f"http://{address}", token)
    return [
        demo.tasks_program(stack),
        "up",
        f"--state-dir={folder}",
        f"--listen={address}",
        f"--registry={stack.registry}",
        f"--runner-state-dir={where.state}",
        f"--admin-token-file={token}",
    ]


def become(where: Layout, words: list[str]) -> NoReturn:
    """Become the service, in the foreground; `make down` finds it. Does not return."""
    sys.stderr.write(
        "\nIn another shell:\n  . .tasks/service.sh     # address, token, a repository to try\n\n"
    )
    sys.stderr.flush()
    processes.become(SERVICE, words, run=where.run, environment=_SOURCES)


def _write_shell_file(where: Layout, stack: Stack, url: str, token: Path) -> None:
    program = Path(demo.tasks_program(stack)).parent
    lines = [
        f'export PATH={shlex.quote(str(program))}:"$PATH"',
        f"export TASKS_SERVER={shlex.quote(url)}",
        f'TASKS_TOKEN="$(cat {shlex.quote(str(token))})"',
        "export TASKS_TOKEN",
        f"export REPOSITORY={shlex.quote(stack.git_url + demo.REPOSITORY)}",
        f"export REGISTRY={shlex.quote(stack.registry)}",
        f"export BASE_IMAGE={shlex.quote(stack.base_image)}",
    ]
    (where.state / "service.sh").write_text("\n".join(lines) + "\n")
