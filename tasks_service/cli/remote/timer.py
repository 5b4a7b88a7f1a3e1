"""``tasks timer``: when a stored task starts by itself (C-112, C-140 to C-143)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import list_options, show_options
from tasks_service.cli.remote.later import later_options
from tasks_service.cli.remote.names import TaskName

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_\-]{0,49}):\s*(\S.*)")
_UNITS = {"s": 1, "m": 60, "h": 3600}

task_option = click.option(
    "-n", "--name", "task", metavar="TASK", required=True, type=TaskName(), help="The task."
)


@click.group("timer", epilog=EPILOG)
def command() -> None:
    """Start a stored task by the clock.

    A schedule has five fields: minute hour day-of-month month weekday. It is
    read as Azure does: in UTC, and day AND weekday must match. Behind
    CRON_TZ=Zone it is standard cron in that time zone.
    """


def _fields(function: Any) -> Any:
    options = (
        click.option("--time-zone", metavar="ZONE",
                     help="The schedule is standard cron in this zone; the same as CRON_TZ=."),
        click.option("--enabled", type=click.BOOL, metavar="true|false",
                     help="Whether it fires."),
        click.option("--jitter", metavar="TIME",
                     help="Fire up to so much later: 90s, 10m, 1h."),
        click.option("--misfire", type=click.Choice(["run-once", "skip"]),
                     help="What becomes of fire times nobody saw: one run, or none."),
        click.option("--window", "windows", metavar="[!][DAYS ]HH:MM-HH:MM[ ZONE]", multiple=True,
                     help="Fire in this time only; with ! never in it. Repeatable; an empty"
                          " text removes all."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@command.command("add", epilog=EPILOG)
@task_option
@click.option("--timer-name", metavar="NAME", required=True, help="Name of the timer.")
@click.option("--schedule", metavar="CRON", required=True, help="When it fires.")
@_fields
@show_options
@later_options
def add(task: str, timer_name: str, **parameters: Any) -> None:
    """Add a timer. One that is there already is not replaced.

    \b
    tasks timer add -n patch --timer-name nightly --schedule '0 3 * * *'
    tasks timer add -n patch --timer-name office --schedule '30 7 * * Mon-Fri' \\
        --time-zone Europe/Berlin --jitter 10m
    """
    from tasks_service.errors import Conflict, VersionMismatch

    with connect(parameters) as client:
        try:
            timer = client.put_timer(task, timer_name, _body(parameters), new=True)
        except VersionMismatch as error:
            raise Conflict(error.message, hint=error.hint) from None
    _print(timer, parameters)


@command.command("update", epilog=EPILOG)
@task_option
@click.option("--timer-name", metavar="NAME", required=True, help="Name of the timer.")
@click.option("--schedule", metavar="CRON", help="When it fires.")
@_fields
@show_options
@later_options
def update(task: str, timer_name: str, **parameters: Any) -> None:
    """Change a timer; what is not named stays as it is.

    \b
    tasks timer update -n patch --timer-name nightly --enabled false
    """
    with connect(parameters) as client:
        stored = client.timer(task, timer_name)
        changes = _body(parameters, stored=str(stored.get("schedule") or ""))
        if not changes:
            raise click.UsageError("nothing to change was given")
        kept = ("schedule", "enabled", "jitter", "misfire", "windows")
        body = {name: stored[name] for name in kept if name in stored} | changes
        timer = client.put_timer(task, timer_name, body)
    _print(timer, parameters)


@command.command("remove", epilog=EPILOG)
@task_option
@click.option("--timer-name", metavar="NAME", required=True, help="Name of the timer.")
@click.option("--server", metavar="URL|CONTEXT", help="Server to ask.")
@later_options
def remove(task: str, timer_name: str, **parameters: Any) -> None:
    """Remove a timer."""
    with connect(parameters) as client:
        client.delete_timer(task, timer_name)


@command.command("list", epilog=EPILOG)
@task_option
@list_options
@later_options
def list_timers(task: str, **parameters: Any) -> None:
    """List the timers of a task: when they fire, in words too, and what became of it."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    with connect(parameters) as client:
        items = list(client.timers(task))
    columns = [
        Column("NAME", key("name")),
        Column("SCHEDULE", key("schedule")),
        Column("STATUS", _status),
        Column("NEXT", key("next")),
        Column("LAST", key("lastDue")),
        Column("RUN", lambda timer: timer.get("problem") or timer.get("lastRun") or ""),
        Column("IN WORDS", key("words")),
    ]
    print_list(items, columns, Form.of(parameters))


@command.command("next", epilog=EPILOG)
@click.option("-n", "--name", "task", metavar="TASK", type=TaskName(), help="The task.")
@click.option("--timer-name", metavar="NAME", help="Only this timer of it.")
@click.option("--schedule", metavar="CRON", help="A schedule instead; no server is asked.")
@click.option("--time-zone", metavar="ZONE", help="The zone of that schedule.")
@click.option("--count", type=click.IntRange(1, 100), default=10, show_default=True,
              help="How many fire times.")  # fmt: skip
@list_options
@later_options
def next_times(task: str | None, timer_name: str | None, count: int, **parameters: Any) -> None:
    """Show when timers fire next, and their schedules in words.

    \b
    tasks timer next -n patch
    tasks timer next --schedule '0 3 * * Mon-Fri' --time-zone Europe/Berlin
    """
    if parameters["schedule"] is not None:
        if task or timer_name:
            raise click.UsageError("--schedule excludes -n and --timer-name")
        rows = _local(_schedule(parameters), count)
    elif parameters["time_zone"] is not None:
        raise click.UsageError("--time-zone needs --schedule")
    elif task is None:
        raise click.UsageError("give a task by -n, or a schedule by --schedule")
    else:
        with connect(parameters) as client:
            names = [timer_name] if timer_name else [str(t["name"]) for t in client.timers(task)]
            rows = []
            for name in names:
                found = client.next_times(task, name, count)
                rows += _rows(name, found, found.get("items") or ())
    _print_times(rows, parameters)


def _local(text: str, count: int) -> list[dict[str, Any]]:
    import itertools
    from datetime import UTC, datetime

    from tasks_service.model.timer import Timer
    from tasks_service.triggers.timer import CompiledTimer

    timer = CompiledTimer(Timer("", text), "")
    times = [
        {"at": plan.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        for plan in itertools.islice(timer.upcoming(datetime.now(UTC)), count)
    ]
    head = {"words": timer.schedule.words(), "zone": timer.schedule.zone}
    return _rows("", head, times)


def _rows(
    name: str, head: Mapping[str, Any], times: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    zone = str(head.get("zone") or "UTC")
    return [
        {"timer": name, "at": time.get("at"), "local": _local_time(str(time.get("at")), zone),
         "zone": zone, "words": head.get("words")}
        for time in times
    ]  # fmt: skip


def _local_time(text: str, zone: str) -> str:
    from datetime import datetime
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        found = datetime.fromisoformat(text).astimezone(ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError):
        return text
    return found.strftime("%a %Y-%m-%d %H:%M:%S %Z")


def _print_times(rows: list[dict[str, Any]], parameters: Mapping[str, Any]) -> None:
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    columns = [
        Column("AT", key("at")),
        Column("LOCAL", key("local")),
        Column("IN WORDS", key("words")),
    ]
    if any(row["timer"] for row in rows):
        columns.insert(0, Column("TIMER", key("timer")))
    print_list(rows, columns, Form.of(parameters), name="at")


def named_schedules(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Return the timers of ``--schedule [NAME:]CRON``; unnamed are t1, t2 … by position (C-112)."""
    found = []
    for number, text in enumerate(texts, 1):
        named = _NAMED.fullmatch(text.strip())
        name, schedule = (named[1], named[2]) if named else (f"t{number}", text)
        found.append({"name": name, "schedule": schedule})
    return found


def _body(parameters: Mapping[str, Any], *, stored: str = "") -> dict[str, Any]:
    """Return the parts of a timer that the flags give."""
    found: dict[str, Any] = {}
    if parameters["schedule"] is not None or parameters["time_zone"] is not None:
        found["schedule"] = _schedule(parameters, stored=stored)
    if parameters["enabled"] is not None:
        found["enabled"] = parameters["enabled"]
    if parameters["jitter"] is not None:
        found["jitter"] = _seconds(parameters["jitter"])
    if parameters["misfire"] is not None:
        found["misfire"] = parameters["misfire"]
    if parameters["windows"]:
        found["windows"] = [text for text in parameters["windows"] if text.strip()]
    return found


def _schedule(parameters: Mapping[str, Any], *, stored: str = "") -> str:
    text = str(parameters["schedule"] if parameters["schedule"] is not None else stored)
    zone = parameters["time_zone"]
    if zone is None:
        return text
    if text.lstrip().startswith(("CRON_TZ=", "TZ=")):
        if parameters["schedule"] is not None:
            raise click.UsageError("--time-zone and CRON_TZ= say the same thing: give one of them")
        text = text.lstrip().partition(" ")[2]
    return f"CRON_TZ={zone} {text}"


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,6})([smh]?)", text.strip())
    if found is None:
        raise click.UsageError(f"--jitter {text[:40]!r} is not a time: write 90s, 10m or 1h")
    return int(found[1]) * _UNITS[found[2] or "s"]


def _status(timer: Mapping[str, Any]) -> str:
    return "Enabled" if timer.get("enabled") else "Disabled"


def _print(timer: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    from tasks_service.cli.remote.printing import Column, Form, key, print_object

    facts = [
        Column("Name", key("name")),
        Column("Schedule", key("schedule")),
        Column("In words", key("words")),
        Column("Status", _status),
        Column("Next", key("next")),
        Column("Jitter", lambda one: f"{one['jitter']} s" if one.get("jitter") else ""),
        Column("Misfire", key("misfire")),
        Column("Windows", key("windows")),
    ]
    print_object(timer, facts, Form.of(parameters))
