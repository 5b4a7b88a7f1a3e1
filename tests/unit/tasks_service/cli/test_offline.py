"""`tasks lint`, `render`, `plan` and `explain`: one pipeline, exit codes, outputs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tasks_service.cli.main import main

GOOD = "version: v1.1.0\nsteps:\n- id: one\n  cmd: img $ID $Commit {{.Values.x}}\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TASKS_REGISTRY", raising=False)
    monkeypatch.delenv("TASKS_IMAGE_ALIASES", raising=False)


def write(text: str, name: str = "acb.yaml") -> None:
    Path(name).write_text(text)


def test_lint_of_a_clean_file_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    write(GOOD)
    assert main(["lint"]) == 0
    assert capsys.readouterr() == ("", "")


def test_lint_knows_that_run_variables_will_be_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("version: v1.1.0\nsteps:\n- build: -t $Registry/a:$ID .\n- push: [$Registry/a:$ID]\n")
    assert main(["lint"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["lint", "--id", ""]) == 2


def test_warnings_pass_and_errors_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    write("steps: [{cmd: a, timout: 5}]\n", "w.yaml")
    write("steps: [{cmd: a, retries: -1}]\n", "e.yaml")
    assert main(["lint", "w.yaml"]) == 0
    assert main(["lint", "w.yaml", "e.yaml"]) == 2
    out = capsys.readouterr().out
    assert "w.yaml:1:18: warning TF408" in out
    assert "e.yaml:1:27: error TF520" in out
    assert out.endswith("1 error, 1 warning\n")


def test_all_forms_of_lint(capsys: pytest.CaptureFixture[str]) -> None:
    write("steps: [{cmd: a, timout: 5}]\n")
    for form in ("json", "sarif", "github"):
        assert main(["lint", "-o", form]) == 0
        out = capsys.readouterr().out
        if form == "github":
            assert out.startswith("::warning file=acb.yaml,line=1,col=18")
        else:
            assert json.loads(out)


def test_a_missing_file_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "gone.yaml"]) == 2
    assert "gone.yaml:1:1: error TF100 no such file" in capsys.readouterr().out
    assert main(["plan", "gone.yaml"]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["render", "gone.yaml"]) == 2
    assert "no such file" in capsys.readouterr().err
    write(GOOD)
    assert main(["render", "--values", "gone.yaml"]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["lint", "--values", "gone.yaml"]) == 2
    assert main(["lint", "."]) == 2


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stdin:
        buffer = io.BytesIO(b"steps: [{cmd: a, retries: -1}]\n")

    monkeypatch.setattr("sys.stdin", Stdin)
    assert main(["lint", "-"]) == 2
    assert "<stdin>:1:27" in capsys.readouterr().out


def test_render_applies_aliases_values_and_run_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(GOOD)
    write("x: fromfile\n", "v.yaml")
    assert main(["render", "--id", "r1", "--commit", "c0ffee", "--values", "v.yaml"]) == 0
    assert "cmd: img r1 c0ffee fromfile\n" in capsys.readouterr().out
    assert main(["render", "--set", "x=a", "--set", "x=b", "--id", "r1"]) == 0
    assert "cmd: img r1  b\n" in capsys.readouterr().out


def test_secrets_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    write("steps: [{cmd: 'a {{.Values.p}} {{.Values.p | b64enc}}', timout: '{{.Values.p}}'}]\n")
    for words in (["render"], ["plan"], ["plan", "-o", "json"], ["plan", "-o", "svg"], ["lint"]):
        assert main([*words, "--set-secret", "p=hush-hush"]) == 0
        shown = "".join(capsys.readouterr())
        assert "hush" not in shown
        assert "aHVzaC" not in shown


def test_render_fails_only_where_there_is_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    write("steps: [{cmd: a, retries: -1}]\n")
    assert main(["render"]) == 0
    write("a: {{ .Values.x.y }}\n")
    assert main(["render"]) == 2
    assert "acb.yaml:1:7: error TF301" in capsys.readouterr().err


def test_strict_makes_missing_values_errors() -> None:
    write(GOOD)
    assert main(["render", "--strict"]) == 2
    assert main(["render", "--strict", "--set", "x=1"]) == 0


def test_plan_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    write(GOOD)
    assert main(["plan"]) == 0
    assert "one  cmd: img" in capsys.readouterr().out
    assert main(["plan", "-o", "json", "--network", "ext", "--env", "A=1"]) == 0
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert (step["network"], step["env"]) == ("ext", {"A": "1"})
    assert main(["plan", "-o", "mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart")
    assert main(["plan", "-o", "svg"]) == 0
    ElementTree.fromstring(capsys.readouterr().out)


def test_a_plan_needs_no_run_for_the_names_of_its_images(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("version: v1.1.0\nsteps:\n- build: -t $Registry/a:$ID .\n- push: [$Registry/a:$ID]\n")
    assert main(["plan"]) == 0
    assert "registry.example/a:run1" in capsys.readouterr().out
    assert main(["plan", "--id", "r2", "-r", "reg.example"]) == 0
    assert "reg.example/a:r2" in capsys.readouterr().out


def test_plan_of_a_wrong_file_shows_all_problems(capsys: pytest.CaptureFixture[str]) -> None:
    write("steps: [{cmd: a, retries: -1, when: [zz]}]\n")
    assert main(["plan"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "TF520" in err
    assert "TF606" in err


def test_image_aliases_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    write("version: v1.1.0\nsteps: [{cmd: bash -c x}]\n")
    assert main(["plan", "--image-alias", "bash=my/bash:1"]) == 0
    assert "my/bash:1 -c x" in capsys.readouterr().out
    assert main(["plan", "--image-alias", "bash"]) == 2


def test_alias_sources_stay_below_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret.yaml").write_text("a: unreachable\n")
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    write("a: inside\n", "s.yaml")
    for name, code in (
        ("s.yaml", 0), ("../secret.yaml", 2), (str(tmp_path / "secret.yaml"), 2),
        ("http://h.example/x.yaml", 2), ("gone.yaml", 2),
    ):  # fmt: skip
        write(f"version: v1.1.0\nalias: {{src: ['{name}']}}\nsteps: [{{cmd: img $a}}]\n")
        assert main(["plan"]) == code, name
    assert "unreachable" not in "".join(capsys.readouterr())


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    for name, word in (
        ("steps.timeout", "Y-202"), ("timeout", "stepTimeout"), ("Run.ID", "$ID"),
        ("TF601", "duplicate id"), ("steps.cmd", "argument"), ("$Registry", "Login server"),
        ("{{.Run.Date}}", "UTC"), ("networks.isDefault", "last one"), ("shell-syntax", "shell"),
    ):  # fmt: skip
        assert main(["explain", name]) == 0
        assert word in capsys.readouterr().out
    assert main(["explain", "timout"]) == 2
    assert "did you mean 'steps.timeout'?" in capsys.readouterr().err
    assert main(["explain"]) == 0
    assert "steps.volumeMounts.mountPath" in capsys.readouterr().out
