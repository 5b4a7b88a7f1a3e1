"""Names of tasks and ids of runs as parameters, with completion from the server.

Completion asks the server for at most 300 ms, and says nothing if there is no
answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from tasks_service.client.service import ServiceClient

F = TypeVar("F", bound=Callable[..., Any])
JSON = Mapping[str, Any]
BUDGET_S = 0.3


class TaskName(click.ParamType[str]):
    """Name of a stored task."""

    name = "task"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click gives it
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return stored tasks that begin so."""
        items = asked(ctx, lambda client: list(client.tasks()))
        return _complete(items, "name", "source", incomplete)


class RunId(click.ParamType[str]):
    """Id of a run."""

    name = "run"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click gives it
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the latest runs that begin so."""
        items = asked(ctx, lambda client: list(client.runs({}, limit=50)))
        return _complete(items, "id", "status", incomplete)


def task_name(function: F) -> F:
    """Add the name of one task, as an argument or by ``-n``; given to ``name``."""

    def pick(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str:
        flagged: str | None = ctx.params.pop("name_flag", None)
        if value and flagged and value != flagged:
            raise click.UsageError(f"two names were given: {value!r} and {flagged!r}")
        name = value or flagged
        if not name:
            raise click.UsageError("Missing option '-n' / '--name': the task's name")
        return name

    function = click.argument("name", required=False, type=TaskName(), callback=pick)(function)
    return click.option(
        "-n", "--name", "name_flag", metavar="NAME", is_eager=True, type=TaskName(),
        help="Name of the task; may be given as an argument, too.",
    )(function)  # fmt: skip


def asked(ctx: click.Context, question: Callable[[ServiceClient], list[JSON]]) -> list[JSON]:
    """Return what a server answers within the budget; nothing if it does not."""
    import threading

    found: list[JSON] = []

    def ask() -> None:
        import contextlib

        from runners.model.errors import RunnerError
        from tasks_service.cli.remote.connection import connect

        with contextlib.suppress(RunnerError, click.ClickException), connect(ctx.params) as client:
            found.extend(question(client))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(BUDGET_S)
    return [] if thread.is_alive() else found


def _complete(items: list[JSON], name: str, text: str, incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(str(item[name]), help=str(item.get(text) or "") or None)
        for item in items
        if str(item.get(name, "")).startswith(incomplete)
    ]
