from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from runners.backends.base import SandboxRequest
from runners.backends.fake import FakeBackend, FakeSandbox, Scripted
from runners.engine import execute_plan
from runners.model.cancellation import Cancellation
from runners.model.clock import ManualClock
from runners.model.errors import Canceled, RunnerLost, Unavailable
from runners.model.events import Event, Notice, StepFinished, StepLog, StepStarted
from runners.model.plan import Network, Plan, PlannedStep, Volume
from runners.model.record import RunResult
from runners.model.status import RunStatus, StepStatus
from runners.sandbox import ContainerRequest
from runners.steps import KINDS

Script = Callable[[ContainerRequest, int], Scripted]


def step(name: str, text: Any = "image true", kind: str = "cmd", **fields: Any) -> PlannedStep:
    parsed = KINDS[kind].parse(text)
    assert parsed.spec is not None, parsed.problems
    return PlannedStep(id=name, kind=kind, spec=parsed.spec, **fields)


class Run:
    """One walk over a fake sandbox, its events kept."""

    def __init__(self, *steps: PlannedStep, script: Script | None = None, **plan: Any) -> None:
        self.clock = ManualClock()
        self.cancel = Cancellation()
        self.events: list[Event] = []
        backend = FakeBackend(script or (lambda *_: Scripted()), clock=self.clock)
        sandbox = backend.open(SandboxRequest("r1"), self.cancel)
        assert isinstance(sandbox, FakeSandbox)
        self.sandbox = sandbox
        self.plan = Plan(steps, **plan)
        self.result = RunResult("r1")

    def go(self, timeout_s: float | None = None) -> RunResult:
        return execute_plan(
            self.plan,
            self.sandbox,
            result=self.result,
            sink=self.events.append,
            cancel=self.cancel,
            timeout_s=timeout_s,
            clock=self.clock,
        )

    def start(self, timeout_s: float | None = None) -> threading.Thread:
        thread = threading.Thread(target=self.go, args=(timeout_s,))
        thread.start()
        return thread

    def statuses(self) -> dict[str, str]:
        return {step.id: str(step.status) for step in self.result.steps}

    def output(self, step_id: str) -> bytes:
        logs = [e for e in self.events if isinstance(e, StepLog) and e.step_id == step_id]
        return b"".join(log.data for log in logs)


def exits(**codes: int | list[int]) -> Script:
    """Exit with the given code, or with one a run; others exit 0."""

    def script(request: ContainerRequest, attempt: int) -> Scripted:
        code = codes.get(request.name, 0)
        return Scripted(code if isinstance(code, int) else code[attempt - 1])

    return script


def order(run: Run) -> list[str]:
    return [request.name for request in run.sandbox.asked.containers]


def test_steps_run_in_the_order_of_their_needs() -> None:
    run = Run(step("a"), step("b", needs=("a",)), step("c", needs=("b",)))
    assert run.go().status is RunStatus.SUCCEEDED
    assert order(run) == ["a", "b", "c"]


def test_a_step_waits_for_all_it_needs() -> None:
    run = Run(step("a"), step("b"), step("c", needs=("a", "b")))
    run.go()
    assert order(run)[-1] == "c"
    assert len(order(run)) == 3


def test_steps_without_needs_run_side_by_side() -> None:
    together = threading.Barrier(8, timeout=10)

    def script(request: ContainerRequest, attempt: int) -> Scripted:
        together.wait()
        return Scripted()

    run = Run(*(step(f"s{n}") for n in range(8)), script=script)
    assert run.go().status is RunStatus.SUCCEEDED


def test_a_diamond_starts_its_end_once() -> None:
    for _ in range(50):
        run = Run(
            step("a"), step("b", needs=("a",)), step("c", needs=("a",)), step("d", needs=("b", "c"))
        )
        run.go()
        assert order(run).count("d") == 1


def test_an_empty_plan_succeeds() -> None:
    assert Run().go().status is RunStatus.SUCCEEDED


def test_a_failure_skips_what_has_not_started() -> None:
    run = Run(step("a"), step("b", needs=("a",)), step("c", needs=("b",)), script=exits(a=3))
    result = run.go()
    assert result.status is RunStatus.FAILED
    assert run.statuses() == {"a": "Failed", "b": "Skipped", "c": "Skipped"}
    assert result.steps[0].exit_code == 3
    assert result.error == "step 'a' exited with code 3"
    assert result.error_code == "step_failed"


def test_a_failure_stops_what_runs() -> None:
    def script(request: ContainerRequest, attempt: int) -> Scripted:
        return Scripted(delay_s=60) if request.name == "slow" else Scripted(1, delay_s=5)

    run = Run(step("slow"), step("bad"), script=script)
    thread = run.start()
    assert run.clock.await_timer(60)
    assert run.clock.await_timer(5)
    run.clock.advance(5)
    thread.join(10)
    assert run.statuses() == {"slow": "Stopped", "bad": "Failed"}
    assert "'bad'" in run.result.steps[0].error


def test_every_step_reports_its_end_once() -> None:
    run = Run(step("a"), step("b", needs=("a",)), script=exits(a=1))
    run.go()
    ends = [event.result.id for event in run.events if isinstance(event, StepFinished)]
    assert sorted(ends) == ["a", "b"]


def test_an_ignored_failure_lets_the_run_go_on() -> None:
    run = Run(step("a", ignore_errors=True), step("b", needs=("a",)), script=exits(a=3))
    assert run.go().status is RunStatus.SUCCEEDED
    first = run.result.steps[0]
    assert (first.status, first.ignored, first.exit_code) == (StepStatus.SUCCEEDED, True, 3)


def test_a_lost_runner_is_never_ignored() -> None:
    def script(request: ContainerRequest, attempt: int) -> Scripted:
        return Scripted(error=RunnerLost("the engine is gone"))

    run = Run(step("a", ignore_errors=True), script=script)
    assert run.go().status is RunStatus.ERROR
    assert run.statuses() == {"a": "Error"}


def test_retries_repeat_a_failed_attempt_after_the_delay() -> None:
    run = Run(step("a", retries=2, retry_delay_s=7), script=exits(a=[1, 1, 0]))
    thread = run.start()
    for _ in range(2):
        assert run.clock.await_timer(7)
        run.clock.advance(7)
    thread.join(10)
    assert run.result.status is RunStatus.SUCCEEDED
    assert run.result.steps[0].attempts == 3
    started = [event.attempt for event in run.events if isinstance(event, StepStarted)]
    assert started == [1, 2, 3]


@pytest.mark.parametrize(("text", "attempts"), [(b"try again", 2), (b"broken", 1)])
def test_retry_on_errors_retries_only_where_the_text_was_seen(text: bytes, attempts: int) -> None:
    def script(request: ContainerRequest, attempt: int) -> Scripted:
        pieces = (("stderr", text[:4]), ("stderr", text[4:]))
        return Scripted(1, output=pieces)

    run = Run(step("a", retries=1, retry_delay_s=0, retry_on_errors=("again",)), script=script)
    run.go()
    assert run.result.steps[0].attempts == attempts


def test_repeat_runs_all_rounds_even_after_a_failed_one() -> None:
    run = Run(step("a", repeat=2), script=exits(a=[0, 5, 0]))
    assert run.go().status is RunStatus.FAILED
    assert run.result.steps[0].attempts == 3
    assert "exited with code 5" in run.result.error


def test_every_round_has_its_own_retries() -> None:
    run = Run(step("a", repeat=1, retries=1, retry_delay_s=0), script=exits(a=[1, 0, 1, 0]))
    assert run.go().status is RunStatus.SUCCEEDED
    assert run.result.steps[0].attempts == 4


def test_retries_do_not_apply_to_a_push() -> None:
    run = Run(step("p", ["nowhere/x"], "push", retries=3))
    assert run.go().status is RunStatus.FAILED
    assert run.sandbox.asked.pushes == ["nowhere/x:latest"]


@pytest.mark.parametrize(
    ("fields", "code", "status"),
    [
        ({"exited_with": (0, 3)}, 3, RunStatus.SUCCEEDED),
        ({"exited_with": (3,)}, 0, RunStatus.FAILED),
        ({"exited_without": (2,)}, 1, RunStatus.SUCCEEDED),
        ({"exited_without": (2,)}, 2, RunStatus.FAILED),
    ],
)
def test_exited_with_and_without_say_what_success_is(
    fields: dict[str, Any], code: int, status: RunStatus
) -> None:
    run = Run(step("a", **fields), script=exits(a=code))
    assert run.go().status is status


def test_the_step_clock_covers_all_attempts() -> None:
    def script(request: ContainerRequest, attempt: int) -> Scripted:
        return Scripted(1, delay_s=40)

    run = Run(step("a", timeout_s=60, retries=5, retry_delay_s=0), script=script)
    thread = run.start()
    assert run.clock.await_timer(40)
    run.clock.advance(40)
    assert run.clock.await_timer(40)
    run.clock.advance(20)
    thread.join(10)
    assert run.statuses() == {"a": "Timeout"}
    assert run.result.status is RunStatus.FAILED
    assert run.result.error_code == "step_timed_out"
    assert run.result.steps[0].attempts == 2


def test_the_start_delay_is_not_on_the_step_clock() -> None:
    run = Run(step("a", start_delay_s=100, timeout_s=10))
    thread = run.start()
    assert run.clock.await_timer(100)
    run.clock.advance(100)
    thread.join(10)
    assert run.result.status is RunStatus.SUCCEEDED


def test_cancel_interrupts_a_start_delay() -> None:
    run = Run(step("a", start_delay_s=100))
    thread = run.start()
    assert run.clock.await_timer(100)
    run.cancel.cancel(Canceled("by the user"))
    thread.join(10)
    assert run.result.status is RunStatus.CANCELED
    assert run.statuses() == {"a": "Canceled"}


def test_cancel_before_the_start_runs_nothing() -> None:
    run = Run(step("a"))
    run.cancel.cancel()
    assert run.go().status is RunStatus.CANCELED
    assert run.statuses() == {"a": "Skipped"}


def test_the_run_clock_ends_the_run_as_timeout() -> None:
    run = Run(step("a"), step("b", needs=("a",)), script=lambda *_: Scripted(delay_s=500))
    thread = run.start(timeout_s=30)
    assert run.clock.await_timer(500)
    run.clock.advance(30)
    thread.join(10)
    assert run.result.status is RunStatus.TIMEOUT
    assert run.statuses() == {"a": "Timeout", "b": "Skipped"}
    assert run.result.error_code == "run_timed_out"


def test_an_absent_registry_is_our_error() -> None:
    def script(request: ContainerRequest, attempt: int) -> Scripted:
        return Scripted(error=Unavailable("registry does not answer"))

    run = Run(step("a"), script=script)
    assert run.go().status is RunStatus.ERROR


def test_an_unforeseen_exception_is_our_error_and_no_traceback() -> None:
    def script(request: ContainerRequest, attempt: int) -> Scripted:
        raise ZeroDivisionError("oops")

    run = Run(step("a"), step("b", needs=("a",)), script=script)
    assert run.go().status is RunStatus.ERROR
    assert "ZeroDivisionError" in run.result.error
    assert run.statuses() == {"a": "Error", "b": "Skipped"}


def test_output_is_masked_and_its_last_line_comes_before_the_end() -> None:
    def script(request: ContainerRequest, attempt: int) -> Scripted:
        return Scripted(
            1, output=(("stdout", b"a tops"), ("stdout", b"ecret-1\nla"), ("stdout", b"st"))
        )

    run = Run(step("a"), script=script, secrets={"s": "topsecret-1"})
    run.go()
    assert run.output("a") == b"a ***\nlast"
    kinds = [type(event) for event in run.events]
    assert kinds.index(StepFinished) > max(n for n, k in enumerate(kinds) if k is StepLog)


def test_secrets_are_masked_in_errors() -> None:
    def script(request: ContainerRequest, attempt: int) -> Scripted:
        return Scripted(error=Unavailable("https://u:topsecret-1@host does not answer"))

    run = Run(step("a"), script=script, mask=("topsecret-1",))
    run.go()
    assert "topsecret-1" not in run.result.error + run.result.steps[0].error


def test_short_secrets_are_warned_about() -> None:
    run = Run(secrets={"s": "abc"})
    run.go()
    (notice,) = [event for event in run.events if isinstance(event, Notice)]
    assert notice.level == "warning"


def test_networks_and_volumes_come_before_the_steps() -> None:
    run = Run(
        step("a"),
        networks=(Network("n"), Network("theirs", skip_creation=True)),
        volumes=(Volume("v", {"k": b"x"}),),
    )
    run.go()
    assert [network.name for network in run.sandbox.asked.networks] == ["n"]
    assert [volume.name for volume in run.sandbox.asked.volumes] == ["v"]


def test_the_next_step_is_prepared_while_its_only_need_runs() -> None:
    run = Run(step("a"), step("b", needs=("a",)), step("c", needs=("b",)))
    run.go()
    assert [request.name for request in run.sandbox.asked.prepared] == ["b", "c"]


def test_the_sandbox_stays_open() -> None:
    run = Run(step("a"))
    run.go()
    assert not run.sandbox.closed
