"""DindBackend: a throw-away engine per run, in a container of the outer engine.

In: a SandboxRequest. Out: a Sandbox over the runner's own engine, with the
source in its workspace volume. Used through ``runners.backends.KINDS``.
"""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import ExitStack

from runners.backends.base import Limits, Prepared, SandboxRequest
from runners.backends.dind import levels, outer, private_engine
from runners.backends.dind.config import DindConfig
from runners.backends.dind.furnish import furnish
from runners.backends.dind.outer import Outer
from runners.backends.dind.prepared import PreparedRunner
from runners.backends.dind.runner import Runner
from runners.backends.dind.sweep import sweep
from runners.model.cancellation import Cancellation
from runners.model.errors import Unavailable
from runners.sandbox import Sandbox


class DindBackend:
    """Docker in Docker. Thread-safe; one object serves many runs."""

    name = "dind"

    def __init__(self, config: DindConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._known: Outer | None = None

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """See Backend."""
        runner, found, made = self._start(request)
        try:
            # Every wait in there ends soon after a cancel. Destroying from the
            # cancel itself would race with parts that are still being made.
            cancel.check()
            runner.boot(request)
            cancel.check()
            return furnish(runner, found, request, cancel, made)
        except BaseException:
            made.close()
            raise

    def prepare(
        self, limits: Limits, cancel: Cancellation, *, read_only: bool = False
    ) -> Prepared | None:
        """See Backend."""
        said: list[tuple[str, str]] = []
        request = SandboxRequest(
            f"warm-{secrets.token_hex(4)}",
            limits=limits,
            read_only=read_only,
            notice=lambda level, text: said.append((level, text)),
        )
        runner, found, made = self._start(request)
        try:
            cancel.check()
            runner.boot(request)
            runner.await_root(cancel)
            runner.await_engine(cancel)
            return PreparedRunner(runner, found, request, said, made)
        except BaseException:
            made.close()
            raise

    def sweep(self) -> int:
        """See Backend."""
        return sweep(self.outer().api, self._config.runs, self._config.state_dir)

    def outer(self) -> Outer:
        """Return the outer engine; a private one of ours that is down is started.

        Raises:
            Unavailable: it does not answer.
        """
        with self._lock:
            if self._known is None:
                self._known = self._find()
            return self._known

    def _find(self) -> Outer:
        try:
            return outer.describe(self._config.address)
        except Unavailable:
            ours = private_engine.PrivateEngine(self._config.state_dir)
            if self._config.address != ours.address or os.geteuid() != 0:
                raise
        private_engine.start(self._config.state_dir)
        return outer.describe(self._config.address)

    def _start(self, request: SandboxRequest) -> tuple[Runner, Outer, ExitStack]:
        """Return a runner that is not booted yet, and what undoes all that is made of it."""
        chosen = levels.level(self._config.level)
        found = self.outer()
        outer.require(found, chosen)
        if chosen.warning:
            request.notice("warning", chosen.warning)
        runner = Runner(self._config, found, chosen)
        # Undone in the opposite order, here or by the sandbox's close.
        made = ExitStack()
        made.callback(runner.destroy)
        return runner, found, made
