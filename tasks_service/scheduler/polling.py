"""Look at the repositories of commit triggers for pushes that nobody told.

In: triggers whose look is due. Out: deliveries, as if a Git server had sent
them. Servers that can't reach us are heard so, and after downtime what was
missed is found: at its start a scheduler looks everywhere.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput, RunnerError
from tasks_service.config import Settings
from tasks_service.errors import Busy
from tasks_service.model.commit import CommitTrigger
from tasks_service.process_log import get_logger
from tasks_service.runs.commits import Deliveries, git_location
from tasks_service.runs.lifecycle import RunLife
from tasks_service.runs.source_settings import service_source_settings, with_token
from tasks_service.scheduler.loop import Duty
from tasks_service.sources.location import GitLocation
from tasks_service.sources.look import Refs, look_at
from tasks_service.store import Store
from tasks_service.store.polls import DueLook, Seen
from tasks_service.triggers.push import Push, checked_push, wants_ref

EVERY_S = 2.0
MAX_NEWS = 100
"""Of one look; the rest is found by the next, at once."""
MAX_BACK_OFF_S = 3600.0
MIN_BACK_OFF_S = 30.0
_AT_ONCE = 4
_BATCH = 8
_DEADLINE_S = 60.0
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Repository:
    location: GitLocation
    token: str


class PollDuty:
    """Looks at repositories. One thread at a time.

    Args:
        store: Where triggers are.
        life: Starts runs.
        settings: How often (``git_poll``), and whom it may ask.
        environ: As ``service_source_settings``.
        spread: A number in [0, 1) for the jitter.
    """

    def __init__(
        self,
        store: Store,
        life: RunLife,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._deliveries = Deliveries(store, life)
        self._settings = settings
        sources = service_source_settings(settings, environ)
        self._sources = replace(sources, deadline_s=min(sources.deadline_s, _DEADLINE_S))
        self._spread = spread
        self._stop = Cancellation()
        self._begins = True

    def group(self) -> tuple[Duty, ...]:
        """Return its duty; it must wait for no others."""
        return (Duty("look_at_repositories", EVERY_S, self.look),)

    def close(self) -> None:
        """End a look that is under way. Idempotent."""
        self._stop.cancel()

    def look(self) -> bool:
        """Look where it is due; return whether there may be more."""
        if self._begins:
            self._store.polls.sweep()
            self._begins = False
        due = self._store.polls.take(limit=_BATCH)
        shared = _Shared(self._ask)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="look") as pool:
            for done in [pool.submit(self._one, look, shared) for look in due]:
                done.result()
        return len(due) == _BATCH

    def _ask(self, repository: _Repository) -> Refs:
        settings = with_token(self._sources, repository.location, repository.token)
        return look_at(repository.location, settings, self._stop)

    def _one(self, look: DueLook, shared: _Shared) -> None:
        trigger = look.hook.trigger
        pace = self._settings.git_poll if trigger.poll_seconds is None else trigger.poll_seconds
        if not (pace and trigger.enabled and trigger.pushes):
            self._store.polls.rests(look)
            return
        try:
            task = self._store.tasks.find(look.hook.task)
            location = git_location(task)
            repository = _Repository(
                replace(location, ref="", directory=""),
                self._store.tasks.secrets(task.name).git_token,
            )
            refs = shared.ask(repository)
            seen, more = self._compare(look, location, refs)
        except Busy as error:
            self._failed(look, error, MIN_BACK_OFF_S)
        except RunnerError as error:
            if not self._stop.cancelled:
                self._failed(look, error, min(pace, MIN_BACK_OFF_S))
        else:
            later = pace * (0.9 + 0.2 * self._spread())
            self._store.polls.looked(look, seen, again_in_s=0.0 if more else later)

    def _failed(self, look: DueLook, error: RunnerError, first_s: float) -> None:
        back_off = min(first_s * 2 ** min(look.failures, 16), MAX_BACK_OFF_S)
        again = back_off * (1 + 0.2 * self._spread())
        self._store.polls.failed(look, error.message, again_in_s=again)
        if not look.failures:
            _log.warning("repository_not_looked_at", task=look.hook.task, error=error.message)

    def _compare(self, look: DueLook, location: GitLocation, refs: Refs) -> tuple[Seen, bool]:
        """Deliver what is new; return what is known now, and whether news is left."""
        trigger = look.hook.trigger
        of = _of(trigger, location)
        wanted = {
            ref: commit
            for ref, commit in refs.commits.items()
            if wants_ref(trigger, ref, location.ref, refs.default)
        }
        begins = look.seen.of != of
        known = {} if begins else {**look.seen.refs, **look.told}
        seen: dict[str, str] = {}
        left = MAX_NEWS
        more = False
        for ref, commit in sorted(wanted.items()):
            before = known.get(ref, "")
            if before in refs.objects[ref] or begins:
                seen[ref] = commit
            elif not left:
                more = True
                if before:
                    seen[ref] = before
            else:
                left -= 1
                self._found(look, Push(trigger.repository, ref, before, commit, refs.default))
                seen[ref] = commit
        return Seen(of, seen), more

    def _found(self, look: DueLook, push: Push) -> None:
        try:
            delivery = self._deliveries.found(look.hook, checked_push(push))
        except InvalidInput as error:
            _log.warning("ref_not_taken", task=look.hook.task, error=error.message)
            return
        if delivery.commit == push.commit and delivery.run_id:
            _log.info(
                "push_found",
                task=look.hook.task,
                trigger=look.hook.trigger.name,
                commit=push.commit,
                run_id=delivery.run_id,
            )


class _Shared:
    """One question for all triggers of a batch that ask the same. Thread-safe."""

    def __init__(self, ask: Callable[[_Repository], Refs]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._one_at_a_time: dict[_Repository, threading.Lock] = {}
        self._answers: dict[_Repository, Refs | RunnerError] = {}

    def ask(self, repository: _Repository) -> Refs:
        with self._lock:
            mine = self._one_at_a_time.setdefault(repository, threading.Lock())
        with mine:
            if repository not in self._answers:
                try:
                    self._answers[repository] = self._ask(repository)
                except RunnerError as error:
                    self._answers[repository] = error
        answer = self._answers[repository]
        if isinstance(answer, RunnerError):
            raise answer
        return answer


def _of(trigger: CommitTrigger, location: GitLocation) -> str:
    """Return what a look is for: where it is changed, old branches are no news."""

    def words() -> Iterator[str]:
        yield location.url
        yield location.ref
        yield from trigger.refs

    return hashlib.sha256("\0".join(words()).encode()).hexdigest()
