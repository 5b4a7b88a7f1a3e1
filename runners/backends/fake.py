"""The ``fake`` backend: no engine, scripted results; shipped, for tests and dry runs.

It keeps the promises of Backend and Sandbox (the contract suite runs against
it and against real engines alike) and remembers what it was asked for. By
default every container exits 0, every build makes an image and every push
succeeds, at once.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runners.backends.base import Limits, Prepared, SandboxRequest
from runners.model.cancellation import Cancellation
from runners.model.clock import SYSTEM_CLOCK, Clock
from runners.model.errors import Denied, InvalidInput, RunnerError, StepFailed
from runners.model.image import ImageRef
from runners.model.plan import Network, Volume
from runners.model.record import BaseImage, BuiltImage, PushedImage
from runners.sandbox import BuildRequest, BuildResult, ContainerRequest, Output, Sandbox


@dataclass(frozen=True, slots=True)
class Scripted:
    """What a container, a build or a push does.

    Attributes:
        exit_code: Of the container.
        output: (stream, bytes) in order, written before the delay.
        delay_s: Time it takes, on the sandbox's clock; interruptible.
        last_output: Written after the delay.
        error: Raised at the end, in place of a result.
        base_images: Of a build.
    """

    exit_code: int = 0
    output: tuple[tuple[str, bytes], ...] = ()
    delay_s: float = 0
    last_output: tuple[tuple[str, bytes], ...] = ()
    error: RunnerError | None = None
    base_images: tuple[BaseImage, ...] = ()


Script = Callable[[ContainerRequest, int], Scripted]
"""What the nth run (from 1) of a request's container name does."""


def succeed(request: ContainerRequest, attempt: int) -> Scripted:
    """Let every container exit 0 at once."""
    del request, attempt
    return Scripted()


@dataclass(slots=True)
class Asked:
    """What a fake sandbox was asked for, in order."""

    containers: list[ContainerRequest] = field(default_factory=list)
    prepared: list[ContainerRequest] = field(default_factory=list)
    builds: list[BuildRequest] = field(default_factory=list)
    pushes: list[str] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)


class FakeSandbox:
    """See Sandbox. ``asked`` may be read once the run is over."""

    isolation = "none"

    def __init__(self, script: Script, works: Mapping[str, Scripted], clock: Clock) -> None:
        self._script = script
        self._works = works
        self._clock = clock
        self._lock = threading.Lock()
        self._attempts: dict[str, int] = {}
        self._images: dict[str, str] = {}
        self.asked = Asked()
        self.closed = False
        self.warm = False
        self.limits_hit = ""
        """What ``explain`` answers; tests set it."""

    def create_network(self, network: Network) -> None:
        """See Sandbox."""
        with self._lock:
            if network not in self.asked.networks:
                self.asked.networks.append(network)

    def create_volume(self, volume: Volume) -> None:
        """See Sandbox."""
        with self._lock:
            if volume not in self.asked.volumes:
                self.asked.volumes.append(volume)

    def prepare_container(self, request: ContainerRequest) -> None:
        """See Sandbox."""
        with self._lock:
            self.asked.prepared.append(request)

    def run_container(self, request: ContainerRequest, output: Output, cancel: Cancellation) -> int:
        """See Sandbox."""
        cancel.check()
        if request.privileged or request.network == "host":
            raise Denied(f"step '{request.name}' asks for what this runner does not give")
        with self._lock:
            known = {volume.name for volume in self.asked.volumes}
            for mount in request.volume_mounts:
                if mount.name not in known:
                    raise InvalidInput(f"step '{request.name}' mounts an unknown volume")
            self.asked.containers.append(request)
            attempt = self._attempts[request.name] = self._attempts.get(request.name, 0) + 1
        scripted = self._script(request, attempt)
        if request.detach:
            return 0
        self._play(scripted, output, cancel)
        return scripted.exit_code

    def build(self, request: BuildRequest, output: Output, cancel: Cancellation) -> BuildResult:
        """See Sandbox."""
        cancel.check()
        with self._lock:
            self.asked.builds.append(request)
        key = request.tags[0] if request.tags else request.context
        scripted = self._works.get(key, Scripted())
        self._play(scripted, output, cancel)
        digest = f"sha256:{hashlib.sha256(repr(request).encode()).hexdigest()}"
        with self._lock:
            self._images.update({_full(tag): digest for tag in request.tags})
        return BuildResult(BuiltImage(request.tags, digest), scripted.base_images)

    def push(self, reference: str, output: Output, cancel: Cancellation) -> PushedImage:
        """See Sandbox."""
        cancel.check()
        with self._lock:
            self.asked.pushes.append(reference)
            digest = self._images.get(_full(reference))
        self._play(self._works.get(reference, Scripted()), output, cancel)
        if digest is None:
            raise StepFailed(
                f"cannot push '{reference}': there is no such image in this run",
                hint="a build step must make it first, with exactly this tag (-t)",
            )
        return PushedImage(reference, digest)

    def explain(self) -> str:
        """See Sandbox."""
        return self.limits_hit

    def close(self) -> None:
        """See Sandbox."""
        self.closed = True

    def _play(self, scripted: Scripted, output: Output, cancel: Cancellation) -> None:
        for stream, data in scripted.output:
            output.write(stream, data)
        if scripted.delay_s and self._clock.wait(scripted.delay_s, cancel):
            raise cancel.reason
        cancel.check()
        for stream, data in scripted.last_output:
            output.write(stream, data)
        if scripted.error is not None:
            raise scripted.error


class FakePrepared:
    """See Prepared. Tests set ``alive``."""

    def __init__(self, open_: Callable[[], FakeSandbox], limits: Limits, read_only: bool) -> None:
        self._open = open_
        self.limits = limits
        self.read_only = read_only
        self.alive = True
        self.opened = False
        self.closed = False

    def usable(self) -> bool:
        """See Prepared."""
        return self.alive and not self.opened and not self.closed

    def fits(self, request: SandboxRequest) -> bool:
        """See Prepared."""
        same = request.read_only == self.read_only
        return same and request.limits.disk_bytes == self.limits.disk_bytes

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """See Prepared."""
        del request
        cancel.check()
        self.opened = True
        sandbox = self._open()
        sandbox.warm = True
        return sandbox

    def close(self) -> None:
        """See Prepared."""
        self.closed = not self.opened


class FakeBackend:
    """See Backend. ``sandboxes`` and ``prepared`` hold all it ever opened or made.

    Args:
        script: What containers do.
        works: What builds (by their first tag, else their context) and
            pushes (by reference) do.
        clock: Delays are waited for on it.
    """

    name = "fake"

    def __init__(
        self,
        script: Script = succeed,
        works: Mapping[str, Scripted] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._script = script
        self._works = works or {}
        self._clock = clock
        self.sandboxes: list[FakeSandbox] = []
        self.prepared: list[FakePrepared] = []

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """See Backend."""
        del request
        cancel.check()
        return self._new()

    def prepare(
        self, limits: Limits, cancel: Cancellation, *, read_only: bool = False
    ) -> Prepared | None:
        """See Backend."""
        cancel.check()
        made = FakePrepared(self._new, limits, read_only)
        self.prepared.append(made)
        return made

    def _new(self) -> FakeSandbox:
        sandbox = FakeSandbox(self._script, self._works, self._clock)
        self.sandboxes.append(sandbox)
        return sandbox

    def sweep(self) -> int:
        """See Backend. There is never anything left."""
        return 0


def _full(reference: str) -> str:
    return ImageRef.parse(reference).with_default_tag().canonical
