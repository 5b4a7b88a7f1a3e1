"""A repository with branches, tags and a subdirectory, served over smart HTTP."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

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
def source_folder(tmp_path: Path) -> Path:
    """A folder that the process which fetches may pass through."""
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o711)
    return tmp_path


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
