"""The Sandbox protocol: what a step may ask of the isolated engine of its run.

Implemented by ``runners/backends/*``; used by ``runners/steps/*``. One sandbox
serves one run and is used by many step threads at once: every method is
thread-safe. Blocking methods take a Cancellation and return within a second
or so of its cancel, raising its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from runners.model.cancellation import Cancellation
from runners.model.plan import Network, Volume, VolumeMount
from runners.model.record import BaseImage, BuiltImage, PushedImage


class Output(Protocol):
    """Where a step's output goes while it runs. Thread-safe, never raises."""

    def write(self, stream: str, data: bytes) -> None:
        """Take raw bytes of ``stdout`` or ``stderr``, cut anywhere."""
        ...

    def vertex(
        self,
        *,
        digest: str,
        name: str,
        state: str,
        current: int = 0,
        total: int = 0,
        elapsed_s: float = 0.0,
    ) -> None:
        """Take the state of one BuildKit vertex (see events.BuildProgress)."""
        ...


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """One container to run to its end (or, with ``detach``, to its start).

    Attributes:
        name: Container name; also its host name on ``network``.
        image: As the user wrote it; the sandbox pulls it when absent.
        args: Arguments after the image; empty keeps the image's CMD.
        network: Network name, or None for the engine's default bridge.
        keep: Leave the stopped container for later steps to look at.
        options: Further ``docker run`` options the user wrote before the
            image, already checked: field name of the Docker API's host or
            container configuration → value (see runners/steps/cmd.py).
    """

    name: str
    image: str
    args: tuple[str, ...] = ()
    entry_point: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    working_directory: str | None = None
    user: str | None = None
    network: str | None = None
    ports: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    cpus: str | None = None
    privileged: bool = False
    pull: bool = False
    download_retries: int = 0
    download_retry_delay_s: float = 0
    detach: bool = False
    keep: bool = False
    volume_mounts: tuple[VolumeMount, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuildSecret:
    """One secret of a build; ``value``, else ``path``, else the plan's secret of that id.

    ``path`` is relative to the working directory, or absolute below the
    workspace.
    """

    id: str
    path: str = ""
    value: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One image to build: the meaning of ``docker build`` flags, no text left.

    Attributes:
        context: Local directory relative to the workspace (or absolute below
            it), or a Git/HTTP URL that BuildKit fetches itself, or ``-``
            never.
        dockerfile: Path relative to the working directory or, where there is
            no such file, to the context; None means the context's
            ``Dockerfile``.
        tags: Full references, in order; may be empty.
        build_args, labels, named_contexts: as given, in order.
        secrets: What the build may mount, by id.
        shm_size: Bytes of ``/dev/shm``.
        ulimits: ``name=soft:hard`` each.
        network: None, ``host``, ``none`` or ``default``.
        no_cache: None uses the cache; ``()`` ignores it for all stages; names
            ignore it for those stages.
        cache_from, cache_to: CSV entries split into dicts with ``type``.
        attrs: Further frontend attributes, already in BuildKit's words.
        pins: Digests that images the Dockerfile leaves floating are held at,
            by their full names with tags.
        marks: Labels that the image gets unless the author gave it some of
            that name.
        mark_base: Mark the image with the name and digest of its base too.
    """

    context: str
    working_directory: str
    dockerfile: str | None = None
    tags: tuple[str, ...] = ()
    build_args: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    target: str | None = None
    platforms: tuple[str, ...] = ()
    named_contexts: tuple[tuple[str, str], ...] = ()
    secrets: tuple[BuildSecret, ...] = ()
    ssh: tuple[str, ...] = ()
    network: str | None = None
    pull: bool = False
    no_cache: tuple[str, ...] | None = None
    cache_from: tuple[Mapping[str, str], ...] = ()
    cache_to: tuple[Mapping[str, str], ...] = ()
    provenance: str | None = "mode=max"
    sbom: str | None = None
    add_hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int | None = None
    ulimits: tuple[str, ...] = ()
    attrs: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    mark_base: bool = False


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build made and what it was made from."""

    image: BuiltImage | None
    base_images: tuple[BaseImage, ...] = ()


class Sandbox(Protocol):
    """An isolated engine, alive, with the run's workspace in it."""

    @property
    def isolation(self) -> str:
        """The isolation level this sandbox really has, e.g. ``D3``."""
        ...

    @property
    def warm(self) -> bool:
        """Whether it was made before its run was known (see ``Backend.prepare``)."""
        ...

    def create_network(self, network: Network) -> None:
        """Create a network of the plan. Idempotent."""
        ...

    def create_volume(self, volume: Volume) -> None:
        """Create a volume of secret files on tmpfs, bytes exact. Idempotent."""
        ...

    def run_container(self, request: ContainerRequest, output: Output, cancel: Cancellation) -> int:
        """Run a container and return its exit code (0 at once for ``detach``).

        All output has been written when it returns. Whatever way it ends, no
        container of that name keeps running (``detach`` apart) and the name
        can be used again.

        Raises:
            InvalidInput: the engine refuses the request.
            StepFailed: the image can't be had, or the command can't start.
            RunnerLost: the engine died.
        """
        ...

    def prepare_container(self, request: ContainerRequest) -> None:
        """Be told that this very request will likely be run soon.

        A hint that lets the container be made while something else runs. It
        returns at once, never raises, and may be followed by no run at all;
        what it made is never started then and goes at ``close``.
        """
        ...

    def build(self, request: BuildRequest, output: Output, cancel: Cancellation) -> BuildResult:
        """Build an image into the sandbox's image store.

        Raises:
            InvalidInput: Dockerfile syntax, missing file, impossible option.
            StepFailed: a RUN failed, a base image or a login was refused.
            RunnerLost: the engine died.
        """
        ...

    def push(self, reference: str, output: Output, cancel: Cancellation) -> PushedImage:
        """Push one image of the store once (no retry) and return its digest.

        Raises:
            Denied: the registry refused the login or the repository.
            Unavailable: the registry does not answer or answers 429 or 5xx.
            StepFailed: there is no such image here.
        """
        ...

    def explain(self) -> str:
        """Return which limits of the run were hit so far, in words, or nothing.

        Quick; never raises. For the message of a step that failed.
        """
        ...

    def close(self) -> None:
        """Destroy the engine and all it holds. Idempotent; never raises."""
        ...
