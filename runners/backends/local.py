"""The ``local`` backend: runs in an engine at hand, without isolation.

For tests, benchmarks and engines that are thrown away anyway; chosen only by
name. Every step runs in the engine that others use too: names carry the run's
id and everything made is labelled and removed, but code of a run that gets
hold of the engine owns the machine.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from runners.backends.base import Limits, Prepared, SandboxRequest
from runners.clients.docker_containers import Names
from runners.clients.docker_sandbox import DockerSandbox
from runners.clients.docker_sdk import Dial, EngineClient, connect, unix_dialer
from runners.clients.docker_sweep import owner_labels, remove_dead_runs, remove_run
from runners.clients.docker_volumes import Volumes
from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, InvalidInput
from runners.sandbox import Sandbox

LEVEL = "none"
DEFAULT_SOCKET = "/var/run/docker.sock"


class LocalBackend:
    """See Backend. One engine, reached by ``dial``, for all runs."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial

    @property
    def name(self) -> str:
        """See Backend."""
        return "local"

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """See Backend."""
        cancel.check()
        request.notice(
            "warning",
            "this run is not isolated: its steps share the engine with everything else in it",
        )
        prefix = f"tasks-{request.run_id}-"
        names = Names(
            request.run_id,
            prefix,
            f"{prefix}{request.shared_volume}",
            request.shared_volume,
            owner_labels(),
        )
        client = connect(self._dial)
        try:
            workspace = _make_workspace(client, names, request)
            cancel.check()
            return DockerSandbox(
                self._dial,
                names=names,
                isolation=LEVEL,
                workspace=workspace,
                logins={
                    login.registry: (login.username, login.password) for login in request.logins
                },
                secrets=request.secrets,
                disposable=False,
            )
        except BaseException:
            with suppress(Exception):
                remove_run(client, request.run_id)
            raise
        finally:
            client.close()

    def prepare(
        self, limits: Limits, cancel: Cancellation, *, read_only: bool = False
    ) -> Prepared | None:
        """See Backend. The engine is there already."""
        del limits, cancel, read_only
        return None

    def sweep(self) -> int:
        """See Backend."""
        client = connect(self._dial)
        try:
            return remove_dead_runs(client)
        finally:
            client.close()


def _make_workspace(client: EngineClient, names: Names, request: SandboxRequest) -> Path | None:
    """Create and fill the workspace; return its directory, None if it is on another machine."""
    volumes = Volumes(client, names)
    volumes.create(names.workspace_volume)
    if request.source is None or request.needs_workspace:
        if request.source is not None:
            volumes.fill(names.workspace_volume, request.source)
        mountpoint = volumes.mountpoint(names.workspace_volume)
        return mountpoint if os.access(mountpoint, os.R_OK | os.X_OK) else None
    return request.source


def open_backend(*, state_dir: Path, isolation: str = "") -> LocalBackend:
    """Return the backend of the engine that ``DOCKER_HOST`` names, or the usual socket.

    Raises:
        Denied: an isolation level is asked for; this backend has none.
        InvalidInput: ``DOCKER_HOST`` is no Unix socket.
    """
    del state_dir
    if isolation not in ("", LEVEL):
        raise Denied(
            f"the local backend cannot isolate, and {isolation!r} is asked for",
            hint="use the dind backend",
        )
    address = os.environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}"
    if not address.startswith("unix://"):
        raise InvalidInput(
            f"the local backend reaches engines by Unix sockets only, not {address!r}",
            hint="set DOCKER_HOST to unix:///path/of/docker.sock",
        )
    return LocalBackend(unix_dialer(address.removeprefix("unix://")))
