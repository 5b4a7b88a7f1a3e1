from __future__ import annotations

import pytest

from runners.backends.fake import Scripted
from runners.clients.docker_sdk import EngineError
from runners.model.errors import InvalidInput, RunnerLost, StepFailed
from runners.model.status import RunStatus
from tests.unit.runners.engine.test_walk import Run, step


def ended(scripted: Scripted, limits: str = "") -> Run:
    run = Run(step("a"), script=lambda *_: scripted)
    run.sandbox.limits_hit = limits
    run.go()
    return run


@pytest.mark.parametrize(
    ("said", "option"),
    [
        (b"dd: error writing '/x': No space left on device\n", "--disk"),
        (b"sh: can't fork: Resource temporarily unavailable\n", "--pids"),
        (b"fatal: Out of memory, malloc failed\n", "--memory"),
    ],
)
def test_what_a_failing_step_said_last_tells_which_limit_to_raise(said: bytes, option: str) -> None:
    result = ended(Scripted(1, (("stderr", said),))).result
    assert option in result.hint
    assert result.status is RunStatus.FAILED


def test_a_killed_step_is_told_that_memory_is_the_usual_reason() -> None:
    assert "--memory" in ended(Scripted(137)).result.hint


def test_a_limit_that_was_hit_is_named() -> None:
    result = ended(Scripted(2), "the run reached its limit of processes").result
    assert result.error == "step 'a' exited with code 2; the run reached its limit of processes"
    assert "--pids" in result.hint


def test_a_plain_failure_stays_as_it_is() -> None:
    result = ended(Scripted(2, (("stdout", b"2 tests failed\n"),))).result
    assert (result.error, result.hint) == ("step 'a' exited with code 2", "")


def test_a_hint_that_is_there_stays() -> None:
    failed = StepFailed("it failed", hint="do this", exit_code=137)
    assert ended(Scripted(error=failed)).result.hint == "do this"
    assert ended(Scripted(error=InvalidInput("no"))).result.hint == ""


def test_output_of_an_attempt_before_is_not_taken_for_the_last() -> None:
    runs = [Scripted(1, (("stderr", b"No space left on device\n"),)), Scripted(1)]
    run = Run(step("a", retries=1, retry_delay_s=0), script=lambda _, attempt: runs[attempt - 1])
    run.go()
    assert run.result.hint == ""


def test_a_disk_that_is_too_full_for_the_engine_is_the_runs_doing() -> None:
    refused = EngineError("creating the container", 500, "mkdir /x: no space left on device")
    result = ended(Scripted(error=refused)).result
    assert result.status is RunStatus.FAILED
    assert "--disk" in result.hint


def test_a_dead_engine_is_told_in_words_of_the_run() -> None:
    gone = RunnerLost("waiting for it: the engine is gone (FileNotFoundError: 'root')")
    run = ended(Scripted(error=gone), "the run reached its limit of memory")
    assert run.result.error == (
        "the run's engine died while step 'a' ran; the run reached its limit of memory"
    )
    assert "run it again" in run.result.hint
    assert run.result.status is RunStatus.ERROR
    assert run.result.steps[0].detail == gone.message
