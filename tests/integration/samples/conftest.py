"""The command and a folder that runners may pass through."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.samples.command import Tasks


@pytest.fixture
def tasks(registry: str, state_dir: Path, tmp_path: Path) -> Tasks:
    # Sources are read by a process of another user.
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o711)
    return Tasks(registry, tmp_path, state_dir)
