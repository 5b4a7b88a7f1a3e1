"""`tasks run` and `tasks build` as a whole, on the fake backend: what a user gets to see."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import runners.backends
from runners.backends.fake import FakeBackend, FakeSandbox, Scripted
from runners.model.errors import Unavailable
from runners.sandbox import ContainerRequest
from tasks_service.cli.main import main

TASK = """\
version: v1.1.0
steps:
  - id: first
    cmd: $Registry/tool:v{{.Values.tag}} echo $ID
  - id: second
    cmd: tool exit
"""


class Stage:
    """The command on a fake backend that a test can script."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.backend = FakeBackend()
        self.opened: dict[str, Any] = {}

    def open(self, **settings: Any) -> FakeBackend:
        self.opened = settings
        return self.backend

    def script(self, run: Callable[[ContainerRequest, int], Scripted]) -> None:
        self.backend = FakeBackend(run)

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = main([*words])
        shown = self._capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err

    @property
    def sandbox(self) -> FakeSandbox:
        return self.backend.sandboxes[-1]


@pytest.fixture
def tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Stage:
    stage = Stage(capsys)
    monkeypatch.setattr(runners.backends, "KINDS", {"dind": stage.open, "fake": stage.open})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-config"))
    monkeypatch.setenv("TASKS_STATE_DIR", str(tmp_path / "state"))
    for name in list(os.environ):
        if name.startswith(
            ("TASKS_REGISTRY", "TASKS_GIT", "TASKS_IMAGE", "NO_COLOR", "CLICOLOR", "FORCE_COLOR")
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TASKS_REGISTRY", "reg.example")
    (tmp_path / "acb.yaml").write_text(TASK)
    return stage


def test_a_run_of_the_current_directory(tasks: Stage, tmp_path: Path) -> None:
    tasks.script(lambda request, _: Scripted(output=(("stdout", b"out of it\n"),)))
    code, out, err = tasks("run", "-r", "reg.example", "--set", "tag=7", "--id", "r1")
    assert code == 0, err
    assert out == "first  | out of it\nsecond | out of it\n"
    assert "step first started" in err
    assert "Run r1 succeeded after" in err
    request = tasks.sandbox.asked.containers[0]
    assert (request.image, request.args) == ("reg.example/tool:v7", ("echo", "r1"))
    assert tasks.sandbox.closed
    assert tasks.opened == {"state_dir": tmp_path / "state", "isolation": ""}


def test_the_record_has_standard_output_for_itself(tasks: Stage) -> None:
    tasks.script(lambda request, _: Scripted(output=(("stdout", b"out of it\n"),)))
    code, out, err = tasks("run", ".", "-o", "json", "--id", "r1")
    assert code == 0
    record = json.loads(out)
    assert (record["runId"], record["status"]) == ("r1", "Succeeded")
    assert "first  | out of it" in err


def test_a_failed_step_is_exit_1_and_tells_its_last_lines(tasks: Stage) -> None:
    tasks.script(lambda request, _: Scripted(exit_code=3, output=(("stderr", b"why\n"),)))
    code, out, err = tasks("run", ".", "--no-logs")
    assert (code, out) == (1, "")
    assert "Error: step 'first' exited with code 3\n  why\n" in err
    assert "second  skipped" in err


def test_an_invalid_task_file_is_exit_2_with_every_problem(tasks: Stage, tmp_path: Path) -> None:
    (tmp_path / "acb.yaml").write_text("steps:\n  - cmd: a\n    cmd: b\n  - frob: c\n")
    code, out, err = tasks("run", ".", "-o", "json")
    assert code == 2
    assert err.startswith("Error: the task file cannot be run: 2 errors\n")
    assert err.count("acb.yaml:3:") == 1
    assert err.count("acb.yaml:4:5: error") == 1
    assert err.count("Error:") == 1
    record = json.loads(out)
    assert (record["status"], record["error"]["code"]) == ("Failed", "invalid_task_file")


def test_a_strict_run_refuses_a_missing_value(tasks: Stage) -> None:
    code, _, err = tasks("run", "--strict")
    assert code == 2
    assert "acb.yaml:" in err
    assert "tag" in err
    assert tasks("run", "--strict", "--set", "tag=7")[0] == 0


def test_image_aliases_of_a_run(tasks: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tasks("run", "--image-alias", "bash=my/bash:1", "--cmd", "bash -c x")[0] == 0
    assert tasks.sandbox.asked.containers[0].image == "my/bash:1"
    monkeypatch.setenv("TASKS_IMAGE_ALIASES", "bash=my/bash:2 curl=my/curl:3")
    assert tasks("run", "--cmd", "curl x")[0] == 0
    assert tasks.sandbox.asked.containers[0].image == "my/curl:3"
    code, _, err = tasks("run", "--image-alias", "bash", "--cmd", "bash -c x")
    assert code == 2
    assert "'bash' must be NAME=IMAGE" in err
    code, _, err = tasks(
        "run", "--server", "http://127.0.0.1:1", "--image-alias", "a=b", "--cmd", "a"
    )
    assert code == 2
    assert "--image-alias is for runs on this machine" in err


@pytest.mark.parametrize("name", ["acr-task.yaml", "task.yaml"])
def test_other_usual_names_are_found(tasks: Stage, tmp_path: Path, name: str) -> None:
    (tmp_path / "acb.yaml").rename(tmp_path / name)
    assert tasks("run")[0] == 0


def test_a_task_file_is_also_found_from_here(tasks: Stage, tmp_path: Path) -> None:
    (tmp_path / "ctx").mkdir()
    assert tasks("run", "ctx", "-f", "acb.yaml")[0] == 0
    code, _, err = tasks("run", "ctx", "-f", "none.yaml")
    assert code == 3
    assert "none.yaml" in err


def test_standard_input_is_a_task_file(tasks: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TASK.encode())))
    assert tasks("run", "/dev/null", "-f", "-")[0] == 0


def test_one_command_keeps_to_its_place_in_the_task(tasks: Stage) -> None:
    code, _, err = tasks("run", "--cmd", "tool sh -c \"a: 'b' # c\"", "--timeout", "77")
    assert code == 0, err
    (request,) = tasks.sandbox.asked.containers
    assert request.args == ("sh", "-c", "a: 'b' # c")
    assert request.working_directory is None


def test_values_come_from_a_file_of_the_source(tasks: Stage, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("tag: nine\n")
    assert tasks("run", ".", "--values", "values.yaml")[0] == 0
    assert tasks.sandbox.asked.containers[0].image.endswith("/tool:vnine")


def test_secrets_are_masked_and_can_come_from_the_environment(
    tasks: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3tvalue")
    tasks.script(lambda request, _: Scripted(output=(("stdout", b"it is s3cr3tvalue\n"),)))
    code, out, err = tasks("run", ".", "--set-secret", "TOKEN")
    assert code == 0
    assert "it is" in out
    assert "s3cr3tvalue" not in out + err


def test_the_runs_time_is_exit_7(tasks: Stage) -> None:
    tasks.script(lambda request, _: Scripted(delay_s=30))
    code, out, _ = tasks("run", ".", "--timeout", "1", "-o", "json")
    assert code == 7
    assert json.loads(out)["status"] == "Timeout"


def test_ctrl_c_is_exit_130_and_a_canceled_record(tasks: Stage) -> None:
    def interrupt(request: ContainerRequest, _: int) -> Scripted:
        os.kill(os.getpid(), signal.SIGINT)
        return Scripted(delay_s=30)

    tasks.script(interrupt)
    code, out, err = tasks("run", ".", "-o", "json")
    assert code == 130
    assert json.loads(out)["status"] == "Canceled"
    assert "Canceling" in err
    assert tasks.sandbox.closed


def test_an_engine_that_does_not_answer_is_exit_5(
    tasks: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("the engine does not answer", hint="start it")

    monkeypatch.setattr(tasks.backend, "open", fail)
    code, out, err = tasks("run", ".", "-o", "json")
    assert code == 5
    assert "Error: the engine does not answer\nWhat to do: start it\n" in err
    record = json.loads(out)
    assert (record["status"], record["error"]["code"]) == ("Error", "unavailable")
    assert [step["status"] for step in record["steps"]] == ["Skipped", "Skipped"]


def test_a_fault_of_ours_still_gives_a_record(
    tasks: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(tasks.backend, "open", fail)
    code, out, err = tasks("run", ".", "-o", "json")
    assert code == 5
    assert json.loads(out)["status"] == "Error"
    assert "unexpected KeyError: 'oops'" in err


def test_an_unknown_backend_is_named(tasks: Stage) -> None:
    code, _, err = tasks("run", ".", "--backend", "nope")
    assert code == 2
    assert "there is no backend 'nope'" in err


def test_the_live_view_ends_in_the_same_summary(tasks: Stage) -> None:
    tasks.script(lambda request, _: Scripted(output=(("stdout", b"[b]out\n"),), delay_s=0.15))
    code, out, err = tasks("run", ".", "--progress", "tty", "--id", "r1")
    assert code == 0
    assert "first | [b]out\n" in out
    assert "Run r1  2 of 2 steps" in out
    assert "Run r1 succeeded after" in err


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    path = tmp_path / "app" / "Dockerfile"
    path.parent.mkdir()
    path.write_text("FROM scratch\n")
    return path


def test_a_build_is_two_steps_and_pushes(tasks: Stage, dockerfile: Path) -> None:
    code, out, err = tasks(
        "build", "app", "-t", "web:{{.Run.ID}}", "-t", "other.example/web", "-r", "reg.example",
        "--id", "r1", "--build-arg", "A=b c", "--label", "l=$x 'y'", "--target", "t",
        "--no-cache", "--pull", "--platform", "linux/amd64", "-o", "json",
    )  # fmt: skip
    assert code == 0, err
    (build,) = tasks.sandbox.asked.builds
    assert build.tags == ("reg.example/web:r1", "other.example/web:latest")
    assert build.build_args == (("A", "b c"),)
    assert build.labels == (("l", "$x 'y'"),)
    assert (build.target, build.pull, build.platforms) == ("t", True, ("linux/amd64",))
    assert build.no_cache == ()
    assert tasks.sandbox.asked.pushes == list(build.tags)
    record = json.loads(out)
    assert [step["id"] for step in record["steps"]] == ["build", "push"]
    assert [image["reference"] for image in record["outputImages"]] == list(build.tags)


def test_quiet_builds_print_what_they_pushed(tasks: Stage, dockerfile: Path) -> None:
    code, out, err = tasks("build", "app", "-t", "reg.example/web:1", "-q")
    assert (code, err) == (0, "")
    assert out.startswith("reg.example/web:1@sha256:")


@pytest.mark.parametrize("words", [[], ["-t", "web", "--no-push"]])
def test_a_build_without_name_or_with_no_push_does_not_push(
    tasks: Stage, dockerfile: Path, words: list[str]
) -> None:
    assert tasks("build", "app", *words)[0] == 0
    assert tasks.sandbox.asked.pushes == []


def test_a_name_without_registry_cannot_be_pushed(
    tasks: Stage, dockerfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKS_REGISTRY")
    code, _, err = tasks("build", "app", "-t", "web")
    assert code == 2
    assert "names no registry to push to" in err


@pytest.mark.parametrize("name", ["Bad/Name", "web:{{.Run.ID", "web:" + "x" * 200])
def test_an_impossible_name_is_refused(tasks: Stage, dockerfile: Path, name: str) -> None:
    code, _, err = tasks("build", "app", "-t", name, "-r", "reg.example")
    assert code == 2
    assert err.count("Error:") == 1


def test_secrets_of_a_build_reach_the_builder_only(
    tasks: Stage, dockerfile: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FROM_ENV", "env value")
    (tmp_path / "token").write_text("file value")
    words = ("--secret", "id=a,env=FROM_ENV", "--secret", "id=b,src=token")
    code, out, err = tasks("build", "app", *words, "-o", "json")
    assert code == 0, err
    (build,) = tasks.sandbox.asked.builds
    assert {secret.id for secret in build.secrets} == {"a", "b"}
    assert "value" not in out


def test_a_dockerfile_is_counted_from_here(tasks: Stage, dockerfile: Path) -> None:
    dockerfile.rename(dockerfile.with_name("Other"))
    assert tasks("build", "app", "-f", "app/Other")[0] == 0
    assert tasks.sandbox.asked.builds[0].dockerfile == "Other"
    code, _, err = tasks("build", "app")
    assert code == 3
    assert "there is no Dockerfile" in err
    code, _, err = tasks("build", "app", "-f", "acb.yaml")
    assert code == 2
    assert "outside the source" in err
