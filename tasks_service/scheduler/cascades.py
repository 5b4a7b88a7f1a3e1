"""Waves: plan one once changes have settled, and move the open ones on.

In: the store. Out: waves, and runs accepted through the funnel of all runs.
Every decision is made of what the database says; a crash between two writes is
healed by the next turn, and a run is accepted once for each member whoever
tries: its idempotency key is the wave's number and the task's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from runners.model.errors import RunnerError, Unavailable
from runners.model.status import RunStatus
from tasks_service.cascades.answers import stale
from tasks_service.cascades.governor import BREAKER, COHORTS, SMALLEST, allowance
from tasks_service.cascades.graph import Graph
from tasks_service.cascades.plan import order, plan_wave, reach
from tasks_service.cascades.step import START, Move, held_at, next_moves, outcome, pins_of
from tasks_service.config import Settings
from tasks_service.errors import Busy
from tasks_service.model.cascade import Change, Member, MemberStatus, Past, Wave, WaveStatus
from tasks_service.model.run import Cause, Run, RunRequest
from tasks_service.process_log import get_logger
from tasks_service.runs.bases import KIND, known_digests, soaking_until, triggers
from tasks_service.runs.lifecycle import Once, RunLife, new_of_task
from tasks_service.scheduler.promotion import Promotions
from tasks_service.store import Store
from tasks_service.triggers.policies import Policies, Policy, PolicyFile
from tasks_service.triggers.windows import Windows

NO_WAVE = -1
_ACTOR = "wave"
RETRY_S = 3600.0
"""Wait before a task is tried again; twice as long each time."""
HEAL_WINDOW_S = 3 * 86_400.0
_log = get_logger(__name__)


class Cascades:
    """Plans waves and moves them on. One thread at a time; many schedulers may.

    Args:
        store: The truth.
        life: Starts runs.
        settings: Debounce, and the file of policies.
        promotions: Does without a run where an earlier one stood on the same; None never.
    """

    def __init__(
        self,
        store: Store,
        life: RunLife,
        settings: Settings,
        promotions: Promotions | None = None,
    ) -> None:
        self._promotions = promotions
        self._store = store
        self._life = life
        self._settings = settings
        self._policies = PolicyFile(settings.base_policies)
        self._resting: tuple[object, float] = (None, 0.0)
        """Changes that all soak, and until when: not to be looked at before."""

    def plan(self) -> bool:
        """Open a wave for changes that have settled."""
        changes, now = self._store.cascades.unplanned()
        policies = self._policies.current()
        known = (policies, tuple(change.number for change in changes))
        if not changes or (known == self._resting[0] and now < self._resting[1]):
            return False
        graph = Graph(*self._store.cascades.graph())
        old = _before(changes)
        young = self._young(changes, now, graph, policies)
        changes = tuple(change for change in changes if change.reference not in young)
        if not changes:
            self._resting = known, min(young.values())
        if not changes or not self._settled(changes, now):
            return False
        changes = self._not_ours(changes, graph)
        moved = _net(changes)
        if not moved:
            # It came back to what it was before anything was built.
            self._store.cascades.settle([change.number for change in changes], NO_WAVE)
            return False
        plan = plan_wave(
            graph, moved, triggers=triggers(self._store, graph, policies, soaking=young)
        )
        if not plan.members and not plan.refused:
            self._store.cascades.settle([change.number for change in changes], NO_WAVE)
            return False
        tasks = {member.task for member in plan.members}
        if self._overtake(tasks, moved):
            return False
        numbers = [change.number for change in changes]
        pins = held_at(
            graph,
            tasks,
            known_digests(self._store, graph),
            {name: old[name] for name in young},
        )
        wave_number = self._store.cascades.open_wave(numbers, plan.members, plan.refused, pins=pins)
        if wave_number is not None:
            _log.info("wave_opened", wave=wave_number, tasks=len(plan.members))
        return False

    def _overtake(self, tasks: set[str], moved: Sequence[str]) -> bool:
        """Have open waves leave what has not begun; return whether some of it still runs.

        What a wave builds is held at what was there when it was opened. A task
        that was left once is not left again: else who moves faster than waves
        do would keep it from ever being built.
        """
        under_way = False
        for wave in self._store.cascades.open_waves():
            mine = [m for m in wave.members if m.task in tasks and not m.status.finished]
            if not mine:
                continue
            under_way = True
            waiting = {m.task for m in mine if m.status is MemberStatus.WAITING}
            waiting -= self._store.cascades.overtaken() if waiting else frozenset()
            if waiting and wave.status is WaveStatus.RUNNING:
                words = f"{moved[0]} moved: the next wave builds it"
                left = self._store.cascades.supersede(wave.number, waiting, reason=words)
                _log.info("wave_overtaken", wave=wave.number, tasks=left)
        return under_way

    def heal(self) -> bool:
        """Open a wave for what stands on something older though no wave is to come.

        So a failed task is tried again, after an hour, two, four and so on up
        to 32, and what was overtaken by a slower run is made right. A task
        whose last wave a person canceled is left to the next change.
        """
        changes, now = self._store.cascades.unplanned()
        policies = self._policies.current()
        graph = Graph(*self._store.cascades.graph())
        young = self._young(changes, now, graph, policies)
        if any(change.reference not in young for change in changes):
            return False
        wants = triggers(self._store, graph, policies, soaking=young)
        digests = known_digests(self._store, graph)
        found = {
            one.task
            for one in stale(graph, digests)
            if any(wants(one.task, edge.reference) for edge in one.edges)
        }
        if not found:
            return False
        pasts = self._store.cascades.pasts(since_s=HEAL_WINDOW_S)
        left = self._store.cascades.overtaken()
        due = {task for task in found if _may_heal(pasts.get(task), left=task in left)}
        if not due:
            return False
        plan = order(graph, reach(graph, due, wants))
        if plan.members:
            old = _before(changes)
            pins = held_at(
                graph,
                {member.task for member in plan.members},
                digests,
                {name: old[name] for name in young},
            )
            number = self._store.cascades.open_wave([], plan.members, plan.refused, pins=pins)
            if number is not None:
                _log.info("wave_opened", wave=number, tasks=len(plan.members), heals=sorted(due))
        return False

    def advance(self) -> bool:
        """Move every open wave on by what can be done now."""
        waves = self._store.cascades.open_waves()
        if not waves:
            return False
        for wave in waves:
            self._see(wave)
        waves = self._store.cascades.open_waves()
        graph = Graph(*self._store.cascades.graph())
        digests = known_digests(self._store, graph)
        policies = self._policies.current()
        young = self._young(*self._store.cascades.unplanned(), graph, policies)
        wants = triggers(self._store, graph, policies, soaking=young)
        running = {
            member.task: wave.number
            for wave in waves
            for member in wave.members
            if member.status is MemberStatus.RUNNING
        }
        for wave in waves:
            if wave.status is WaveStatus.RUNNING:
                busy = {task for task, number in running.items() if number != wave.number}
                moves = next_moves(
                    wave.members, graph, digests, pins=wave.pins, busy=busy, triggers=wants
                )
                for move in self._governed(wave, moves, policies):
                    self._do(wave, move, graph, digests)
        self._end()
        return False

    def _governed(self, wave: Wave, moves: Sequence[Move], policies: Policies) -> Iterator[Move]:
        """Yield what may be done now: by the windows, and no more than the cohort holds."""
        image = wave.changes[0].reference if wave.changes else ""
        policy = policies.of_image(image)
        left = len(moves)
        if not wave.resumed and (len(wave.members) >= SMALLEST or policy.cohorts is not None):
            cohorts = COHORTS if policy.cohorts is None else policy.cohorts
            breaker = BREAKER if policy.breaker is None else policy.breaker
            allowed = allowance(wave.members, cohorts, breaker)
            if allowed.tripped:
                self._hold(wave, allowed.tripped)
                return
            left = allowed.starts
        for move in moves:
            if move.status is START and move.because is not None:
                policy = policies.of(move.task, move.because.reference)
                if left <= 0 or self._closed(wave, move, policy):
                    continue
                left -= 1
            yield move

    def _hold(self, wave: Wave, reason: str) -> None:
        was = (WaveStatus.RUNNING,)
        if self._store.cascades.set_status(wave.number, was, WaveStatus.PAUSED, reason=reason):
            _log.warning("wave_held", wave=wave.number, reason=reason)

    def _closed(self, wave: Wave, move: Move, policy: Policy) -> bool:
        """Return whether a task must wait for a window, and note until when."""
        now = datetime.now(UTC)
        opens = Windows(policy.windows).opens(now)
        if opens == now:
            return False
        until = f"until {opens:%Y-%m-%d %H:%M %Z}" if opens else "as no window ever opens"
        reason = f"held {until} by policy {policy.name}; {move.reason}"
        if next(m.reason for m in wave.members if m.task == move.task) != reason:
            waiting = MemberStatus.WAITING
            self._store.cascades.move(wave.number, move.task, waiting, waiting, reason=reason)
        return True

    def _settled(self, changes: Sequence[Change], now: float) -> bool:
        quiet = now - changes[-1].seen >= self._settings.base_debounce
        return quiet or now - changes[0].seen >= self._settings.base_debounce_max

    def _young(
        self, changes: Sequence[Change], now: float, graph: Graph, policies: Policies
    ) -> dict[str, float]:
        """Return the references whose newest digest is not to be used yet, and until when."""
        until = soaking_until(self._store, changes, graph, policies)
        return {reference: end for reference, end in until.items() if end > now}

    def _not_ours(self, changes: Sequence[Change], graph: Graph) -> tuple[Change, ...]:
        """Return the changes that no wave made itself; its own are noted as its own."""
        made = {(o.reference, o.digest): o.run_id for o in graph.outputs}
        left = []
        for change in changes:
            run_id = made.get((change.reference, change.new), "")
            run = self._store.runs.get(run_id) if run_id else None
            wave = run.cause.detail.get("wave", "") if run and run.cause.kind == KIND else ""
            if wave.isdecimal():
                self._store.cascades.settle([change.number], int(wave))
            else:
                left.append(change)
        return tuple(left)

    def _see(self, wave: Wave) -> None:
        """Write what became of a wave's runs."""
        over = set(self._store.cascades.ended(wave.number))
        for member in wave.members:
            if member.run_id not in over:
                continue
            run = self._store.runs.get(member.run_id)
            if run is None or run.status.finished:
                status, reason = _ended(member, run)
                self._store.cascades.move(
                    wave.number, member.task, MemberStatus.RUNNING, status, reason=reason
                )

    def _do(self, wave: Wave, move: Move, graph: Graph, digests: dict[str, str]) -> None:
        if move.status is MemberStatus.UNCHANGED and (run := self._started(wave, move.task)):
            # Whoever started it died before that was noted; so nothing is to be done any more.
            self._store.cascades.move(
                wave.number, move.task, MemberStatus.WAITING, MemberStatus.RUNNING,
                reason=f"{run.cause.actor} moved", run_id=run.id,
            )  # fmt: skip
            return
        if move.status is not START:
            self._store.cascades.move(
                wave.number, move.task, MemberStatus.WAITING, move.status, reason=move.reason
            )
            return
        try:
            if self._restored(wave, move, graph, digests):
                return
            run = self._accept(wave, move, graph, digests)
        except (Busy, Unavailable):
            # Not of the member's making: the next turn tries again.
            return
        except RunnerError as error:
            self._store.cascades.move(
                wave.number, move.task, MemberStatus.WAITING, MemberStatus.FAILED,
                reason=error.message,
            )  # fmt: skip
            return
        self._store.cascades.move(
            wave.number, move.task, MemberStatus.WAITING, MemberStatus.RUNNING,
            reason=move.reason, run_id=run.id,
        )  # fmt: skip

    def _restored(self, wave: Wave, move: Move, graph: Graph, digests: dict[str, str]) -> bool:
        if self._promotions is None or move.because is None or self._started(wave, move.task):
            return False
        task = self._store.tasks.find(move.task)
        wanted = {**digests, **dict(pins_of(graph, wave, move.task))}

        def request() -> RunRequest:
            secrets = self._store.tasks.secrets(task.name)
            plain = task.definition.request
            new = new_of_task(task, plain, secrets, cause=Cause(KIND), lane="patch")
            return self._life.checked(new).request

        return self._promotions.restored(wave, task.name, request, move.because, graph, wanted)

    def _started(self, wave: Wave, task: str) -> Run | None:
        run_id = self._store.idempotency.find(_ACTOR, _key(wave, task))
        return self._store.runs.get(run_id) if run_id else None

    def _accept(self, wave: Wave, move: Move, graph: Graph, digests: dict[str, str]) -> Run:
        task = self._store.tasks.find(move.task)
        edge = move.because
        assert edge is not None  # noqa: S101 - a start has its reason
        detail = {
            "wave": str(wave.number),
            "image": edge.reference,
            "old": edge.digest,
            "new": wave.pins.get(edge.reference) or digests.get(edge.reference, ""),
        }
        if producer := graph.producer.get(edge.reference, ""):
            detail["task"] = producer
        if wave.changes:
            detail["root"] = wave.changes[0].reference
        key = _key(wave, move.task)
        return self._life.accept_task(
            task,
            replace(task.definition.request, pins=pins_of(graph, wave, task.name)),
            self._store.tasks.secrets(task.name),
            cause=Cause(KIND, edge.reference, detail),
            lane="patch",
            once=Once(_ACTOR, key, key),
        )

    def _end(self) -> None:
        for wave in self._store.cascades.open_waves():
            ended = outcome(wave.members)
            if ended is not None:
                open_ = (WaveStatus.RUNNING, WaveStatus.PAUSED)
                if self._store.cascades.set_status(wave.number, open_, ended):
                    _log.info("wave_ended", wave=wave.number, status=str(ended))


def _before(changes: Sequence[Change]) -> dict[str, str]:
    """Return what each reference was before all of the changes."""
    found: dict[str, str] = {}
    for change in changes:
        found.setdefault(change.reference, change.old)
    return found


def _key(wave: Wave, task: str) -> str:
    return f"{wave.number}/{task}"


def _may_heal(past: Past | None, *, left: bool) -> bool:
    """Return whether a task may be tried again; ``left``: its last wave never began it."""
    if past is None:
        return True
    if past.ended_s is None or past.status is WaveStatus.CANCELED:
        return False
    return left or not past.tries or past.ended_s >= RETRY_S * 2 ** min(past.tries - 1, 5)


def _ended(member: Member, run: Run | None) -> tuple[MemberStatus, str]:
    if run is None:
        return MemberStatus.FAILED, f"run {member.run_id} is gone"
    if run.status is RunStatus.SUCCEEDED:
        return MemberStatus.BUILT, member.reason
    if run.status is RunStatus.CANCELED:
        return MemberStatus.CANCELED, f"run {run.id} was canceled"
    return MemberStatus.FAILED, f"run {run.id} ended as {run.status}: {run.error}"[:500]


def _net(changes: Sequence[Change]) -> tuple[str, ...]:
    """Return the references that are something else after all changes than before them."""
    first = _before(changes)
    last = {change.reference: change.new for change in changes}
    return tuple(name for name in first if first[name] != last[name])
