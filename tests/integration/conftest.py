"""Real parts for tests: what ``make test`` started, by environment variable.

Without them a test fails and says how to get them; nothing is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks_service.devstack.git_server import GitServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.docker)


def part(name: str) -> str:
    """Return what ``TASKS_TEST_<name>`` says."""
    value = os.environ.get(f"TASKS_TEST_{name}", "")
    if not value:
        pytest.fail(f"TASKS_TEST_{name} is not set: run `make test`", pytrace=False)
    return value


@pytest.fixture(scope="session")
def engine_old() -> str:
    """``unix://…`` of Debian 12's engine, or of the oldest there is."""
    return part("ENGINE_OLD")


@pytest.fixture(scope="session")
def engine_new() -> str:
    """``unix://…`` of an engine with the containerd image store."""
    return part("ENGINE_NEW")


@pytest.fixture(scope="session", params=["OLD", "NEW"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each of the two engines in turn."""
    return part(f"ENGINE_{request.param}")


@pytest.fixture(scope="session")
def registry() -> str:
    """``host:port`` of a registry that speaks plain HTTP and wants no login."""
    return part("REGISTRY")


@pytest.fixture(scope="session")
def state_dir() -> Path:
    """The stack's state: what ``TASKS_STATE_DIR`` is for ``tasks run``."""
    return Path(part("STATE"))


@pytest.fixture(scope="session")
def runner_image() -> str:
    """The runner image, in the engine of the runners (``engine_old``)."""
    return part("RUNNER_IMAGE")


@pytest.fixture(scope="session")
def base_image() -> str:
    """A small image with a shell, in ``registry``."""
    return part("BASE_IMAGE")


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[GitServer]:
    """A Git server over ``tmp_path / "git"``, empty at first."""
    root = tmp_path / "git"
    root.mkdir()
    with GitServer(root) as server:
        yield server
