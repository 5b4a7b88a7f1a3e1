"""What a run shows: plain lines, JSON events, summary, record."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from runners.model.events import (
    BuildProgress,
    Notice,
    StepFinished,
    StepLog,
    StepStarted,
)
from runners.model.plan import PlannedStep
from runners.model.record import PushedImage, RunResult, StepOutcome, StepResult
from runners.model.status import RunStatus, StepStatus
from tasks_service.cli.live import LiveView, graph_depths
from tasks_service.cli.output import (
    JSONView,
    PlainView,
    QuietView,
    Streams,
    Writer,
    error_detail,
)
from tasks_service.cli.summary import print_record, print_summary, table

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def step(name: str, *needs: str) -> PlannedStep:
    return PlannedStep(name, "cmd", None, needs=needs)


def result(name: str, status: StepStatus = StepStatus.SUCCEEDED, **more: object) -> StepResult:
    later = NOW + timedelta(seconds=2)
    return StepResult(name, "cmd", status, started=NOW, finished=later, **more)  # type: ignore[arg-type]


@pytest.fixture
def streams() -> Streams:
    return Streams(io.StringIO(), io.StringIO(), "never")


def text(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_plain_lines_are_aligned_and_apart_from_our_words(streams: Streams) -> None:
    view = PlainView(streams)
    view.begin("r1", [step("a"), step("longer")])
    view(StepStarted(NOW, "a", 1))
    view(StepLog(NOW, "a", "stdout", b"one\ntwo\n"))
    view(StepLog(NOW, "longer", "stderr", b"no newline"))
    view(StepFinished(NOW, result("a", exit_code=3, attempts=2)))
    view(Notice(NOW, "careful", "warning"))
    assert text(streams.out) == "a      | one\na      | two\nlonger | no newline\n"
    assert text(streams.err) == (
        "step a started\nstep a succeeded after 2.0s (exit code 3, 2 attempts)\nwarning: careful\n"
    )


def test_markup_and_control_sequences_are_text(streams: Streams) -> None:
    view = PlainView(streams)
    view(StepLog(NOW, "a", "stdout", b"[red]x[/red] \x1b[2J\x1b[31my\xff\n"))
    assert text(streams.out) == "a | [red]x[/red] y\ufffd\n"


def test_build_vertices_are_told_once_a_state(streams: Streams) -> None:
    view = PlainView(streams)
    view.begin("r1", [step("b")])
    for state, current in (("running", 0), ("done", 5), ("running", 5), ("done", 5)):
        view(BuildProgress(NOW, "b", "sha", "[1/2] FROM x", state, current, 9, 1.5))
    view(BuildProgress(NOW, "b", "other", "[2/2] RUN y", "cached"))
    assert text(streams.out) == (
        "b | => [1/2] FROM x\nb | => [1/2] FROM x: done 1.5s\nb | => [2/2] RUN y: cached\n"
    )


def test_no_logs_hides_output_only(streams: Streams) -> None:
    view = PlainView(streams, logs=False)
    view(StepLog(NOW, "a", "stdout", b"one\n"))
    view(StepStarted(NOW, "a", 2))
    assert text(streams.out) == ""
    assert text(streams.err) == "step a started, attempt 2\n"


def test_quiet_shows_warnings_only(streams: Streams) -> None:
    view = QuietView(streams)
    view(Notice(NOW, "fine"))
    view(StepLog(NOW, "a", "stdout", b"one\n"))
    view(Notice(NOW, "bad", "error"))
    assert text(streams.out) == ""
    assert text(streams.err) == "error: bad\n"


def test_json_events_are_one_object_a_line(streams: Streams) -> None:
    view = JSONView(streams)
    view.begin("r1", [step("a"), step("b", "a")])
    view(StepLog(NOW, "a", "stdout", b"x\xff\n"))
    view(StepFinished(NOW, result("a")))
    first, log, end = (json.loads(line) for line in text(streams.out).splitlines())
    assert first["steps"][1]["needs"] == ["a"]
    assert (log["type"], log["data"]) == ("StepLog", "x\ufffd\n")
    assert end["step"]["status"] == "Succeeded"


def test_a_lost_reader_is_no_error() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            raise OSError

    writer = Writer(Gone())
    writer.write("x")
    writer.write("y")


def test_a_narrow_encoding_is_no_error() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Writer(stream).write("✔ x\n")
    assert raw.getvalue() == b"? x\n"


def finished_run() -> RunResult:
    image = PushedImage("localhost:5000/app:1", "sha256:" + "a" * 64, 10)
    run = RunResult("r1", RunStatus.FAILED, started=NOW, finished=NOW + timedelta(seconds=70))
    run.steps = [
        result("push", outcome=StepOutcome(pushed=(image,))),
        result("test", StepStatus.FAILED, exit_code=3, detail="last words"),
        StepResult("late", "cmd", StepStatus.SKIPPED),
    ]
    run.error, run.error_code = "step 'test' failed", "step_failed"
    return run


def test_the_summary_tells_every_step_and_image(streams: Streams) -> None:
    print_summary(finished_run(), streams)
    lines = text(streams.err).splitlines()
    assert lines[0].split() == ["+", "push", "succeeded", "2.0s"]
    assert lines[1].split() == ["x", "test", "failed", "2.0s", "(exit", "code", "3)"]
    assert lines[2].split() == ["-", "late", "skipped"]
    assert lines[3:5] == ["Pushed:", "  localhost:5000/app:1@sha256:" + "a" * 64]
    assert lines[5] == "Run r1 failed after 1m10s"
    assert text(streams.out) == ""


def test_the_detail_of_the_failing_step_is_found() -> None:
    assert error_detail(finished_run()) == "last words"


def test_records_are_exact(capsys: pytest.CaptureFixture[str]) -> None:
    run = finished_run()
    print_record(run, "json")
    assert json.loads(capsys.readouterr().out) == run.to_json()
    print_record(run, "yaml")
    assert yaml.safe_load(capsys.readouterr().out) == run.to_json()


def test_the_table_has_a_line_for_each_step() -> None:
    lines = table(finished_run()).splitlines()
    assert "Status:    Failed" in lines
    assert any(line.split() == ["test", "cmd", "Failed", "3", "2.0s"] for line in lines)


def test_a_chain_stays_flat_and_a_fork_goes_in() -> None:
    chain = [step("a"), step("b", "a"), step("c", "b")]
    assert graph_depths(chain) == {"a": 0, "b": 0, "c": 0}
    fork = [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")]
    assert graph_depths(fork) == {"a": 0, "b": 1, "c": 1, "d": 0}
    roots = [step("a"), step("b"), step("join", "a", "b")]
    assert graph_depths(roots) == {"a": 1, "b": 1, "join": 0}


def test_the_live_region_shows_state_vertex_and_needs() -> None:
    out = io.StringIO()
    view = LiveView(Streams(out, io.StringIO(), "never"))
    view.begin("r1", [step("a"), step("b", "a")])
    view(StepStarted(NOW, "a", 1))
    view(BuildProgress(NOW, "a", "v", "[1/2] RUN [bold]x", "running", 1500, 3000))
    lines = [line.plain for line in view.render().renderables]  # type: ignore[attr-defined]
    assert "running" in lines[0]
    assert "[1/2] RUN [bold]x  1.5 kB / 3.0 kB" in lines[0]
    assert "waiting" in lines[1]
    assert "after a" in lines[1]
    assert "0 of 2 steps" in lines[2]


def test_the_live_view_writes_logs_as_they_are() -> None:
    out = io.StringIO()
    with LiveView(Streams(out, io.StringIO(), "never")) as view:
        view.begin("r1", [step("a")])
        view(StepLog(NOW, "a", "stdout", b"[red]x[/red] :smile: \x1b[2J\n"))
    assert "a | [red]x[/red] :smile: \n" in out.getvalue()


def test_many_steps_are_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "12")
    view = LiveView(Streams(io.StringIO(), io.StringIO(), "never"))
    view.begin("r1", [step(f"s{n}") for n in range(100)])
    view(StepStarted(NOW, "s50", 1))
    lines = [line.plain for line in view.render().renderables]  # type: ignore[attr-defined]
    assert len(lines) <= 12
    assert any("s50" in line and "running" in line for line in lines)
    assert "and 92 waiting" in lines[-2]
