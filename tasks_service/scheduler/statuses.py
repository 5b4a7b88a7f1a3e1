"""The duty of commit statuses: what a run is, told to its Git server until it knows.

In: deliveries whose report is due. Out: POSTs under the egress rules. What is
told depends on the run and on what was told before, so that a crash between
the two tells the same once more and nothing is left out.
"""

from __future__ import annotations

import httpx2

from runners.model.errors import RunnerError
from runners.model.status import RunStatus
from tasks_service.config import Settings
from tasks_service.egress.transport import egress_client
from tasks_service.model.run import Run
from tasks_service.process_log import get_logger
from tasks_service.runs.checks import Rules
from tasks_service.scheduler.loop import Duty
from tasks_service.store import Store
from tasks_service.store.reports import Report
from tasks_service.triggers.provider import CommitStatus
from tasks_service.triggers.providers import PROVIDERS

EVERY_S = 1.0
MAX_ATTEMPTS = 12
MAX_BACK_OFF_S = 3600.0
LOOK_AGAIN_S = 2.0
_BATCH = 20
_TIMEOUT_S = 10.0
_STATES = {
    RunStatus.QUEUED: "pending",
    RunStatus.STARTED: "running",
    RunStatus.RUNNING: "running",
    RunStatus.SUCCEEDED: "success",
    RunStatus.FAILED: "failure",
}
_log = get_logger(__name__)


class StatusDuty:
    """Posts commit statuses. Thread-safe."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._public_url = settings.public_url.rstrip("/")
        self._policy = Rules.of(settings).policy

    def group(self) -> tuple[Duty, ...]:
        """Return its duty; it must wait for no others."""
        return (Duty("commit_statuses", EVERY_S, self.post),)

    def post(self) -> bool:
        """Tell what is due; return whether there may be more."""
        found = self._store.reports.take(limit=_BATCH)
        for report in found:
            self._one(report)
        return len(found) == _BATCH

    def _one(self, report: Report) -> None:
        run, known = report.run, report.delivery
        state = _STATES.get(run.status, "error")
        attempts, problem = 0, ""
        if state != known.reported:
            problem = self._tell(report, state)
            attempts = known.attempts + 1 if problem else 0
        if problem:
            _log.warning("status_not_posted", run_id=run.id, attempt=attempts, error=problem)
            given_up = attempts >= MAX_ATTEMPTS
            again = None if given_up else min(2.0**attempts, MAX_BACK_OFF_S)
            state = known.reported
        else:
            again = None if run.status.finished else LOOK_AGAIN_S
        self._store.reports.told(
            known, state=state, attempts=attempts, problem=problem, again_in_s=again
        )

    def _tell(self, report: Report, state: str) -> str:
        """Post a status and return why it was not taken, or an empty text."""
        trigger = report.hook.trigger
        provider = PROVIDERS[trigger.provider]
        run = report.run
        link = f"{self._public_url}/api/v1/runs/{run.id}" if self._public_url else ""
        message = provider.message(
            (trigger.api_url or provider.API).rstrip("/"),
            report.hook.secrets.token,
            CommitStatus(
                repository=trigger.repository,
                commit=report.delivery.commit,
                state=state,
                url=link,
                text=_words(run),
                context=f"tasks/{run.task}" + ("" if run.request.trusted else "/pull-request"),
            ),
        )
        body = {name: value for name, value in message.body.items() if value}
        try:
            with (
                egress_client(self._policy, what="status API", timeout=_TIMEOUT_S) as client,
                # The answer's body is never read: only its status counts.
                client.stream(
                    "POST", message.url, json=body, headers=dict(message.headers)
                ) as answer,
            ):
                if 200 <= answer.status_code < 300:
                    return ""
                return f"the Git server answered {answer.status_code}"
        except RunnerError as error:
            return error.message
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return f"the Git server was not reached: {type(error).__name__}"


def _words(run: Run) -> str:
    """Return one line: the status, and the step that failed."""
    failed = [
        str(step.get("id", ""))
        for step in run.steps
        if step.get("status") in ("Failed", "failed", "Timeout", "timeout")
    ]
    if run.held and not run.status.finished:
        return f"Run {run.id} waits for approval: tasks runs approve {run.id}"
    text = f"Run {run.id}: {run.status}"
    return f"{text} (step {failed[0][:60]})" if failed else text
