"""``tasks setup``: an engine that is there is used, and only what it made is removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_an_engine_that_remaps_users_is_used_and_left(
    tmp_path: Path, state_dir: Path, engine_old: str, base_image: str, runner_image: str
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    # Debian's base image takes half a minute; the stack has made it.
    (folder / "cache").symlink_to(state_dir / "cache")
    environment = os.environ | {"DOCKER_HOST": engine_old, "TASKS_STATE_DIR": str(folder)}

    def tasks(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tasks_service.cli.main", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    for _ in range(2):
        done = tasks("setup")
        assert done.returncode == 0, done.stderr
        assert f"ready: runners live in {engine_old}" in done.stdout
    # What another installation has in the engine is not touched.
    there = subprocess.run(
        ["docker", "-H", engine_old, "image", "inspect", "--format", "there", runner_image],
        capture_output=True,
        text=True,
        check=False,
    )
    assert there.stdout.strip() == "there", there.stderr
    command = f"{base_image} echo set up"
    registry = base_image.partition("/")[0]
    done = tasks("run", "/dev/null", "--local", "-r", registry, "--cmd", command)
    assert done.returncode == 0, done.stderr
    assert "set up" in done.stdout + done.stderr
