"""The compatibility page says what the tests prove, and the runner of cases works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance import page
from tests.conformance.__main__ import main
from tests.conformance.cases import judge


def test_every_row_has_a_test() -> None:
    assert page.untested() == []


def test_the_page_is_fresh() -> None:
    assert page.main(["--check"]) == 0


def case(name: str, text: str, rc: object, **more: object) -> dict[str, object]:
    return {
        "kind": "exec", "name": name, "args": ["exec", "-f", "t.yaml", "--id", "R"],
        "files": {"t.yaml": text}, "rc": rc, "commands": [], "steps": [], **more,
    }  # fmt: skip


STEP = [["acb_step_0", "600", "", "acb_default_network"]]
NETWORK = ["docker network create acb_default_network --driver bridge"]
RUN = "/bin/sh -c docker run --rm --name acb_step_0 --env HOME=/acb/home --workdir /workspace "


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (case("same", "steps: [{cmd: a}]", 0, steps=STEP, commands=[*NETWORK, RUN + "a"]), "same"),
        (case("text", "steps: [{cmd: a}]", 0, steps=STEP, commands=[*NETWORK, RUN + "b"]), "WRONG"),
        (case("time", "steps: [{cmd: a, timeout: 5}]", 0, steps=STEP, commands=NETWORK), "WRONG"),
        (case("refused", "steps: [{id: a b, cmd: a}]", 1, error="spaces"), "same"),
        (case("accepted", "steps: [{cmd: a}]", 1, error="no"), "WRONG"),
        (case("keys", "steps: [{cmd: a, cmd: b}]", 0, steps=STEP), "differs"),
        (case("hang", "steps: [{id: a, cmd: a}, {cmd: b, when: [a, a]}]", "hang"), "differs"),
        ({"kind": "scan", "name": "x", "args": [], "rc": 0}, "n/a"),
    ],
)
def test_verdicts(given: dict[str, object], outcome: str) -> None:
    verdict = judge(given)
    assert verdict.outcome == outcome, verdict


def test_the_runner_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = tmp_path / "cases.jsonl"
    good = case("same", "steps: [{cmd: a}]", 0, steps=STEP, commands=[*NETWORK, RUN + "a"])
    cases.write_text(json.dumps(good) + "\n")
    assert main([str(cases)]) == 0
    assert "1 same, 0 differs, 0 n/a, 0 WRONG" in capsys.readouterr().out
    cases.write_text(json.dumps(case("wrong", "steps: [{cmd: a}]", 1)) + "\n")
    assert main([str(cases)]) == 1
    assert main([str(tmp_path / "none")]) == 2
