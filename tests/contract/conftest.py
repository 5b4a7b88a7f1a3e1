"""What the contract suites run against: fakes, and what ``make test`` started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runners.backends.base import Backend, SandboxRequest
from runners.backends.fake import FakeBackend, Scripted
from runners.backends.local import LocalBackend
from runners.clients.docker_sdk import unix_dialer
from runners.model.cancellation import Cancellation
from runners.sandbox import ContainerRequest, Sandbox
from tests.contract.commands import COMMANDS
from tests.integration.conftest import part

Open = Callable[..., Sandbox]
ENGINES = [pytest.param(which, marks=pytest.mark.docker) for which in ("OLD", "NEW")]


def local_backend(which: str) -> LocalBackend:
    return LocalBackend(unix_dialer(part(f"ENGINE_{which}").removeprefix("unix://")))


def _script(request: ContainerRequest, attempt: int) -> Scripted:
    del attempt
    return COMMANDS[request.args]


@pytest.fixture(params=["fake", *ENGINES])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that the suite of sandboxes runs against."""
    return FakeBackend(_script) if request.param == "fake" else local_backend(request.param)


@pytest.fixture(params=ENGINES)
def real_backend(request: pytest.FixtureRequest) -> LocalBackend:
    """The backends with a real engine."""
    return local_backend(request.param)


@pytest.fixture
def image(request: pytest.FixtureRequest) -> str:
    """An image with a shell; any name will do for a fake."""
    fake = "backend" in request.fixturenames and isinstance(
        request.getfixturevalue("backend"), FakeBackend
    )
    return "base:1" if fake else part("BASE_IMAGE")


@pytest.fixture
def source(tmp_path: Path, image: str) -> Path:
    """A directory with something to build."""
    root = tmp_path / "source"
    (root / "app").mkdir(parents=True)
    (root / "app" / "Dockerfile").write_text(f"FROM {image}\nCOPY file /file\nRUN cat /file\n")
    (root / "app" / "file").write_text("content\n")
    return root


def opener(backend: Backend, request: pytest.FixtureRequest, source: Path, run_id: str) -> Open:
    """Return a function that opens sandboxes; all are closed at the end of the test."""

    def open_sandbox(**fields: object) -> Sandbox:
        wanted = SandboxRequest(run_id, source=source, **fields)  # type: ignore[arg-type]
        sandbox = backend.open(wanted, Cancellation())
        request.addfinalizer(sandbox.close)
        return sandbox

    return open_sandbox
