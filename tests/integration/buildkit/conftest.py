"""Clients of both engines, and small projects to build."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runners.clients.buildkit.client import BuildKitClient
from runners.clients.buildkit.localfs import LocalFS
from runners.clients.buildkit.options import Output, SolveOptions, SolveResult
from runners.clients.buildkit.status import Vertex
from runners.clients.buildkit.transport import Dialer, EngineTransport, unix_dialer
from runners.model.cancellation import Cancellation


def dialer(address: str) -> Dialer:
    return unix_dialer(address.removeprefix("unix://"))


@dataclass
class Recorder:
    """Remembers what a build told."""

    states: list[tuple[str, str]] = field(default_factory=list)
    output: bytes = b""
    warnings: list[str] = field(default_factory=list)
    on_vertex: Callable[[Vertex], None] = lambda vertex: None

    def vertex(self, vertex: Vertex) -> None:
        self.states.append((vertex.name, vertex.state))
        self.on_vertex(vertex)

    def log(self, vertex: Vertex, stream: str, data: bytes) -> None:
        self.output += data

    def warning(self, vertex: Vertex | None, text: str, url: str) -> None:
        self.warnings.append(text)


@dataclass
class Builder:
    """A client with a directory to build from."""

    client: BuildKitClient
    root: Path
    dial: Dialer
    engine: str

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def solve(
        self,
        *,
        progress: Recorder | None = None,
        cancel: Cancellation | None = None,
        **options: Any,
    ) -> SolveResult:
        with LocalFS(self.root) as context:
            options.setdefault("context", context)
            options.setdefault("output", Output("cache"))
            return self.client.solve(SolveOptions(**options), progress=progress, cancel=cancel)

    def export(self, destination: Path, **options: Any) -> SolveResult:
        return self.solve(output=Output("local", str(destination)), **options)


def _builder(address: str, root: Path) -> Iterator[Builder]:
    root.mkdir()
    dial = dialer(address)
    with BuildKitClient(EngineTransport(dial), client_id=os.urandom(8).hex()) as client:
        yield Builder(client, root, dial, address)


@pytest.fixture
def builder(engine: str, tmp_path: Path) -> Iterator[Builder]:
    """A builder on each engine in turn."""
    yield from _builder(engine, tmp_path / "project")


@pytest.fixture
def old(engine_old: str, tmp_path: Path) -> Iterator[Builder]:
    """A builder on the engine without error details, history and manifests."""
    yield from _builder(engine_old, tmp_path / "project")


@pytest.fixture
def new(engine_new: str, tmp_path: Path) -> Iterator[Builder]:
    """A builder on the engine with the containerd image store."""
    yield from _builder(engine_new, tmp_path / "project")
