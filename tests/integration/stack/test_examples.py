"""Every example runs as its page says, in an isolated engine, and the demo proves itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tasks_service.devstack import demo, patching, processes, stack
from tasks_service.devstack.git_repository import publish
from tasks_service.devstack.git_server import GitServer
from tasks_service.devstack.layout import Layout

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/acb.yaml"))


def tasks_run(
    source: str, registry: str, state_dir: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    words = ["run", source, "-r", registry, *more]
    done = subprocess.run(
        [sys.executable, "-m", "tasks_service.cli.main", *words],
        env={**os.environ, "TASKS_STATE_DIR": str(state_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def record_of(source: str, registry: str, state_dir: Path) -> dict[str, Any]:
    return json.loads(tasks_run(source, registry, state_dir, "-o", "json").stdout)


@pytest.mark.parametrize("name", FOLDERS)
def test_an_example_succeeds_at_the_strong_default(
    name: str, registry: str, state_dir: Path
) -> None:
    record = record_of(str(EXAMPLES / name), registry, state_dir)
    assert record["status"] == "Succeeded"
    assert record["isolation"] == "D3"
    assert {step["status"] for step in record["steps"]} == {"Succeeded"}


def test_files_are_handed_on_through_the_workspace(registry: str, state_dir: Path) -> None:
    source = str(EXAMPLES / "multi-step")
    done = tasks_run(source, registry, state_dir, "--id", "note")
    lines = [line.partition("| ")[2] for line in done.stdout.splitlines() if "read" in line]
    assert lines[-3:] == ["hello from note", "HELLO FROM NOTE", "eton morf olleh"]


def test_the_demo_application_runs_at_a_commit_of_a_repository(
    git_server: GitServer, tmp_path: Path, registry: str, state_dir: Path
) -> None:
    commit = publish(EXAMPLES / "demo-app", tmp_path / "git" / "demo.git")
    record = record_of(f"{git_server.url('demo')}#{commit}", registry, state_dir)
    assert record["source"]["commit"] == commit
    tags = [image["reference"].rpartition(":")[2] for image in record["outputImages"]]
    assert tags == ["1.0.0", "latest"]
    assert len({image["digest"] for image in record["outputImages"]}) == 1


def test_the_demo_pulls_back_what_it_pushed(
    state_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert demo.run(stack.up(Layout(state_dir.parent))) == 0
    output, messages = capfd.readouterr()
    assert "8 planets, 288 moons" in output
    assert "isolation  D3" in output
    assert "pulled digest = pushed digest = sha256:" in messages


def test_the_demo_ends_with_images_that_patch_themselves(
    state_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = stack.up(Layout(state_dir.parent))
    assert patching.run(found) == 0
    output, messages = capfd.readouterr()
    assert "shop on base release 2\nnews on base release 2\n" in output
    assert re.search(r"lib: run \S+ Succeeded .*\n +└─ \S+/demo/base:1 moved", output)
    assert re.search(r"From the push of the base to the last image: \d+\.\d s", output)
    assert messages.index("lib     Built") < messages.index("portal  Built")
    for name in ("graph.svg", "wave.svg"):
        assert ET.parse(state_dir / name).getroot().tag.endswith("svg")
    for name in (stack.DEMO_SERVICE, stack.DEMO_REGISTRY):
        assert processes.find(name, found.where.run) is None
