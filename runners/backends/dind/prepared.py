"""A runner that waits for its run: booted, its engine ready, nobody's yet.

Made by ``DindBackend.prepare``. Nothing in it knows a run; what a run brings
comes with ``open``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from runners.backends.base import SandboxRequest
from runners.backends.dind.furnish import furnish
from runners.backends.dind.outer import Outer
from runners.backends.dind.runner import Runner
from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerLost, SystemFault
from runners.sandbox import Sandbox

PING_S = 2.0
"""How long the engine inside may take to say that it lives."""


class PreparedRunner:
    """See Prepared.

    Args:
        runner: Booted; its engine answered.
        found: The engine that holds it.
        made_for: What it was made with: its limits, and for whose runs.
        notices: What was said while it was made; told to its run.
        made: Undoes all of it.
    """

    def __init__(
        self,
        runner: Runner,
        found: Outer,
        made_for: SandboxRequest,
        notices: Sequence[tuple[str, str]],
        made: ExitStack,
    ) -> None:
        self._runner = runner
        self._found = found
        self._made_for = made_for
        self._notices = tuple(notices)
        self._made = made
        self._lock = threading.Lock()
        self._taken = False

    def usable(self) -> bool:
        """See Prepared."""
        return not self._taken and self._runner.current() and self._runner.answers(PING_S)

    def fits(self, request: SandboxRequest) -> bool:
        """See Prepared. The disk is of one size for good."""
        made = self._made_for
        same = request.read_only == made.read_only
        return same and request.limits.disk_bytes == made.limits.disk_bytes

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """See Prepared."""
        self._take()
        try:
            self._check(request)
            cancel.check()
            for level, text in self._notices:
                request.notice(level, text)
            limits = None if request.limits == self._made_for.limits else request.limits
            with ThreadPoolExecutor(1) as pool:
                adopted = pool.submit(self._runner.adopt, request.run_id, limits)
                sandbox = furnish(self._runner, self._found, request, cancel, self._made, warm=True)
                adopted.result()
        except BaseException:
            self._made.close()
            raise
        return sandbox

    def close(self) -> None:
        """See Prepared."""
        with self._lock:
            if self._taken:
                return
            self._taken = True
        self._made.close()

    def _check(self, request: SandboxRequest) -> None:
        if not self.fits(request):
            raise SystemFault("a runner was to be given to a run that it was not made for")

    def _take(self) -> None:
        with self._lock:
            if self._taken:
                raise RunnerLost("the runner was used already")
            self._taken = True
