"""From a booted runner to the sandbox of one run: source, registries, volumes.

Called by ``DindBackend`` right after the boot, and by ``PreparedRunner`` once
the run is known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from runners.backends.base import SandboxRequest
from runners.backends.dind import levels, relay, workspace
from runners.backends.dind.dialer import ProcRootDialer
from runners.backends.dind.outer import Outer
from runners.backends.dind.runner import Runner
from runners.model.cancellation import Cancellation
from runners.model.errors import Denied

if TYPE_CHECKING:
    from runners.clients.docker_sandbox import DockerSandbox


def furnish(
    runner: Runner,
    found: Outer,
    request: SandboxRequest,
    cancel: Cancellation,
    made: ExitStack,
    *,
    warm: bool = False,
) -> DockerSandbox:
    """Return the sandbox; ``made`` undoes all of it, at its close at the latest.

    Raises:
        Unavailable, SystemFault, Denied, InvalidInput: it can't be had; the
            caller closes ``made``.
    """
    # The engine inside needs a third of a second; what needs no engine is
    # done meanwhile.
    with ThreadPoolExecutor(1) as pool:
        uploaded = None
        if request.needs_workspace and request.source is not None and _holds(request.source):
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
        isolation=runner.level,
        workspace=_workspace(runner, request),
        secrets=request.secrets,
        logins={login.registry: (login.username, login.password) for login in request.logins},
        warm=warm,
        explain=runner.explain,
        on_close=made.close,
    )
    place = {"type": "none", "o": "bind", "device": levels.WORKSPACE}
    sandbox.volumes.create(request.shared_volume, place)
    return sandbox


def _holds(source: Path) -> bool:
    # Nothing is to be brought of an empty one; starting a program for it takes a tenth.
    try:
        with os.scandir(source) as entries:
            return any(True for _ in entries)
    except OSError:
        return True


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
