"""The duty of timers: plan the next fire time, start the runs of those that came.

In: the store and its clock. Out: runs. Two schedulers at once, a clock that
jumps and hours of downtime start no run twice, and at most one for what was
missed (F19, F20).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from runners.model.errors import InvalidInput, RunnerError
from tasks_service.errors import Busy, Conflict
from tasks_service.model.run import Cause, NewRun
from tasks_service.model.timer import Timer
from tasks_service.process_log import get_logger
from tasks_service.runs.ids import new_run_id
from tasks_service.runs.lifecycle import Announces, RunLife, new_of_task
from tasks_service.scheduler.loop import Duty
from tasks_service.store import Store
from tasks_service.store.timers import DueTimer, Outcome
from tasks_service.triggers.schedule import InvalidSchedule
from tasks_service.triggers.timer import CompiledTimer, Plan

EVERY_S = 1.0
FORGET_S = 3600.0
FIRES_KEPT_S = 30 * 86_400.0
_BATCH = 200
_log = get_logger(__name__)


class TimerDuty:
    """Looks after all timers. Thread-safe."""

    def __init__(self, store: Store, life: RunLife, announcer: Announces) -> None:
        self._store = store
        self._life = life
        self._announcer = announcer

    def group(self) -> tuple[Duty, ...]:
        """Return its duties; they must wait for no others."""
        return (
            Duty("timers", EVERY_S, self.fire),
            Duty("forget_timer_fires", FORGET_S, self.forget),
        )

    def fire(self) -> bool:
        """Start what is due and plan what is not; return whether there is more."""
        time, found = self._store.timers.due(limit=_BATCH)
        if not found:
            return False
        now = datetime.fromtimestamp(time, UTC)
        outcomes = [self._outcome(one, now) for one in found]
        try:
            runs = self._store.timers.settle(outcomes, max_queued=self._life.max_queued)
        except Busy as error:
            # They stay due: looked at again in a moment, missed after a while.
            _log.warning("timers_wait", timers=len(found), error=error.message)
            return False
        for run in runs:
            self._announcer.announce(run.request.pool, run.id)
            _log.info("timer_fired", task=run.task, timer=run.cause.actor, run_id=run.id)
        return len(found) == _BATCH

    def forget(self) -> bool:
        """Forget fire times of last month."""
        self._store.timers.forget_fires(older_than_s=FIRES_KEPT_S)
        return False

    def _outcome(self, seen: DueTimer, now: datetime) -> Outcome:
        try:
            timer = _compiled(seen.timer, seen.task.name)
        except InvalidSchedule as error:
            # Zones come and go: it was fine when it was stored.
            _log.warning("timer_invalid", task=seen.task.name, timer=seen.timer.name)
            return Outcome(seen, None, fire=now.timestamp(), problem=error.message)
        if seen.due is None or seen.at > now.timestamp():
            # New, or planned by a clock that was ahead.
            since = min(now, datetime.fromtimestamp(seen.since, UTC))
            return _planned(seen, timer.plan(since if seen.due is None else now))
        plan = Plan(datetime.fromtimestamp(seen.due, UTC), datetime.fromtimestamp(seen.at, UTC))
        decision = timer.decide(plan, now)
        if decision.fire is None:
            return _planned(seen, decision.then)
        new, problem = self._run(seen, decision.fire, missed=decision.missed)
        then = decision.then
        return Outcome(
            seen,
            then.due.timestamp() if then else None,
            then.at.timestamp() if then else 0.0,
            decision.fire.timestamp(),
            new,
            new_run_id() if new is not None else "",
            problem,
        )

    def _run(self, seen: DueTimer, due: datetime, *, missed: bool) -> tuple[NewRun | None, str]:
        """Return the run to start, or why there can't be one."""
        name = seen.timer.name
        detail = {
            "timerTriggerName": name,
            "scheduleOccurrence": due.isoformat().replace("+00:00", "Z"),
        }
        if missed:
            detail["missed"] = "true"
        try:
            new = new_of_task(
                seen.task,
                seen.task.definition.request,
                self._store.timers.secrets(seen.task.name),
                cause=Cause("timer", name, detail),
                lane="timer",
            )
            return self._life.checked(new), ""
        except (InvalidInput, Conflict) as error:
            problem = error.message
        except RunnerError as error:
            if error.code == "unavailable":
                raise
            problem = error.message
        _log.warning("timer_failed", task=seen.task.name, timer=name, error=problem)
        return None, problem


def _planned(seen: DueTimer, plan: Plan | None) -> Outcome:
    if plan is None:
        return Outcome(seen, None)
    return Outcome(seen, plan.due.timestamp(), plan.at.timestamp())


@lru_cache(maxsize=20_000)
def _compiled(timer: Timer, task: str) -> CompiledTimer:
    return CompiledTimer(timer, task)
