"""A backend whose sandboxes ask before they push.

In: a backend, and a function that may say no. Out: the same backend, where
nothing leaves a run before that function returned. Workers use it: a push
must not begin for a run that somebody else holds by now.
"""

from __future__ import annotations

from collections.abc import Callable

from runners.backends.base import Backend, Limits, Prepared, SandboxRequest
from runners.model.cancellation import Cancellation
from runners.model.errors import SystemFault
from runners.model.plan import Network, Volume
from runners.model.record import PushedImage
from runners.sandbox import BuildRequest, BuildResult, ContainerRequest, Output, Sandbox

Gate = Callable[[Cancellation], None]
"""Returns when a push may begin; raises a RunnerError when it must not."""


class GuardedBackend:
    """See Backend.

    Attributes:
        refused: What kept a sandbox from being opened, if something did: no
            step of the run has begun then.
    """

    def __init__(self, backend: Backend, gate: Gate) -> None:
        self._backend = backend
        self._gate = gate
        self.refused: SystemFault | None = None

    @property
    def name(self) -> str:
        """See Backend."""
        return self._backend.name

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """See Backend."""
        try:
            return _GuardedSandbox(self._backend.open(request, cancel), self._gate)
        except SystemFault as error:
            self.refused = error
            raise

    def prepare(
        self, limits: Limits, cancel: Cancellation, *, read_only: bool = False
    ) -> Prepared | None:
        """See Backend. What is prepared asks nobody: use ``open``."""
        return self._backend.prepare(limits, cancel, read_only=read_only)

    def sweep(self) -> int:
        """See Backend."""
        return self._backend.sweep()


class SandboxWrapper:
    """A sandbox that has another one do everything; see Sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @property
    def isolation(self) -> str:
        """See Sandbox."""
        return self._sandbox.isolation

    @property
    def warm(self) -> bool:
        """See Sandbox."""
        return self._sandbox.warm

    def create_network(self, network: Network) -> None:
        """See Sandbox."""
        self._sandbox.create_network(network)

    def create_volume(self, volume: Volume) -> None:
        """See Sandbox."""
        self._sandbox.create_volume(volume)

    def prepare_container(self, request: ContainerRequest) -> None:
        """See Sandbox."""
        self._sandbox.prepare_container(request)

    def run_container(self, request: ContainerRequest, output: Output, cancel: Cancellation) -> int:
        """See Sandbox."""
        return self._sandbox.run_container(request, output, cancel)

    def build(self, request: BuildRequest, output: Output, cancel: Cancellation) -> BuildResult:
        """See Sandbox."""
        return self._sandbox.build(request, output, cancel)

    def push(self, reference: str, output: Output, cancel: Cancellation) -> PushedImage:
        """See Sandbox."""
        return self._sandbox.push(reference, output, cancel)

    def explain(self) -> str:
        """See Sandbox."""
        return self._sandbox.explain()

    def close(self) -> None:
        """See Sandbox."""
        self._sandbox.close()


class _GuardedSandbox(SandboxWrapper):
    def __init__(self, sandbox: Sandbox, gate: Gate) -> None:
        super().__init__(sandbox)
        self._gate = gate

    def push(self, reference: str, output: Output, cancel: Cancellation) -> PushedImage:
        self._gate(cancel)
        return super().push(reference, output, cancel)
