"""A served repository, and the command as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runners.backends.dind.config import load
from runners.backends.dind.engine_api import EngineApi, unix_dial
from runners.backends.dind.owner import STATE
from tasks_service.devstack.git_server import GitServer

_IDENTITY = {
    "GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@example",
    "GIT_COMMITTER_NAME": "Test", "GIT_COMMITTER_EMAIL": "test@example",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Repository:
    """A work tree whose bare copy is served."""

    work: Path
    bare: Path
    url: str

    def git(self, *words: str) -> str:
        """Run Git in the work tree."""
        return subprocess.run(
            ["git", *words],
            cwd=self.work,
            env={**os.environ, **_IDENTITY},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def commit(self, files: dict[str, str], message: str = "change") -> str:
        """Write files, commit and publish them; return the commit."""
        for name, text in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        self.publish()
        return self.git("rev-parse", "HEAD")

    def publish(self) -> None:
        """Make the served copy the same as the work tree's repository."""
        self.git("push", "--quiet", "--force", "--mirror", str(self.bare))


@pytest.fixture
def source_folder() -> Iterator[Path]:
    """A folder that the process which fetches may pass through.

    Not below pytest's own folder, which every session closes to others again.
    """
    with tempfile.TemporaryDirectory(prefix="tasks-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def new_repository(tmp_path: Path, git_server: GitServer) -> Callable[[str], Repository]:
    """Return a function that makes an empty served repository."""

    def make(name: str) -> Repository:
        work, bare = tmp_path / "work" / name, tmp_path / "git" / f"{name}.git"
        work.mkdir(parents=True)
        repository = Repository(work, bare, git_server.url(name))
        repository.git("init", "--quiet", "--initial-branch=main")
        repository.git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
        return repository

    return make


@dataclass(frozen=True, slots=True)
class Tasks:
    """The command, as a process of its own, on the stack's state."""

    environment: dict[str, str]
    folder: Path
    state: Path

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Start `tasks` with pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "tasks_service.cli.main", *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def run(self, *words: str, text: str | None = None) -> tuple[int, str, str]:
        """Run `tasks` to its end; return exit code, stdout, stderr."""
        with self.start(*words, stdin=subprocess.PIPE) as process:
            out, err = process.communicate(text, timeout=240)
        assert "Traceback" not in err
        return process.returncode, out, err

    def record(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run `tasks … -o json`; return exit code and the record."""
        code, out, err = self.run(*words, "-o", "json")
        assert out, err
        return code, json.loads(out)

    def left(self) -> list[str]:
        """Return what runs of dead or finished processes left in the engine."""
        config = load(self.state)
        api = EngineApi(unix_dial(config.address.removeprefix("unix://")), "the engine")
        mine = {"label": [f"{STATE}={config.state_dir}"]}
        containers = api.get("/containers/json", {"all": True, "filters": mine})
        networks = api.get("/networks", {"filters": mine})
        volumes = api.get("/volumes", {"filters": mine}).get("Volumes") or []
        found = [c["Names"][0] for c in containers] + [n["Name"] for n in networks]
        found += [volume["Name"] for volume in volumes]
        if config.runs.is_dir():
            found += [path.name for path in config.runs.iterdir() if path.is_dir()]
        return found


@pytest.fixture
def tasks(state_dir: Path, source_folder: Path, tmp_path: Path) -> Tasks:
    environment = {
        **os.environ,
        "TASKS_STATE_DIR": str(state_dir),
        "TMPDIR": str(source_folder),
        "DOCKER_CONFIG": str(source_folder / "no-docker-config"),
    }
    for name in ("TASKS_REGISTRY", "NO_COLOR", "CLICOLOR_FORCE", "FORCE_COLOR"):
        environment.pop(name, None)
    return Tasks(environment, tmp_path, state_dir)
