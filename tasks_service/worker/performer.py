"""One claimed run, from its claim to its end in the database.

In: a Claim. Out: exactly one of: the run is finished, given back to the
queue, or left to whoever holds it now.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, RunnerError, RunnerLost, SystemFault, Unavailable
from runners.model.record import RunResult
from runners.model.status import RunStatus, StepStatus
from tasks_service.config import Settings
from tasks_service.errors import StaleFence
from tasks_service.execution.guarded import GuardedBackend
from tasks_service.execution.job import Job, Place
from tasks_service.execution.marked import checked_marks
from tasks_service.execution.run import Execution
from tasks_service.execution.service_place import ServiceRegistries
from tasks_service.execution.warm_backends import GetBackend
from tasks_service.model.log import LogChunk
from tasks_service.model.run import Claim, RunEnd
from tasks_service.process_log import get_logger
from tasks_service.store import Store
from tasks_service.worker.heartbeat import Heartbeat
from tasks_service.worker.held import Held, Stop
from tasks_service.worker.recorder import WRITE_BYTES, LogRest, Recorder
from tasks_service.worker.sources import ServiceSources
from tasks_service.worker.spool import LogCaps

GATE_S = 30.0
"""How long a push waits for a database that does not answer."""
_AGAIN_S = (0.2, 3.0)
_log = get_logger(__name__)


class Performer:
    """Performs runs, several at once.

    Args:
        settings: Of the service.
        store: Where runs are.
        backends: Make runners.
        sources: Opens what runs are made of.
        heartbeat: Keeps the leases.
        on_refused: Told when this machine could not make a runner.
        caps: Bounds of logs.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        backends: GetBackend,
        sources: ServiceSources,
        heartbeat: Heartbeat,
        on_refused: Callable[[], None] = lambda: None,
        caps: LogCaps | None = None,
    ) -> None:
        self._settings = settings
        self._marks = checked_marks(settings.image_marks)
        self._store = store
        self._backends = backends
        self._sources = sources
        self._heartbeat = heartbeat
        self._on_refused = on_refused
        self._caps = caps
        self.hurry = threading.Event()
        """Set: what can't be written at once is left to the end of its lease."""

    def perform(self, claim: Claim, claimed: float) -> None:
        """Do all of a run; ``claimed`` is when it was asked for, on the monotonic clock."""
        held = Held(claim, claimed + self._settings.lease)
        recorder = Recorder(
            self._store,
            held.run_id,
            held.fence,
            on_stale=lambda: held.lose("the run is not this worker's any more"),
            on_step_end=held.step_ended,
            caps=self._caps,
        )
        backend = _LateGuard(
            lambda: self._backends.get(claim.run.request.isolation),
            lambda cancel: self._gate(held, cancel),
        )
        place = Place(
            backend=backend.make,
            open_source=self._sources.open,
            registries=ServiceRegistries(
                self._settings, claim.secrets, trusted=claim.run.request.trusted
            ),
            allow_http=self._settings.allow_http_sources,
            fetches_secrets=False,
            marks=self._marks,
        )
        execution = Execution(_job(claim), place, recorder)
        recorder.result = lambda: execution.result
        self._heartbeat.add(held, execution.force)
        try:
            _log.info("run_claimed", run_id=held.run_id, attempt=claim.run.attempt)
            self._execute(execution, held)
            self._conclude(held, execution.result, recorder, backend.refused)
        finally:
            self._heartbeat.remove(held)

    def _execute(self, execution: Execution, held: Held) -> None:
        try:
            execution.perform(held.cancel)
        except RunnerError as error:
            execution.fail(error)
            if error.detail:
                # Such as every problem of the task file: the record has the first only.
                execution.tell(error.detail, "error")
        except Exception as error:  # noqa: BLE001 - the run ends, the worker does not
            _log.exception("run_failed", run_id=held.run_id)
            execution.fail(SystemFault(f"internal error: {type(error).__name__}"))
        result = execution.result
        complete = all(step.status is StepStatus.SUCCEEDED for step in result.steps)
        if result.status is RunStatus.CANCELED and result.steps and complete:
            # Asked to stop when all was done already, a push perhaps: it succeeded.
            result.status = RunStatus.SUCCEEDED
            result.error = result.error_code = result.hint = ""

    def _gate(self, held: Held, cancel: Cancellation) -> None:
        """Return when the database knows that the run may have pushed, and holds it ours."""
        if not held.claim.run.request.trusted:
            raise Denied("push denied: untrusted run", hint="it is of a pull request")
        deadline = time.monotonic() + GATE_S
        while True:
            cancel.check()
            try:
                self._pass(held)
            except StaleFence as error:
                held.lose(error.message)
                raise RunnerLost(error.message) from error
            except Unavailable as error:
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"nothing was pushed: {error.message}",
                        hint="run it again once the service's database answers",
                    ) from error
                cancel.wait(1.0)
            else:
                return

    def _pass(self, held: Held) -> None:
        if not held.valid:
            raise Unavailable("the lease could not be renewed")
        for news in self._store.leases.look({held.run_id: held.fence}):
            if not news.held:
                raise StaleFence(f"run {held.run_id} is not held any more")
            if news.cancel_reason:
                held.ask(news.cancel_reason, news.cancel_code)
        held.push_begins()
        self._store.leases.progress(held.run_id, held.fence, published=True)

    def _conclude(
        self, held: Held, result: RunResult, recorder: Recorder, refused: SystemFault | None
    ) -> None:
        rest = recorder.close()
        stop = held.stop
        if stop is Stop.LOST:
            _log.warning("run_lost", run_id=held.run_id)
            if held.claim.run.attempt <= self._settings.infra_retries:
                # Perhaps nobody took it yet: then the next may begin at once.
                self._give_back(held, rest, "its worker could not keep the lease")
            return
        if stop is Stop.GIVEN_BACK and result.status is RunStatus.CANCELED:
            if self._give_back(held, rest, "its worker stopped"):
                return
            self._ended_by_stop(held, result)
            rest = LogRest((), rest.log_end)
        elif refused is not None and not held.published and self._may_try_again(held):
            self._on_refused()
            if self._give_back(held, rest, refused.message):
                return
            rest = LogRest((), rest.log_end)
        steps = [recorder.step_json(step) for step in result.steps]
        self._finish(held, result, steps, rest)

    def _may_try_again(self, held: Held) -> bool:
        return held.stop is Stop.NO and held.claim.run.attempt <= self._settings.infra_retries

    def _ended_by_stop(self, held: Held, result: RunResult) -> None:
        """Say why a run that could not be given back ended."""
        try:
            news = self._store.leases.look({held.run_id: held.fence})
        except RunnerError:
            news = ()
        asked = next((one for one in news if one.cancel_reason), None)
        if asked is not None:
            result.error = asked.cancel_reason
            return
        result.status = RunStatus.ERROR
        result.error_code = "worker_stopped"
        result.error = "the worker stopped after the run had begun to push"
        result.hint = "look at what was pushed, and run it again"

    def _give_back(self, held: Held, rest: LogRest, reason: str) -> bool:
        """Queue the run again; False if that was not possible."""
        words = f"{reason}; the run is queued again"

        def work() -> bool:
            if rest.chunks:
                self._store.leases.progress(held.run_id, held.fence, chunks=rest.chunks)
            return self._store.leases.release(held.run_id, held.fence, reason=words)

        try:
            done = work()
        except RunnerError as error:
            _log.warning("run_not_given_back", run_id=held.run_id, error=error.message)
            return held.stop is Stop.LOST
        if done:
            _log.info("run_given_back", run_id=held.run_id, reason=reason)
        return done

    def _finish(
        self, held: Held, result: RunResult, steps: Sequence[dict[str, Any]], rest: LogRest
    ) -> None:
        body = result.to_json() | {"steps": list(steps)}
        end = RunEnd(
            result.status,
            body,
            images=tuple(
                (image.reference, image.digest)
                for step in result.steps
                for image in step.outcome.pushed
            ),
            error_code=result.error_code,
            error=_storable(result.error),
            hint=_storable(result.hint),
            log_end=rest.log_end,
        )
        *early, last = _batches(rest.chunks)
        for batch in early:
            if not self._write(
                held,
                lambda chunks=batch: self._store.leases.progress(  # type: ignore[misc]
                    held.run_id, held.fence, chunks=chunks
                ),
            ):
                return
        if self._write(
            held, lambda: self._store.leases.finish(held.run_id, held.fence, end, chunks=last)
        ):
            _log.info("run_finished", run_id=held.run_id, status=str(result.status))

    def _write(self, held: Held, work: Callable[[], None]) -> bool:
        """Do it as soon as the database answers; False if the run is not ours any more."""
        pause = _AGAIN_S[0]
        while True:
            try:
                work()
            except StaleFence:
                _log.warning("run_not_ours", run_id=held.run_id)
                return False
            except RunnerError as error:
                _log.warning("run_not_written", run_id=held.run_id, error=error.message)
                if self.hurry.wait(pause):
                    return False
                pause = min(2 * pause, _AGAIN_S[1])
            else:
                return True


class _LateGuard:
    """Makes the guarded backend when the run asks for it; failing is being refused too."""

    def __init__(self, make: Callable[[], Any], gate: Callable[[Cancellation], None]) -> None:
        self._make = make
        self._gate = gate
        self._made: GuardedBackend | None = None
        self._refused: SystemFault | None = None

    @property
    def refused(self) -> SystemFault | None:
        return self._refused or (self._made.refused if self._made is not None else None)

    def make(self) -> GuardedBackend:
        try:
            self._made = GuardedBackend(self._make(), self._gate)
        except SystemFault as error:
            self._refused = error
            raise
        return self._made


def _job(claim: Claim) -> Job:
    run = claim.run
    return Job(
        run.request,
        claim.secrets,
        run.id,
        run.run_type,
        datetime.fromtimestamp(run.created, UTC),
        task=run.task,
        triggered_by=run.cause.kind,
        content_name="task file",
        branch=run.cause.detail.get("branchName", ""),
        tag=run.cause.detail.get("tagName", ""),
    )


def _batches(chunks: Sequence[LogChunk]) -> list[tuple[LogChunk, ...]]:
    """Return the chunks in pieces of about WRITE_BYTES, at least one piece."""
    found: list[tuple[LogChunk, ...]] = []
    piece: list[LogChunk] = []
    size = 0
    for chunk in chunks:
        if piece and size + len(chunk.data) > WRITE_BYTES:
            found.append(tuple(piece))
            piece, size = [], 0
        piece.append(chunk)
        size += len(chunk.data)
    return [*found, tuple(piece)]


def _storable(text: str) -> str:
    # PostgreSQL takes neither in a text.
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")
