"""A runner that waits for its run: booted, its engine ready, nobody's yet.

Made by ``DindBackend.prepare``. Nothing in it knows a run; what a run brings
comes with ``open``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from runners.backends.base import Limits, SandboxRequest
from runners.backends.dind.furnish import furnish
from runners.backends.dind.outer import Outer
from runners.backends.dind.runner import Runner
from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerLost
from runners.sandbox import Sandbox

PING_S = 2.0
"""How long the engine inside may take to say that it lives."""


class PreparedRunner:
    """See Prepared.

    Args:
        runner: Booted; its engine answered.
        found: The engine that holds it.
        limits: It was made with.
        notices: What was said while it was made; told to its run.
        made: Undoes all of it.
    """

    def __init__(
        self,
        runner: Runner,
        found: Outer,
        limits: Limits,
        notices: Sequence[tuple[str, str]],
        made: ExitStack,
    ) -> None:
        self._runner = runner
        self._found = found
        self._limits = limits
        self._notices = tuple(notices)
        self._made = made
        self._lock = threading.Lock()
        self._taken = False

    def usable(self) -> bool:
        """See Prepared."""
        return not self._taken and self._runner.current() and self._runner.answers(PING_S)

    def fits(self, request: SandboxRequest) -> bool:
        """See Prepared. The disk is of one size for good."""
        return request.limits.disk_bytes == self._limits.disk_bytes

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """See Prepared."""
        self._take()
        try:
            cancel.check()
            for level, text in self._notices:
                request.notice(level, text)
            limits = None if request.limits == self._limits else request.limits
            with ThreadPoolExecutor(1) as pool:
                adopted = pool.submit(self._runner.adopt, request.run_id, limits)
                sandbox = furnish(
                    self._runner, self._found, request, cancel, self._made, warm=True
                )
                adopted.result()
            return sandbox
        except BaseException:
            self._made.close()
            raise

    def close(self) -> None:
        """See Prepared."""
        with self._lock:
            if self._taken:
                return
            self._taken = True
        self._made.close()

    def _take(self) -> None:
        with self._lock:
            if self._taken:
                raise RunnerLost("the runner was used already")
            self._taken = True
