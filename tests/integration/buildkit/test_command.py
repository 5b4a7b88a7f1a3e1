"""The command line of the client, as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = [sys.executable, "-m", "runners.clients.buildkit", "build"]


def write(root: Path, dockerfile: str) -> str:
    root.mkdir()
    (root / "Dockerfile").write_text(dockerfile)
    return str(root)


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


def test_a_build_prints_its_result_as_json(engine: str, tmp_path: Path) -> None:
    root = write(tmp_path / "p", "FROM scratch\nCOPY Dockerfile /\n")
    done = subprocess.run(
        [*PROGRAM, "--host", engine, "-t", "bk-test/cli:1", root],
        capture_output=True,
        check=True,
        env=environment(tmp_path),
    )
    assert json.loads(done.stdout)["references"] == ["docker.io/bk-test/cli:1"]
    assert b"exporting to image" in done.stderr


def test_bad_input_ends_with_a_message_and_code_2(engine: str, tmp_path: Path) -> None:
    root = write(tmp_path / "p", "FROM scratch\nNOSUCH\n")
    done = subprocess.run(
        [*PROGRAM, "--host", engine, "--progress", "quiet", root],
        capture_output=True,
        check=False,
        env=environment(tmp_path),
    )
    assert done.returncode == 2
    assert b"Dockerfile:2" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_interrupt_ends_the_process_at_once(
    engine: str, base_image: str, tmp_path: Path
) -> None:
    root = write(tmp_path / "p", f"FROM {base_image}\nRUN sleep 601\n")
    with subprocess.Popen(
        [*PROGRAM, "--host", engine, "--no-cache", root],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=environment(tmp_path),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"sleep 601" in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=15) == 130
