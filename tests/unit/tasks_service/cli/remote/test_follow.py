"""A run of a server in the views of a local run; what signals do meanwhile."""

from __future__ import annotations

import io
import os
import signal
from typing import Any

import httpx2
import pytest

from runners.model.events import Notice, StepFinished, StepLog, StepStarted
from runners.model.status import RunStatus, StepStatus
from tasks_service.cli.options import RunOptions
from tasks_service.cli.output import PlainView, Streams
from tasks_service.cli.remote.follow import Detached, Translator, follow_run, watch
from tasks_service.cli.remote.outcome import Waiting, show_run
from tasks_service.cli.remote.record import result_of
from tasks_service.client.answers import RunAnswer
from tasks_service.client.following import EndEvent, LogEvent, Reconnecting, StatusEvent
from tests.unit.tasks_service.client.scripted import Scripted, event, events, log, reply

TIME = "2026-11-25T20:00:00.000Z"
DONE = {
    "id": "r1",
    "runId": "r1",
    "status": "Succeeded",
    "runType": "QuickRun",
    "createTime": TIME,
    "startTime": TIME,
    "finishTime": "2026-11-25T20:00:09.000Z",
    "source": {"location": "/dev/null", "commit": "", "branch": ""},
    "error": None,
    "steps": [
        {"id": "a", "kind": "cmd", "status": "Succeeded", "exitCode": 0, "startTime": TIME,
         "finishTime": "2026-11-25T20:00:05.000Z", "attempts": 1},
        {"id": "p", "kind": "push", "status": "Succeeded", "attempts": 1},
    ],
    "outputImages": [{"reference": "r:5000/a:1", "digest": "sha256:ab"}],
    "logState": "complete",
}  # fmt: skip


def step(name: str, status: str, attempts: int = 1, **more: Any) -> dict[str, Any]:
    started = None if status == "Pending" else TIME
    return {"id": name, "kind": "cmd", "status": status, "startTime": started,
            "attempts": attempts if started else 0, **more}  # fmt: skip


class Seen:
    def __init__(self) -> None:
        self.events: list[Any] = []
        self.graphs: list[list[tuple[str, tuple[str, ...]]]] = []
        self.translate = Translator("r1", self.events.append, self.begin)

    def begin(self, run_id: str, steps: list[Any]) -> None:
        self.graphs.append([(step.id, step.needs) for step in steps])

    def status(self, *steps: dict[str, Any], **more: Any) -> None:
        self.translate(StatusEvent({"status": "Running", "steps": list(steps), **more}))

    @property
    def kinds(self) -> list[str]:
        return [type(one).__name__ for one in self.events]


def test_the_graph_is_laid_out_once_and_edges_to_nowhere_are_dropped() -> None:
    seen = Seen()
    seen.translate(StatusEvent({"status": "Queued"}))
    seen.status(step("a", "Pending"), step("b", "Pending", needs=["a", "ghost", 5]))
    seen.status(step("a", "Running"), step("b", "Pending", needs=["a"]))
    assert seen.graphs == [[("a", ()), ("b", ("a",))]]


def test_steps_start_and_end_once_however_often_a_status_comes() -> None:
    seen = Seen()
    for _ in range(2):
        seen.status(step("a", "Running"))
    for _ in range(2):
        seen.status(step("a", "Failed", exitCode=3))
    assert seen.kinds == ["StepStarted", "StepFinished"]
    finished = seen.events[1]
    assert isinstance(finished, StepFinished)
    assert (finished.result.status, finished.result.exit_code) == (StepStatus.FAILED, 3)


def test_what_happened_between_two_looks_is_told_in_order() -> None:
    seen = Seen()
    seen.status(step("a", "Succeeded"), step("b", "Skipped", attempts=0, startTime=None))
    assert seen.kinds == ["StepStarted", "StepFinished", "StepFinished"]


def test_another_attempt_is_told() -> None:
    seen = Seen()
    seen.status(step("a", "Running", 1))
    seen.status(step("a", "Running", 2))
    attempts = [one.attempt for one in seen.events if isinstance(one, StepStarted)]
    assert attempts == [1, 2]


def test_the_place_in_the_queue_is_told_when_it_changes() -> None:
    seen = Seen()
    for position in (3, 3, 1):
        seen.status(queue={"position": position, "expectedWaitSeconds": 20.4})
    texts = [one.text for one in seen.events]
    assert texts == [
        "waiting for a worker: number 3 in the queue, about 20 s",
        "waiting for a worker: number 1 in the queue, about 20 s",
    ]


def test_lines_of_steps_are_logs_and_the_runs_own_words_are_notices() -> None:
    seen = Seen()
    body = {"number": 1, "step": "a", "stream": "stdout", "time": TIME, "text": "x\ny\n"}
    seen.translate(LogEvent.of(body))
    seen.translate(LogEvent.of(body | {"step": "", "stream": "system", "text": "one\ntwo\n"}))
    seen.translate(Reconnecting("gone"))
    seen.translate(EndEvent({"status": "Error", "logState": "lost"}))
    assert isinstance(seen.events[0], StepLog)
    assert seen.events[0].data == b"x\ny\n"
    notices = [(one.level, one.text) for one in seen.events[1:] if isinstance(one, Notice)]
    assert notices == [
        ("info", "one"),
        ("info", "two"),
        ("warning", "gone; trying again"),
        ("warning", "the log is not whole: lost"),
    ]


@pytest.mark.parametrize(
    "body",
    [{}, {"steps": 5}, {"steps": [5, {}, {"id": "a"}, {"id": "b", "status": "Odd"}]},
     {"queue": {"position": "x"}}, {"steps": [{"id": "a", "attempts": "x", "startTime": 5}]}],
)  # fmt: skip
def test_a_strange_status_breaks_nothing(body: dict[str, Any]) -> None:
    Seen().translate(StatusEvent(body))


def streams() -> Streams:
    return Streams(io.StringIO(), io.StringIO(), "never")


def test_a_run_is_followed_to_its_end_and_looks_like_a_local_one() -> None:
    running = event("status", status="Running", steps=[step("a", "Running")])
    ended = event("status", status="Succeeded", steps=DONE["steps"])
    server = Scripted(
        events(running, log(1, "hello\n", "a"), ended, event("end", logState="complete")),
        reply(200, DONE),
    )
    out = streams()
    view = PlainView(out)
    with view:
        run, interrupted = follow_run(server.client(), "r1", view, view)
    assert run.status is RunStatus.SUCCEEDED
    assert not interrupted
    assert isinstance(out.out, io.StringIO)
    assert out.out.getvalue() == "a | hello\n"
    assert isinstance(out.err, io.StringIO)
    assert "step a started" in out.err.getvalue()
    assert "step a succeeded after 5.0s" in out.err.getvalue()


def interrupting(server_events: httpx2.Response, number: int = signal.SIGINT) -> Any:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        os.kill(os.getpid(), number)
        return server_events

    return answer


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_watching_and_cancels_nothing(number: int, code: int) -> None:
    server = Scripted(interrupting(events(event("end")), number))
    view = PlainView(streams())
    with pytest.raises(Detached) as caught, view:
        follow_run(server.client(), "r1", view, view)
    assert caught.value.exit_code == code
    assert server.methods == ["GET"]


def test_ctrl_c_cancels_where_it_is_asked_to_and_goes_on_watching() -> None:
    server = Scripted(
        interrupting(events(event("end"))),
        reply(200, {"id": "r1", "status": "Running"}),
        events(event("end", logState="complete")),
        reply(200, {"id": "r1", "status": "Canceled"}),
    )
    view = PlainView(streams())
    with view:
        run, interrupted = follow_run(server.client(), "r1", view, view, cancel_on_interrupt=True)
    assert (run.status, interrupted) == (RunStatus.CANCELED, 130)
    assert [r.url.path.rpartition("/")[2] for r in server.requests] == [
        "stream", "cancel", "stream", "r1",
    ]  # fmt: skip


def test_the_handlers_of_signals_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    watch([EndEvent({})], lambda event: None)
    assert signal.getsignal(signal.SIGINT) is before


def shown(
    capsys: pytest.CaptureFixture[str], body: dict[str, Any], options: RunOptions, **waiting: Any
) -> tuple[int, str, str]:
    server = Scripted(events(event("end", logState="complete")), reply(200, body))
    queued = RunAnswer.of({"id": "r1", "status": "Queued"})
    code = show_run(server.client(), queued, options, Waiting(**waiting))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_end_tells_steps_images_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = shown(capsys, DONE, RunOptions(progress="plain"))
    assert code == 0
    assert out == ""
    assert "Queued a run with ID: r1" in err
    assert "r:5000/a:1@sha256:ab" in err
    assert "Run r1 succeeded after 9.0s" in err


def test_the_record_is_the_servers_whole_answer(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    code, out, _ = shown(capsys, DONE | {"pool": "default"}, RunOptions(output="json"))
    assert code == 0
    assert json.loads(out) == DONE | {"pool": "default"}


def test_quiet_prints_what_was_pushed_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, DONE, RunOptions(quiet=True)) == (0, "r:5000/a:1@sha256:ab\n", "")


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        ("Failed", {"code": "step_failed", "message": "step a: exit code 3"}, 1),
        ("Timeout", {"code": "run_timed_out", "message": "too long"}, 7),
        ("Canceled", {"code": "canceled", "message": "by a person"}, 6),
        ("Error", {"code": "runner_lost", "message": "gone"}, 5),
        ("Error", {"code": "invalid_task_file", "message": "line 3"}, 2),
    ],
)
def test_the_exit_code_is_that_of_the_run(
    status: str, error: dict[str, str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    body = DONE | {"status": status, "error": error}
    found, _, err = shown(capsys, body, RunOptions(progress="plain"))
    assert found == code
    assert error["message"] in err


def test_without_waiting_only_the_id_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = shown(capsys, DONE, RunOptions(), wait=False)
    assert (code, out) == (0, "r1\n")
    assert err == "Queued a run with ID: r1\n"


def test_any_shape_of_a_run_becomes_a_record() -> None:
    bare = RunAnswer.of({"id": "x", "status": "Queued"})
    assert result_of(bare).steps == []
    odd = {"id": "x", "status": "Error", "source": "text", "error": "text", "steps": {},
           "outputImages": [5, {}], "createTime": "yesterday"}  # fmt: skip
    assert result_of(RunAnswer.of(odd)).source == "text"
