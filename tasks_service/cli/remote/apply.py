"""``tasks apply`` and ``tasks export``: definitions kept in files, for those who like Git."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runners.model.errors import InvalidInput, RunnerError
from tasks_service.cli import exit_codes
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import pairs, server_option
from tasks_service.cli.remote.names import TaskName

if TYPE_CHECKING:
    from tasks_service.cli.remote.manifest import Definition
    from tasks_service.client.service import ServiceClient


@click.command("apply", epilog=exit_codes.EPILOG)
@click.option("-f", "--file", "files", metavar="FILE|DIR", multiple=True, required=True,
              help="YAML of tasks; - reads standard input; of a directory, all *.yaml and *.yml."
                   " Repeatable.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--prune", is_flag=True,
              help="Delete tasks that have the --label and are in no file.")  # fmt: skip
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True,
              help="Which tasks --prune may delete. Repeatable.")  # fmt: skip
@server_option
def apply(
    files: tuple[str, ...], dry_run: bool, prune: bool, labels: tuple[str, ...], **parameters: Any
) -> int:
    """Make the server's tasks as files say: create, update, leave.

    A file holds one task a document, a list of them, or what `tasks export`
    prints. A secret without a value keeps the stored one; fromEnv names the
    environment variable that holds it.

    \b
    tasks apply -f tasks.yaml --dry-run
    tasks apply -f tasks/ --prune --label team=web
    """
    from tasks_service.cli.remote.manifest import read_definitions

    wanted = pairs(labels, "--label")
    if prune and not wanted:
        raise click.UsageError(
            "--prune needs --label: without one it would delete every other task"
        )
    if wanted and not prune:
        raise click.UsageError("--label goes with --prune")
    definitions = read_definitions(_read(files), os.environ)
    with connect(parameters) as client:
        work = _Apply(client, dry_run=dry_run)
        for definition in definitions:
            work.apply(definition)
        if prune:
            work.prune({definition.name for definition in definitions}, wanted)
    return work.code


class _Apply:
    """Goes through all tasks; what fails does not stop the others."""

    def __init__(self, client: ServiceClient, *, dry_run: bool) -> None:
        self._client = client
        self._dry_run = dry_run
        self.code = exit_codes.OK
        """That of the first error."""

    def apply(self, definition: Definition) -> None:
        """Create, update or leave one task."""
        from tasks_service.cli.remote.manifest import same
        from tasks_service.errors import NotFound

        try:
            try:
                stored, version = self._client.task(definition.name)
            except NotFound:
                self._put(definition, "created", new=True)
                return
            if same(stored, definition.body) and not definition.new_secrets:
                self._tell(definition.name, "unchanged")
            else:
                self._put(definition, "updated", match=version)
        except RunnerError as error:
            self._fail(definition.name, definition.place, error)

    def _put(self, definition: Definition, done: str, **condition: Any) -> None:
        if not self._dry_run:
            self._client.put_task(definition.name, definition.body, **condition)
        self._tell(definition.name, done)

    def prune(self, kept: set[str], labels: Mapping[str, str]) -> None:
        """Delete tasks with the labels that no file holds."""
        from tasks_service.cli.remote.tasks import has_labels

        if self.code:
            self._say("nothing is deleted because of the errors above")
            return
        found = [str(t["name"]) for t in self._client.tasks() if has_labels(t, labels)]
        for name in found:
            if name in kept:
                continue
            try:
                if not self._dry_run:
                    self._client.delete_task(name)
                self._tell(name, "deleted")
            except RunnerError as error:
                self._fail(name, "", error)

    def _tell(self, name: str, done: str) -> None:
        from tasks_service.cli.output import Writer

        Writer(sys.stdout).write(f"{name} {done}{' (dry run)' * self._dry_run}\n")

    def _say(self, text: str) -> None:
        from tasks_service.cli.remote.printing import say

        say(text)

    def _fail(self, name: str, place: str, error: RunnerError) -> None:
        from tasks_service.cli.failures import print_error

        where = f" ({place})" if place else ""
        print_error(f"task {name}{where}: {error.message}", hint=error.hint, detail=error.detail)
        self.code = self.code or exit_codes.of_error(error)


def _read(files: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    from tasks_service.cli.options import read_standard_input
    from tasks_service.cli.remote.manifest import LIMIT
    from tasks_service.sources.beneath import read_regular
    from tasks_service.sources.errors import SourceNotFound

    for name in files:
        if name == "-":
            yield "<stdin>", read_standard_input(LIMIT, "the definitions")
            continue
        path = Path(name)
        paths = _yaml_files(path) if path.is_dir() else [path]
        for one in paths:
            try:
                yield (
                    str(one),
                    read_regular(one, limit=LIMIT, what=f"file {str(one)!r}", follow=True),
                )
            except FileNotFoundError:
                raise SourceNotFound(f"there is no file {str(one)!r}") from None


def _yaml_files(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml") and p.is_file())
    if not found:
        raise InvalidInput(f"there is no *.yaml and no *.yml in {str(folder)!r}")
    return found


@click.command("export", epilog=exit_codes.EPILOG)
@click.argument("names", nargs=-1, type=TaskName())
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True,
              help="Only tasks with this label. Repeatable.")  # fmt: skip
@server_option
def export(names: tuple[str, ...], labels: tuple[str, ...], **parameters: Any) -> None:
    """Print stored tasks, all or those named, as YAML that `tasks apply` takes.

    Secrets are named; their values are not in it.
    """
    from tasks_service.cli.output import Writer
    from tasks_service.cli.remote.manifest import dumped, exported
    from tasks_service.cli.remote.tasks import has_labels

    wanted = pairs(labels, "--label")
    with connect(parameters) as client:
        if names:
            found = [client.task(name)[0] for name in dict.fromkeys(names)]
        else:
            found = list(client.tasks())
    chosen = [exported(task) for task in found if has_labels(task, wanted)]
    Writer(sys.stdout).write(dumped(chosen) if chosen else "")
