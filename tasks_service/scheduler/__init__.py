"""The scheduler: what must happen though nobody asks for it just now.

In: the store and a clock. Out: wake-ups, reaped runs, moved logs, forgotten
rows. Several schedulers may run at once: each change is made by one of them.
"""

from __future__ import annotations

from tasks_service.scheduler.duties import Duties
from tasks_service.scheduler.loop import Duty, Scheduler
from tasks_service.scheduler.notices import NoticeDuty
from tasks_service.scheduler.polling import PollDuty
from tasks_service.scheduler.statuses import StatusDuty
from tasks_service.scheduler.timers import TimerDuty

__all__ = ["Duties", "Duty", "NoticeDuty", "PollDuty", "Scheduler", "StatusDuty", "TimerDuty"]
