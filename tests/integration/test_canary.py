"""A secret that steps print in six encodings, cut at random, shows up nowhere.

Not in output, not in the record, not on a command line, not in what the
engines tell of containers and images, not in a layer, and not in a file that
the run leaves. What a step itself may see is not the matter here.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runners.backends import KINDS
from runners.backends.base import SandboxRequest
from runners.backends.dind.config import load
from runners.backends.dind.engine_api import EngineApi, unix_dial
from runners.engine import execute_plan
from runners.model.cancellation import Cancellation
from runners.model.events import StepLog
from runners.model.plan import Plan
from runners.model.record import RunResult
from tasks_service.plans.compile import compile_task
from tasks_service.plans.variables import RunVariables
from tasks_service.secrets import resolver
from tests.integration.canary.forms import Finder, forms, new_canary
from tests.integration.samples.command import Tasks, config_of

HERE = Path(__file__).parent / "canary"
ENCODINGS = 7
STEPS = ("printed", "failed", "built", "broken")


@pytest.fixture
def canary() -> str:
    return new_canary()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o711)
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("acb.yaml", "leak.sh", "Dockerfile", "broken.dockerfile"):
        shutil.copy(HERE / name, folder)
    return folder


@pytest.fixture
def tasks(registry: str, state_dir: Path, tmp_path: Path) -> Tasks:
    return Tasks(registry, tmp_path, state_dir)


@pytest.fixture
def seed() -> int:
    # Another cut every time; the name of a failing test's seed is in its values.
    return random.randrange(1, 9999)


def test_the_finder_finds_every_form_in_any_surroundings() -> None:
    canary = new_canary()
    finder = Finder(canary)
    for form in forms(canary):
        assert finder.find(b"x" * 50 + form + b"y" * 50)
        assert finder.find(b"x" * (1 << 20) + form + b"y" * 50)
    assert finder.find(new_canary()) == []


@pytest.mark.parametrize("progress", ["plain", "json"])
def test_output_record_and_left_files_hold_nothing(
    tasks: Tasks, source: Path, canary: str, seed: int, progress: str
) -> None:
    before = time.time()
    run_id = f"canary{seed}{progress}"
    done = tasks.run(
        *(str(source), "--id", run_id, "--set", f"seed={seed}", "--progress", progress),
        env={"CANARY": canary},
    )
    assert done.code == 0, done.output
    finder = Finder(canary)
    assert finder.find(done.output) == []
    assert finder.find(done.stdout) == []
    for step in STEPS:
        _all_masked(done.output, step, progress)
    assert finder.find(json.dumps(config_of(f"{tasks.registry}/canary/app:{run_id}"))) == []
    assert _left(tasks.state, finder, before) == []


def _all_masked(output: str, step: str, progress: str) -> None:
    """Check that the step printed all encodings, and that each was masked."""
    if progress == "json":
        return
    lines = [line for line in output.splitlines() if line.startswith(step)]
    text = "\n".join(lines)
    for name in ("plain", "base64", "hex", "HEX", "url"):
        assert f"{name} [" in text, (step, name, text)
    assert text.count("***") >= ENCODINGS, (step, text)


def _left(folder: Path, finder: Finder, since: float) -> list[str]:
    """Return files below the folder, written since then, that hold a leak."""
    found = []
    for directory, _, names in os.walk(folder):
        for name in names:
            path = Path(directory, name)
            try:
                status = path.lstat()
                if max(status.st_mtime, status.st_ctime) < since or not path.is_file():
                    continue
                with path.open("rb") as stream:
                    while data := stream.read(8 << 20):
                        if finder.find(data):
                            found.append(str(path))
                            break
            except FileNotFoundError:
                continue
    return found


@dataclass
class Watch:
    """Takes the run's events, and looks at the machine while steps run."""

    finder: Finder
    outer: EngineApi
    count: int = 0
    events: dict[str, bytes] = field(default_factory=dict)
    command_lines: list[str] = field(default_factory=list)
    runners: list[str] = field(default_factory=list)

    def __call__(self, event: Any) -> None:
        if isinstance(event, StepLog):
            stream, data = f"{event.step_id} {event.stream}", event.data
        else:
            stream, data = "other", repr(event).encode()
        self.events[stream] = self.events.get(stream, b"") + data
        self.count += 1
        if self.count % 20 == 1:
            self.look()

    def look(self) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes()
            except OSError:
                continue
            if self.finder.find(line.replace(b"\0", b" ")):
                self.command_lines.append(str(line))
        for container in self.outer.get("/containers/json", {"all": True}):
            told = json.dumps(self.outer.get(f"/containers/{container['Id']}/json"))
            if self.finder.find(told):
                self.runners.append(container["Names"][0])


@pytest.fixture
def plan(source: Path, registry: str, canary: str, seed: int) -> Iterator[Plan]:
    compiled = compile_task(
        (source / "acb.yaml").read_bytes(),
        variables=RunVariables(id="inside1", registry=registry),
        set_values=[f"seed={seed}"],
        resolve_secrets=resolver({"CANARY": canary}, allow_local=True),
    )
    return compiled.require_plan()


def test_engines_images_and_command_lines_hold_nothing(
    plan: Plan, source: Path, registry: str, state_dir: Path, canary: str
) -> None:
    finder = Finder(canary)
    config = load(state_dir)
    outer = EngineApi(unix_dial(config.address.removeprefix("unix://")), "the engine")
    watch = Watch(finder, outer)
    backend = KINDS["dind"](state_dir=state_dir)
    request = SandboxRequest(
        run_id="inside1", source=source, registries=(registry,), secrets=plan.secrets
    )
    cancel = Cancellation()
    sandbox: Any = backend.open(request, cancel)
    try:
        result = execute_plan(plan, sandbox, result=RunResult("inside1"), sink=watch, cancel=cancel)
        watch.look()
        assert str(result.status) == "Succeeded", result.error
        assert [name for name, data in watch.events.items() if finder.find(data)] == []
        assert finder.find(json.dumps(result.to_json()) + repr(result)) == []
        for stream in ("printed stdout", "failed stderr", "built stdout", "broken stdout"):
            assert watch.events[stream].count(b"***") >= ENCODINGS, stream
        assert watch.command_lines == []
        assert watch.runners == []
        _look_inside(sandbox._client, finder, f"{registry}/canary/app:inside1")
    finally:
        sandbox.close()


def _look_inside(client: Any, finder: Finder, image: str) -> None:
    """Ask the run's own engine for all that it tells of containers, volumes and images."""
    containers = client.containers(all=True)
    names = {name.strip("/") for container in containers for name in container["Names"]}
    assert {"printed", "failed"} <= names
    for container in containers:
        assert finder.find(json.dumps(client.inspect_container(container["Id"]))) == []
    assert finder.find(json.dumps(client.volumes())) == []
    assert finder.find(json.dumps(client.inspect_image(image))) == []
    assert finder.find(json.dumps(client.history(image))) == []
    assert finder.find_in_image(b"".join(client.get_image(image))) == []
