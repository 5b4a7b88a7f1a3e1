"""The rows of a task's timers, kept in step with its definition, in its transaction."""

from __future__ import annotations

from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, insert, select, update

from tasks_service.model.task import ENABLED, TaskDefinition
from tasks_service.model.timer import Timer
from tasks_service.store.database import now
from tasks_service.store.tables import timers

_TIMER = TypeAdapter(Timer)


def load_timer(text: str) -> Timer:
    """Return the timer of a column text."""
    return _TIMER.validate_json(text)


def sync_timers(connection: Connection, definition: TaskDefinition) -> None:
    """Make the rows those of the enabled timers of an enabled task.

    One that is new, changed, or enabled again, begins at this moment: what
    it would have done before was not missed.
    """
    wanted = {
        timer.name: _TIMER.dump_json(timer).decode()
        for timer in definition.timers
        if timer.enabled and definition.status == ENABLED
    }
    mine = timers.c.task == definition.name
    stored: dict[str, str] = dict(
        connection.execute(select(timers.c.name, timers.c.definition).where(mine)).all()
    )
    gone = stored.keys() - wanted.keys()
    if gone:
        connection.execute(delete(timers).where(mine, timers.c.name.in_(sorted(gone))))
    for name, text in wanted.items():
        fresh = {"definition": text, "since": now(), "due": None, "at": 0.0, "planned": 0.0}
        if name not in stored:
            connection.execute(insert(timers).values(task=definition.name, name=name, **fresh))
        elif stored[name] != text:
            connection.execute(
                update(timers).where(mine, timers.c.name == name).values(problem="", **fresh)
            )
