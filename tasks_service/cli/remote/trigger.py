"""``tasks trigger``: pushes that start a stored task (C-108 to C-111)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import list_options, show_options
from tasks_service.cli.remote.later import later_options
from tasks_service.cli.remote.names import TaskName

if TYPE_CHECKING:
    from tasks_service.cli.remote.printing import Column

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_NAME = "defaultSourceTriggerName"
PROVIDERS = ("github", "gitlab", "gitea", "forgejo", "bitbucket", "azure")
_PATTERNS = {"branches": "refs", "paths": "paths"}

task_option = click.option(
    "-n", "--name", "task", metavar="TASK", required=True, type=TaskName(), help="The task."
)
trigger_option = click.option(
    "--trigger-name",
    "--source-trigger-name",
    "trigger",
    metavar="NAME",
    default=DEFAULT_NAME,
    help="The trigger; needed if the task has more than one.",
)


def pattern_options(function: F) -> F:
    """Add what pushes a trigger wants, and whose."""
    options = (
        click.option("--branch", "branches", metavar="[!]PATTERN", multiple=True,
                     help="Branches that count: main, release/*, !wip/**; or whole refs:"
                          " refs/tags/v*. Repeatable; the branch of the source at first."),
        click.option("--path", "paths", metavar="[!]PATTERN", multiple=True,
                     help="Changed files that count: web/**, !**/*.md. Repeatable; any at"
                          " first."),
        click.option("--provider", type=click.Choice(PROVIDERS),
                     help="Kind of the Git server; known for the public ones."),
        click.option("--repository", metavar="OWNER/NAME",
                     help="Its name there; told by the source at first."),
        click.option("--api-url", metavar="URL",
                     help="Where statuses are posted; told by the source at first."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@click.group("trigger", epilog=EPILOG)
def command() -> None:
    """Start a stored task when its repository gets a push."""


def _secret_options(function: F) -> F:
    options = (
        click.option("--secret", metavar="-",
                     help="Secret of the webhook; made up at first; - reads standard input."),
        click.option("--token", metavar="-",
                     help="Token that posts statuses of commits; - reads standard input."),
        click.option("--pushes", type=click.BOOL, metavar="true|false",
                     help="Whether pushes count; true at first."),
        click.option("--pull-requests", type=click.BOOL, metavar="true|false",
                     help="Whether pull requests for these branches count; false at first."),
        click.option("--poll", "poll", metavar="TIME|off",
                     help="How often to look for pushes nobody told (5m, 1h); the service's"
                          " pace at first."),
        click.option("--enabled", type=click.BOOL, metavar="true|false",
                     help="Whether anything starts the task."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@command.command("add", epilog=EPILOG)
@task_option
@trigger_option
@pattern_options
@_secret_options
@click.option("--register", type=click.BOOL, metavar="true|false",
              help="Whether the webhook is made at the Git server; true with --token.")  # fmt: skip
@show_options
@later_options
def add(task: str, trigger: str, register: bool | None, **parameters: Any) -> None:
    """Add a commit trigger; make its webhook, or print URL and secret to enter by hand.

    \b
    tasks trigger add -n app --branch main --branch 'release/*' --token - < token
    tasks trigger add -n web --path 'web/**' --provider gitlab
    """
    body = trigger_body(parameters)
    # Who gives a token wants as little as possible left to do.
    wanted = bool(body.get("token")) if register is None else register
    with connect(parameters) as client:
        found = client.add_trigger(task, {"name": trigger, "registerWebhook": wanted, **body})
    _print(found, parameters)


@command.command("update", epilog=EPILOG)
@task_option
@trigger_option
@pattern_options
@_secret_options
@show_options
@later_options
def update(task: str, trigger: str, **parameters: Any) -> None:
    """Change a commit trigger; what is not named stays. Its URL does, always.

    \b
    tasks trigger update -n app --enabled false
    """
    if parameters["provider"]:
        raise click.UsageError("--provider can't be changed: remove the trigger and add another")
    changes = trigger_body(parameters)
    if not changes:
        raise click.UsageError("nothing to change was given")
    with connect(parameters) as client:
        _print(client.change_trigger(task, trigger, changes), parameters)


@command.command("register", epilog=EPILOG)
@task_option
@trigger_option
@click.option("--server", metavar="URL|CONTEXT", help="Server to ask.")
@later_options
def register(task: str, trigger: str, **parameters: Any) -> None:
    """Make the webhook at the Git server, with the trigger's token, or mend the one it has."""
    with connect(parameters) as client:
        found = client.register_webhook(task, trigger)
    if not found.get("registered"):
        click.echo(f"not registered: {found.get('problem')}", err=True)
        click.get_current_context().exit(1)
    click.echo("registered")


@command.command("remove", epilog=EPILOG)
@task_option
@trigger_option
@click.option("--server", metavar="URL|CONTEXT", help="Server to ask.")
@later_options
def remove(task: str, trigger: str, **parameters: Any) -> None:
    """Remove a commit trigger and what was delivered to it."""
    with connect(parameters) as client:
        client.delete_trigger(task, trigger)


@command.command("list", epilog=EPILOG)
@task_option
@list_options
@later_options
def list_triggers(task: str, **parameters: Any) -> None:
    """List the commit triggers of a task, and what became of the last push."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    with connect(parameters) as client:
        items = list(client.triggers(task))
    columns = [
        Column("NAME", key("name")),
        Column("PROVIDER", key("provider")),
        Column("REPOSITORY", key("repository")),
        Column("BRANCHES", key("refs")),
        Column("PATHS", key("paths")),
        Column("STATUS", _status),
        Column("LAST", key("last", "received")),
        Column("RUN", lambda one: _became(one.get("last") or {})),
        Column("LOOKED", lambda one: one.get("pollProblem") or one.get("polled") or ""),
        Column("WEBHOOK", key("url")),
    ]
    print_list(items, columns, Form.of(parameters))


@command.command("deliveries", epilog=EPILOG)
@task_option
@trigger_option
@click.option("--top", type=click.IntRange(1, 500), default=30, show_default=True,
              help="How many.")  # fmt: skip
@list_options
@later_options
def deliveries(task: str, trigger: str, top: int, **parameters: Any) -> None:
    """List the pushes that arrived, newest first, and what became of each."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    with connect(parameters) as client:
        items = list(client.pushes(task, trigger, top))
    columns = [
        Column("ID", key("id")),
        Column("RECEIVED", key("received")),
        Column("BY", key("via")),
        Column("REF", key("ref")),
        Column("COMMIT", lambda one: str(one.get("commit") or "")[:12]),
        Column("RUN", _became),
        Column("STATUS TOLD", lambda one: one.get("problem") or one.get("reported") or ""),
    ]
    print_list(items, columns, Form.of(parameters), name="id")


@command.command("test", epilog=EPILOG)
@task_option
@trigger_option
@click.option("--branch", "ref", metavar="NAME", required=True,
              help="Branch, or whole ref (refs/tags/v1), that is pushed.")  # fmt: skip
@click.option("--path", "paths", metavar="FILE", multiple=True,
              help="A file that changed. Repeatable; unknown at first.")  # fmt: skip
@click.option("--message", metavar="TEXT", default="", help="The commit's message.")
@click.option("--server", metavar="URL|CONTEXT", help="Server to ask.")
@later_options
def test(task: str, trigger: str, ref: str, paths: tuple[str, ...], **parameters: Any) -> None:
    """Tell whether a push would start the task, and why not. Nothing is started.

    \b
    tasks trigger test -n web --branch main --path web/index.html
    """
    body: dict[str, Any] = {"ref": ref, "message": parameters["message"]}
    with connect(parameters) as client:
        found = client.try_trigger(task, trigger, body | ({"paths": [*paths]} if paths else {}))
    click.echo("starts a run" if found.get("starts") else f"starts nothing: {found.get('note')}")
    if not found.get("starts"):
        click.get_current_context().exit(1)


@command.command("redeliver", epilog=EPILOG)
@click.argument("delivery")
@task_option
@trigger_option
@click.option("--server", metavar="URL|CONTEXT", help="Server to ask.")
@later_options
def redeliver(delivery: str, task: str, trigger: str, **parameters: Any) -> None:
    """Judge a push that arrived before once more, as trigger and task are now.

    DELIVERY is an id of `tasks trigger deliveries`. The commit is built again.
    """
    with connect(parameters) as client:
        found = client.redeliver_push(task, trigger, delivery)
    click.echo(_became(found))


def trigger_body(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the flags say of a trigger, as the API takes it."""
    found: dict[str, Any] = {}
    for flag, field in _PATTERNS.items():
        if parameters[flag]:
            found[field] = [text for text in parameters[flag] if text]
    for flag, field in (("provider", "provider"), ("repository", "repository"),
                        ("api_url", "apiUrl"), ("enabled", "enabled"),
                        ("pushes", "pushes"), ("pull_requests", "pullRequests")):  # fmt: skip
        if parameters[flag] is not None:
            found[field] = parameters[flag]
    if parameters.get("poll") is not None:
        found["pollSeconds"] = _pace(parameters["poll"])
    return found | _secrets(parameters)


def _pace(text: str) -> float:
    """Return seconds; ``off`` is 0.

    Raises:
        click.UsageError: It is no time.
    """
    if text.lower() in ("off", "never"):
        return 0.0
    number, unit = (text[:-1], text[-1]) if text[-1:].isalpha() else (text, "s")
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(unit.lower())
    if seconds is None or not (number.isascii() and number.isdecimal()) or len(number) > 9:
        raise click.UsageError(f"--poll {text[:20]!r} is no time such as 90s, 5m, 1h, or 'off'")
    return float(int(number) * seconds)


def _secrets(parameters: Mapping[str, Any]) -> dict[str, str]:
    from tasks_service.cli.remote.definition import secret_text

    given = {name: parameters[name] for name in ("secret", "token") if parameters[name] is not None}
    if list(given.values()).count("-") > 1:
        raise click.UsageError("only one of --secret and --token can be standard input")
    return {name: secret_text(text, f"--{name}") for name, text in given.items()}


def _status(trigger: Mapping[str, Any]) -> str:
    return "Enabled" if trigger.get("enabled") else "Disabled"


def _registered(trigger: Mapping[str, Any]) -> str:
    found = trigger.get("registration") or {}
    return "yes" if found.get("registered") else str(found.get("problem") or "")


def _looks(trigger: Mapping[str, Any]) -> str:
    pace = trigger.get("pollSeconds")
    return f"{pace:g} s" if isinstance(pace, int | float) and pace else "never"


def _became(delivery: Mapping[str, Any]) -> str:
    return str(delivery.get("runId") or delivery.get("note") or "")


def _print(trigger: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    from tasks_service.cli.remote.printing import Form, print_object

    print_object(trigger, _facts(), Form.of(parameters))


def _facts() -> list[Column]:
    from tasks_service.cli.remote.printing import Column, key

    return [
        Column("Name", key("name")),
        Column("Provider", key("provider")),
        Column("Repository", key("repository")),
        Column("Branches", key("refs")),
        Column("Paths", key("paths")),
        Column("Status", _status),
        Column("Pull requests", key("pullRequests")),
        Column("Status API", lambda one: one.get("apiUrl") if one.get("hasToken") else ""),
        Column("Looks every", _looks),
        Column("Webhook", key("url")),
        Column("Registered", _registered),
        Column("Secret", key("secret")),
    ]
