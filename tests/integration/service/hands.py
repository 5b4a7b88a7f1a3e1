"""Does by hand what a worker does with one run, step by step, at the test's pace."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from runners.model.status import RunStatus
from tasks_service.model.log import LogChunk
from tasks_service.model.run import Claim, RunEnd
from tasks_service.store import Store

LEASE_S = 60.0
IMAGE = ("registry.example/app:v1", "sha256:" + "a" * 64)


def until(what: Any, seconds: float = 10) -> Any:
    """Return what ``what()`` returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
    return found


class Hands:
    """Holds one claimed run.

    Args:
        store: Where the run is; a queued one of ``pool`` is awaited and claimed.
        pool: Whose run to take.
    """

    def __init__(self, store: Store, pool: str = "default") -> None:
        self._store = store
        self.claim: Claim = until(lambda: store.leases.claim(pool, owner="hands", lease_s=LEASE_S))
        self.id = self.claim.run.id
        self._steps: dict[str, dict[str, Any]] = {}

    def begin(self, *steps: str) -> None:
        """Have the run running, its steps known, the first under way."""
        self._steps = {
            step: {"id": step, "kind": "cmd", "status": "Pending", "exitCode": None,
                   "startTime": None, "finishTime": None, "attempts": 0}
            for step in steps
        }  # fmt: skip
        self._store.leases.progress(
            self.id, self.claim.fence, status=RunStatus.RUNNING, steps=self._list()
        )
        self.step(steps[0], "Running")

    def step(self, name: str, status: str, exit_code: int | None = None) -> None:
        """Change one step's status."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        step = self._steps[name]
        step |= {"status": status, "attempts": 1, "exitCode": exit_code}
        step["startTime"] = step["startTime"] or now
        if status != "Running":
            step["finishTime"] = now
        self._store.leases.progress(self.id, self.claim.fence, steps=self._list())

    def say(self, step: str, text: str, stream: str = "stdout") -> None:
        """Write lines of one step to the log."""
        chunk = LogChunk(step, stream, time.time(), text.encode())
        self._store.leases.progress(self.id, self.claim.fence, chunks=[chunk])

    def end(self, status: RunStatus = RunStatus.SUCCEEDED, **more: Any) -> None:
        """End the run; a failed one says why."""
        failed = status is not RunStatus.SUCCEEDED
        images = more.pop("images", ())
        record = {
            "runId": self.id,
            "status": str(status),
            "source": {"location": "", "commit": "", "branch": ""},
            "steps": self._list(),
            "outputImages": [
                {"reference": reference, "digest": digest, "size": 1}
                for reference, digest in images
            ],
        }
        end = RunEnd(
            status,
            record,
            images=tuple(images),
            error_code="step_failed" if failed else "",
            error="step test ended with exit code 7" if failed else "",
            **more,
        )
        self._store.leases.finish(self.id, self.claim.fence, end)

    def cancel_reason(self) -> str:
        """Return why the run shall stop; empty if nobody asked."""
        (renewal,) = self._store.leases.look({self.id: self.claim.fence})
        return renewal.cancel_reason

    def _list(self) -> list[dict[str, Any]]:
        return list(self._steps.values())
