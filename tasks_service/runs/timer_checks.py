"""Whether the timers of a task can be, before anything is stored. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tasks_service.model.timer import MAX_JITTER_S, MAX_TIMERS, MISFIRES, Timer
from tasks_service.runs.fields import FieldError, pointer
from tasks_service.runs.words import shown
from tasks_service.triggers.schedule import InvalidSchedule, parse_schedule
from tasks_service.triggers.timer import check_timer
from tasks_service.triggers.windows import MAX_WINDOWS, Window

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,49}")


def timer_errors(timers: Sequence[Timer], *parents: str) -> Iterator[FieldError]:
    """Yield what is wrong with the timers of a task, each with its place.

    ``parents`` is where the list stands in the body; ``timers`` by default.
    """
    root: tuple[str | int, ...] = parents or ("timers",)
    if len(timers) > MAX_TIMERS:
        yield FieldError(pointer(*root), f"has more than {MAX_TIMERS} timers")
    names: set[str] = set()
    schedules: dict[str, str] = {}
    for number, timer in enumerate(timers[:MAX_TIMERS]):
        place = (*root, number)
        if problem := timer_name_problem(timer.name):
            yield FieldError(pointer(*place, "name"), problem)
        elif timer.name in names:
            yield FieldError(pointer(*place, "name"), f"{shown(timer.name)} is given twice")
        names.add(timer.name)
        if timer.schedule in schedules:
            other = shown(schedules[timer.schedule])
            yield FieldError(
                pointer(*place, "schedule"), f"is that of timer {other}, too: one would do (G-63)"
            )
        schedules.setdefault(timer.schedule, timer.name)
        yield from one_timer_errors(timer, *place)


def one_timer_errors(timer: Timer, *place: str | int) -> Iterator[FieldError]:
    """Yield what is wrong with one timer but for its name."""
    wrong = False
    try:
        parse_schedule(timer.schedule)
    except InvalidSchedule as error:
        wrong = True
        yield _told(error, pointer(*place, "schedule"))
    if len(timer.windows) > MAX_WINDOWS:
        yield FieldError(pointer(*place, "windows"), f"has more than {MAX_WINDOWS} windows")
    for number, text in enumerate(timer.windows[:MAX_WINDOWS]):
        try:
            Window.parse(text)
        except InvalidSchedule as error:
            wrong = True
            yield _told(error, pointer(*place, "windows", number))
    if not 0 <= timer.jitter_s <= MAX_JITTER_S:
        yield FieldError(pointer(*place, "jitter"), f"must be 0 to {MAX_JITTER_S} seconds")
    if timer.misfire not in MISFIRES:
        yield FieldError(pointer(*place, "misfire"), f"must be one of {', '.join(MISFIRES)}")
    if not wrong:
        try:
            check_timer(timer)
        except InvalidSchedule as error:
            yield _told(error, pointer(*place, "windows"))


def timer_name_problem(text: str) -> str:
    """Return what is wrong with a timer's name, or an empty text."""
    if _NAME.fullmatch(text):
        return ""
    return (
        f"{shown(text)} is not a timer name: 1 to 50 letters, digits, '-' and '_',"
        " beginning with a letter or digit"
    )


def _told(error: InvalidSchedule, place: str) -> FieldError:
    hint = f" ({error.hint})" if error.hint else ""
    return FieldError(place, error.message + hint, 1, error.column)
