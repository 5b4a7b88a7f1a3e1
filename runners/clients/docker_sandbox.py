"""DockerSandbox: the Sandbox protocol on a Docker Engine that a dialer reaches.

Made by backends once their engine answers; used by step kinds through the
protocol of ``runners/sandbox.py``. The engine is treated as hostile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runners.clients.docker_containers import Names, Policy, container_body
from runners.clients.docker_images import Images
from runners.clients.docker_run import ContainerRunner
from runners.clients.docker_sdk import Dial, EngineError, connect
from runners.clients.docker_sweep import remove_run
from runners.clients.docker_volumes import Volumes
from runners.clients.docker_workspace import OpenRoot, WorkspaceFiles, opener
from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerError, Unavailable
from runners.model.plan import Network, Volume
from runners.model.record import PushedImage
from runners.sandbox import BuildRequest, BuildResult, ContainerRequest, Output

if TYPE_CHECKING:
    from runners.clients.docker_build import Builder

PULL_ATTEMPTS = 3


class DockerSandbox:
    """One run's engine. Thread-safe; see Sandbox for the contract.

    Args:
        dial: Returns fresh connections to the engine.
        names: How things are called and labelled on the engine.
        isolation: Name of the level the backend really gives.
        workspace: The workspace's directory on this machine, or a function
            that opens it, so that builds can read it; None if it is out of
            reach.
        logins: Registry host → (user name, password).
        secrets: The plan's secrets, for builds that mount them.
        ssh: SSH agents the run may use, id → socket.
        policy: What steps may have beyond the default.
        disposable: True if the engine goes with the sandbox, so that nothing
            in it need be removed.
        warm: It was made before its run was known.
        explain: Tells which limits of the run were hit (see Sandbox).
        on_close: Destroys the engine; called once, last.
    """

    def __init__(  # noqa: PLR0913 - what a run is made of, by keyword
        self,
        dial: Dial,
        *,
        names: Names,
        isolation: str,
        workspace: Path | OpenRoot | None = None,
        logins: Mapping[str, tuple[str, str]] | None = None,
        secrets: Mapping[str, str] | None = None,
        ssh: Mapping[str, str] | None = None,
        policy: Policy | None = None,
        disposable: bool = True,
        warm: bool = False,
        explain: Callable[[], str] = lambda: "",
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = connect(dial)
        self._names = names
        self._isolation = isolation
        self._policy = policy or Policy()
        self._disposable = disposable
        self._warm = warm
        self._explain = explain
        self._on_close = on_close
        self._lock = threading.Lock()
        self._closed = False
        self._networks: dict[str, str] = {}
        self._volumes = Volumes(self._client, names)
        self._images = Images(self._client, dict(logins or {}))
        if isinstance(workspace, Path):
            workspace = opener(workspace)
        self._dial = dial
        self._files = None if workspace is None else WorkspaceFiles(workspace)
        self._logins = dict(logins or {})
        self._secrets = dict(secrets or {})
        self._ssh = dict(ssh or {})
        self._builder: Builder | None = None
        self._containers = ContainerRunner(self._client, self._body, self._pull, names.of)

    @property
    def isolation(self) -> str:
        """See Sandbox."""
        return self._isolation

    @property
    def warm(self) -> bool:
        """See Sandbox."""
        return self._warm

    @property
    def volumes(self) -> Volumes:
        """The volumes of this engine, for the backend that fills the workspace."""
        return self._volumes

    def create_network(self, network: Network) -> None:
        """See Sandbox."""
        with self._lock:
            if network.name in self._networks:
                return
            name = self._names.of(network.name)
            doing = f"creating network '{network.name}'"
            body = {
                "Name": name,
                "Driver": network.driver,
                "EnableIPv6": network.ipv6,
                "CheckDuplicate": True,
                "Labels": self._names.labels,
            }
            try:
                answer = self._client.call("POST", "/networks/create", doing, body=body)
            except EngineError as error:
                if error.status >= 500:
                    raise Unavailable(error.message) from error
                raise
            self._networks[network.name] = str((answer or {}).get("Id", name))

    def create_volume(self, volume: Volume) -> None:
        """See Sandbox."""
        self._volumes.create_secret(volume)

    def prepare_container(self, request: ContainerRequest) -> None:
        """See Sandbox."""
        self._containers.prepare(request)

    def run_container(self, request: ContainerRequest, output: Output, cancel: Cancellation) -> int:
        """See Sandbox."""
        return self._containers.run(request, output, cancel)

    def build(self, request: BuildRequest, output: Output, cancel: Cancellation) -> BuildResult:
        """See Sandbox."""
        try:
            result = self._get_builder().build(request, output, cancel)
        finally:
            self._containers.images_changed()
        image = result.image
        if image is None or not image.references:
            return result
        sized = replace(image, size=self._images.size(image.references[0]))
        return replace(result, image=sized)

    def push(self, reference: str, output: Output, cancel: Cancellation) -> PushedImage:
        """See Sandbox."""
        cancel.check()
        return self._images.push(reference, output, cancel)

    def explain(self) -> str:
        """See Sandbox."""
        return self._explain()

    def close(self) -> None:
        """See Sandbox."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with suppress(RunnerError):
            if self._builder is not None:
                self._builder.close()
            self._containers.close(disposable=self._disposable)
            if not self._disposable:
                # By label: detached and kept containers, networks, volumes.
                remove_run(self._client, self._names.run_id)
        self._client.close()
        self._on_close()

    def _get_builder(self) -> Builder:
        # grpc takes a while to import; a run without builds goes without.
        from runners.clients.docker_build import Builder

        with self._lock:
            if self._builder is None:
                self._builder = Builder(
                    self._dial,
                    files=self._files,
                    archive=partial(self._volumes.archive, self._names.workspace_volume),
                    logins=self._logins,
                    secrets=self._secrets,
                    ssh=self._ssh,
                    host_network=self._policy.host_network,
                    images=self._images,
                )
            return self._builder

    def _body(self, request: ContainerRequest) -> dict[str, Any]:
        return container_body(request, self._names, self._volumes.known, self._policy)

    def _pull(self, request: ContainerRequest, output: Output, cancel: Cancellation) -> None:
        attempts = max(PULL_ATTEMPTS, request.download_retries + 1)
        for left in reversed(range(attempts)):
            try:
                self._images.pull(request.image, output, cancel)
                break
            except Unavailable as error:
                if not left or cancel.wait(request.download_retry_delay_s or 1):
                    cancel.check()
                    raise
                text = f"{error.message}; trying again ({left} left)\n"
                output.write("stderr", text.encode())
        self._containers.images_changed()
