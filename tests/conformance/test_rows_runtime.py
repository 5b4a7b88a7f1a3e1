"""Rows about what happens when a file runs, on a sandbox without an engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import runners.backends
from runners.backends.base import SandboxRequest
from runners.backends.fake import FakeBackend, FakeSandbox, Scripted
from runners.engine import execute_plan
from runners.model.cancellation import Cancellation
from runners.model.clock import ManualClock
from runners.model.errors import Unavailable
from runners.model.record import RunResult
from runners.model.status import RunStatus, StepStatus
from runners.sandbox import ContainerRequest, Sandbox
from tasks_service.cli.main import main
from tests.unit.tasks_service.plans.make import RUN, compiled, found, plan

Script = Callable[[ContainerRequest, int], Scripted]


@dataclass
class Outcome:
    """A file that ran: its record and what the sandbox was asked for."""

    result: RunResult
    sandbox: FakeSandbox
    statuses: dict[str, StepStatus] = field(default_factory=dict)


def ran(
    text: str,
    script: Script = lambda *_: Scripted(),
    works: dict[str, Scripted] | None = None,
    *,
    clock: ManualClock | None = None,
    timeout_s: float | None = None,
    **arguments: Any,
) -> Outcome:
    clock = clock or ManualClock()
    cancel = Cancellation()
    sandbox = FakeBackend(script, works, clock).open(SandboxRequest("r1"), cancel)
    assert isinstance(sandbox, FakeSandbox)
    result = execute_plan(
        plan(text, **arguments),
        sandbox,
        result=RunResult("r1"),
        sink=lambda event: None,
        cancel=cancel,
        timeout_s=timeout_s,
        clock=clock,
    )
    sandbox.close()
    return Outcome(result, sandbox, {step.id: step.status for step in result.steps})


def test_networks_are_made_and_go_with_the_runner() -> None:
    """Y-048: nothing of a runner outlasts it, whatever the steps did."""
    done = ran("networks: [{name: n}]\nsteps: [{cmd: a}]\n", lambda *_: Scripted(exit_code=3))
    assert [network.name for network in done.sandbox.asked.networks] == ["n"]
    assert done.sandbox.closed
    assert done.result.status is RunStatus.FAILED


@pytest.mark.parametrize(
    "context",
    [
        ".", "sub/dir", "https://h.example/x.git", "https://h.example/x.git#v1:dir",
        "https://h.example/x.tar.gz", "https://h.example/x.git#c0ffee",
    ],
)  # fmt: skip
def test_contexts_reach_the_builder_whole(context: str) -> None:
    """Y-071: branch, tag, commit and sub-directory of any Git URL."""
    done = ran(f"steps: [{{build: '-t a --no-cache {context}'}}]\n")
    assert [request.context for request in done.sandbox.asked.builds] == [context]


def test_container_properties_and_buildkit_variables_change_no_build() -> None:
    """Y-073, Y-074."""
    plain = ran("steps: [{build: '-t a .'}]\n").sandbox.asked.builds
    other = ran(
        "steps: [{build: '-t a .', env: [DOCKER_BUILDKIT=0, X=1], user: u, ports: [80]}]\n"
    ).sandbox.asked.builds
    assert plain == other


@pytest.mark.parametrize(
    ("text", "registry", "place"),
    [
        ("-t a:1 .", "reg.io", "reg.io/a:cache_quickrun_s"),
        ("-f D --tag=foo.io/x/a:1 -t b .", "reg.io", "foo.io/x/a:cache_quickrun_s"),
        ("-t h:5000/a .", "", "h:5000/a:cache_quickrun_s"),
    ],
)
def test_the_cache_lies_beside_the_first_tag(text: str, registry: str, place: str) -> None:
    """Y-075, Y-223."""
    from dataclasses import replace

    file = f"steps: [{{id: s, build: '{text}', cache: Enabled}}]\n"
    (request,) = ran(file, variables=replace(RUN, registry=registry)).sandbox.asked.builds
    assert [dict(entry) for entry in request.cache_from] == [{"type": "registry", "ref": place}]
    assert [dict(entry) for entry in request.cache_to] == [
        {"type": "registry", "ref": place, "mode": "max", "ignore-error": "true"}
    ]


def test_a_cache_without_a_place_warns() -> None:
    """Y-075, Y-076."""
    assert "1:27 TF910" in found("steps: [{build: ., cache: enabled}]\n")
    (request,) = ran("steps: [{build: '-t a .', cache: disabled}]\n").sandbox.asked.builds
    assert (request.cache_from, request.cache_to) == ((), ())


def test_base_images_come_from_the_build() -> None:
    """Y-080: nothing runs before the build to look for them."""
    done = ran("steps: [{build: '-t a .'}]\n")
    assert done.sandbox.asked.containers == []


def test_contexts_that_look_like_git_warn() -> None:
    """Y-081."""
    for context, warned in (
        ("https://github.com/x/y", True), ("github.com/x/y#br:dir", True),
        ("https://github.com/x/y.git#br:dir", False), (".", False),
    ):  # fmt: skip
        codes = [p.code for p in compiled(f"steps: [{{build: '-t a {context}'}}]\n").problems]
        assert ("TF911" in codes) is warned


def test_pushes_try_again_within_their_time() -> None:
    """Y-090, Y-091, Y-092: any registry; a busy one gets more attempts."""
    text = "steps: [{build: -t b -t q.io/a:1 .}, {id: p, push: ['q.io/a:1'], timeout: 100}]\n"
    busy = {"q.io/a:1": Scripted(error=Unavailable("429"))}
    done = ran(text, works=busy)
    assert len(done.sandbox.asked.pushes) == 3
    assert done.statuses["p"] is not StepStatus.SUCCEEDED
    assert ran(text).result.status is RunStatus.SUCCEEDED


def test_tools_are_what_the_task_names() -> None:
    """Y-103: a bare name is an alias or an image of a registry, never a file of ours."""
    done = ran("version: v1.1.0\nsteps: [{cmd: bash -c x}, {cmd: docker ps}]\n")
    images = [request.image for request in done.sandbox.asked.containers]
    assert images[0].startswith("docker.io/library/bash:")
    assert "docker" in images[1]


def test_pull_is_asked_for() -> None:
    """Y-104, Y-221, Y-222."""
    text = "steps: [{cmd: a, pull: true, cmdDownloadRetries: 2, cmdDownloadRetryDelay: 3}]\n"
    (request,) = ran(text).sandbox.asked.containers
    assert (request.pull, request.download_retries, request.download_retry_delay_s) == (True, 2, 3)


def test_the_first_failure_ends_the_run_and_every_step_has_a_state() -> None:
    """W-10, W-12."""
    text = "steps: [{id: a, cmd: x}, {id: b, cmd: x}, {id: c, cmd: x}]\n"
    done = ran(text, lambda request, _: Scripted(exit_code=int(request.name == "b")))
    assert done.result.status is RunStatus.FAILED
    assert [status.value.lower() for status in done.statuses.values()] == [
        "succeeded", "failed", "skipped",
    ]  # fmt: skip
    assert [request.name for request in done.sandbox.asked.containers] == ["a", "b"]


def test_parents_that_end_together_start_a_child_once() -> None:
    """W-11, W-15: all ready steps run at once, and a child exactly once."""
    gate = threading.Barrier(3, timeout=30)

    def script(request: ContainerRequest, _: int) -> Scripted:
        if request.name != "child":
            gate.wait()
        return Scripted()

    steps = ", ".join(f"{{id: p{i}, cmd: x, when: ['-']}}" for i in range(3))
    for _ in range(20):
        done = ran(f"steps: [{steps}, {{id: child, cmd: x, when: [p0, p1, p2]}}]\n", script)
        names = [request.name for request in done.sandbox.asked.containers]
        assert names.count("child") == 1
        assert names[-1] == "child"


def test_a_step_that_times_out_is_stopped() -> None:
    """W-16, Y-202: the attempt ends with the step; nothing goes on behind it."""
    clock = ManualClock()
    text = "steps: [{id: a, cmd: x, timeout: 2, retries: 3}]\n"
    outcome: list[Outcome] = []
    thread = threading.Thread(
        target=lambda: outcome.append(ran(text, lambda *_: Scripted(delay_s=60), clock=clock))
    )
    thread.start()
    assert clock.await_timer(60)
    clock.advance(2)
    thread.join(30)
    assert outcome[0].result.status is RunStatus.FAILED
    assert len(outcome[0].sandbox.asked.containers) == 1


def test_what_every_container_gets() -> None:
    """X-01, X-02, X-03, X-04, X-08: the workspace, its name, the network; no more."""
    (request,) = ran("steps: [{id: a, cmd: img x, env: [K=v]}]\n").sandbox.asked.containers
    assert (request.name, request.working_directory) == ("a", "/workspace")
    assert request.network == "acb_default_network"
    assert request.env == (("K", "v"),)
    assert not request.privileged
    assert "docker.sock" not in repr(request)


class Recording(FakeBackend):
    """Keeps what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[SandboxRequest] = []

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        self.requests.append(request)
        return super().open(request, cancel)


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    recording = Recording()
    monkeypatch.setattr(
        runners.backends,
        "KINDS",
        {"dind": lambda **_: recording, "fake": lambda **_: recording},
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKS_STATE_DIR", str(tmp_path / "state"))
    return recording


def test_source_and_logins_are_there_before_step_one(
    backend: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X-06, X-07: with the sandbox, apart from what steps can see."""
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(
        '{"auths": {"reg.example": {"auth": "dXNlcjpodXNoLWh1c2g="}}}'
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / "acb.yaml").write_text("steps: [{cmd: img x}]\n")
    assert main(["run", ".", "-r", "reg.example", "--quiet"]) == 0
    (request,) = backend.requests
    assert request.source is not None
    assert (request.source / "acb.yaml").is_file()
    assert [(login.registry, login.username) for login in request.logins] == [
        ("reg.example", "user")
    ]
    assert "hush" not in repr(backend.sandboxes[0].asked)


def test_the_runs_own_limit(backend: Recording) -> None:
    """L-01, L-03: an hour without; the run's limit ends a step before its own."""
    from tasks_service.cli.options import RUN_TIMEOUT_S

    assert RUN_TIMEOUT_S == 3600
    clock = ManualClock()
    outcome: list[Outcome] = []
    thread = threading.Thread(
        target=lambda: outcome.append(
            ran("steps: [{cmd: x, timeout: 900}]\n", lambda *_: Scripted(delay_s=800),
                clock=clock, timeout_s=5)
        )
    )  # fmt: skip
    thread.start()
    assert clock.await_timer(800)
    clock.advance(5)
    thread.join(30)
    assert outcome[0].result.status is RunStatus.TIMEOUT
