"""DindBackend: a throw-away engine per run, in a container of the outer engine.

In: a SandboxRequest. Out: a Sandbox over the runner's own engine, with the
source in its workspace volume. Used through ``runners.backends.KINDS``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from runners.backends.base import SandboxRequest
from runners.backends.dind import levels, outer, private_engine, relay, workspace
from runners.backends.dind.config import DindConfig
from runners.backends.dind.dialer import ProcRootDialer
from runners.backends.dind.outer import Outer
from runners.backends.dind.runner import Runner
from runners.backends.dind.sweep import sweep
from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, Unavailable
from runners.sandbox import Sandbox

if TYPE_CHECKING:
    from runners.clients.docker_sandbox import DockerSandbox


class DindBackend:
    """Docker in Docker. Thread-safe; one object serves many runs."""

    name = "dind"

    def __init__(self, config: DindConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._known: Outer | None = None

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """See Backend."""
        chosen = levels.level(self._config.level)
        found = self.outer()
        outer.require(found, chosen)
        if chosen.warning:
            request.notice("warning", chosen.warning)
        runner = Runner(self._config, found, chosen)
        # Undone in the opposite order, here or by the sandbox's close.
        made = ExitStack()
        made.callback(runner.destroy)
        try:
            # Every wait in there ends soon after a cancel. Destroying from the
            # cancel itself would race with parts that are still being made.
            return self._open(runner, found, request, cancel, made)
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

    def _open(
        self,
        runner: Runner,
        found: Outer,
        request: SandboxRequest,
        cancel: Cancellation,
        made: ExitStack,
    ) -> DockerSandbox:
        cancel.check()
        runner.boot(request)
        cancel.check()
        # The engine inside needs a third of a second; what needs no engine is
        # done meanwhile.
        with ThreadPoolExecutor(1) as pool:
            uploaded = None
            if request.needs_workspace and request.source is not None:
                uploaded = pool.submit(_upload, runner, found, request.source, cancel)
            _open_relays(runner, request, made)
            from runners.clients.docker_containers import Names
            from runners.clients.docker_sandbox import DockerSandbox

            runner.await_engine(cancel)
            if uploaded is not None:
                uploaded.result()
        sandbox = DockerSandbox(
            runner.dialer,
            names=Names(request.run_id, workspace_volume=request.shared_volume),
            isolation=self._config.level,
            workspace=_workspace(runner, request),
            secrets=request.secrets,
            logins={login.registry: (login.username, login.password) for login in request.logins},
            explain=runner.explain,
            on_close=made.close,
        )
        place = {"type": "none", "o": "bind", "device": levels.WORKSPACE}
        sandbox.volumes.create(request.shared_volume, place)
        return sandbox


def _open_relays(runner: Runner, request: SandboxRequest, made: ExitStack) -> None:
    ports = relay.loopback_ports(request.registries)
    if not ports:
        return
    dialer = runner.dialer
    if not isinstance(dialer, ProcRootDialer):
        raise Denied(
            f"the registry {request.registries[0]} of this machine's loopback address "
            "can't be reached from a runner",
            hint="that needs root on the engine's own machine; "
            "or use a registry with an address that runners can reach",
        )
    namespace = dialer.namespace("net")
    try:
        made.callback(relay.Relay(namespace, ports, read_only=request.read_only).close)
    finally:
        os.close(namespace)


def _upload(runner: Runner, found: Outer, source: Path, cancel: Cancellation) -> None:
    runner.await_root(cancel)
    began = time.monotonic()
    workspace.upload(found.api, runner.container, source, cancel)
    runner.timings["upload"] = time.monotonic() - began


def _workspace(runner: Runner, request: SandboxRequest) -> Path | Callable[[], int] | None:
    if not request.needs_workspace and request.source is not None:
        return request.source
    return runner.open_workspace if isinstance(runner.dialer, ProcRootDialer) else None
