"""The commit trigger of a task's source, as ``tasks create`` and ``update`` make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tasks_service.cli.remote.trigger import DEFAULT_NAME, pattern_options, trigger_body

if TYPE_CHECKING:
    from tasks_service.client.service import ServiceClient

F = TypeVar("F", bound=Callable[..., Any])
_COUNTS = ("pushes", "pull_requests")


def source_trigger_options(function: F) -> F:
    """Add what ``tasks create`` and ``update`` take for the trigger of the task's source."""
    function = click.option(
        "--source-trigger-name", "source_trigger", metavar="NAME", default=DEFAULT_NAME,
        help="Name of the commit trigger.",
    )(pattern_options(function))  # fmt: skip
    return click.option(
        "--commit-trigger-enabled", "commit_trigger", type=click.BOOL, metavar="true|false",
        is_flag=False, flag_value="true",
        help="Whether pushes start it; false at first. Webhook and secret are printed.",
    )(
        click.option(
            "--pull-request-trigger-enabled", "pull_trigger", type=click.BOOL,
            metavar="true|false", is_flag=False, flag_value="true",
            help="Whether pull requests do, without secrets and pushes; false at first.",
        )(function)
    )  # fmt: skip


def source_trigger_of(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what ``--commit-trigger-enabled`` and the like want of the trigger, or None.

    Raises:
        click.UsageError: Flags of a trigger that is not asked for.
    """
    pushes, pulls = parameters["commit_trigger"], parameters["pull_trigger"]
    enabled = None if pushes is None and pulls is None else bool(pushes or pulls)
    # What is switched off entirely keeps what it was for.
    counts = {"pushes": pushes, "pull_requests": pulls} if enabled else dict.fromkeys(_COUNTS)
    changes = trigger_body(
        {**parameters, **counts, "enabled": enabled, "token": None, "secret": None}
    )
    if enabled is None and changes:
        raise click.UsageError(
            "--branch, --path, --provider, --repository and --api-url are of the commit"
            " trigger: add --commit-trigger-enabled true, or see `tasks trigger update`"
        )
    return {"name": parameters["source_trigger"], **changes} if changes else None


def set_source_trigger(
    client: ServiceClient, task: str, wanted: Mapping[str, Any] | None, token: str | None
) -> None:
    """Add, change, enable or disable the trigger of a task's source."""
    if wanted is None:
        return
    changes = {**wanted, "token": token} if token else {**wanted}
    if changes["name"] in {one.get("name") for one in client.triggers(task)}:
        changes.pop("provider", None)
        client.change_trigger(task, changes.pop("name"), changes)
    elif changes["enabled"]:
        # Only what was asked for counts in a new one.
        changes = {"pushes": False, "registerWebhook": bool(token)} | changes
        _tell(client.add_trigger(task, changes))


def _tell(trigger: Mapping[str, Any]) -> None:
    from tasks_service.cli.remote.printing import say

    provider, registration = trigger.get("provider"), trigger.get("registration") or {}
    if registration.get("registered"):
        say(f"commit trigger '{trigger.get('name')}': its webhook was made at {provider}")
        return
    if registration.get("problem"):
        say(f"the webhook was not made at {provider}: {registration['problem']}")
    say(f"commit trigger '{trigger.get('name')}': enter this webhook at {provider}")
    say(f"  URL:    {trigger.get('url')}")
    say(f"  secret: {trigger.get('secret')}")
