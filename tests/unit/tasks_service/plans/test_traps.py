"""Traps: right files that likely don't mean what they say."""

from __future__ import annotations

import pytest

from tests.unit.tasks_service.plans.make import compiled

R = "r.example.io"


@pytest.mark.parametrize(
    ("steps", "codes"),
    [
        # W-13: a parallel block and a step that waits for its last line only.
        ("[{id: a, cmd: x, when: ['-']}, {id: b, cmd: x, when: ['-']}, {cmd: y}]", ["TF901"]),
        ("[{id: a, cmd: x}, {id: b, cmd: x, when: [a]}, {cmd: y}]", []),
        ("[{id: a, cmd: x}, {id: b, cmd: x, when: [a]}, {id: c, cmd: x, when: [a]}, {cmd: y}]",
         ["TF901"]),
        ("[{id: a, cmd: x}, {cmd: y}, {cmd: z}]", []),
        # Builds and pushes.
        (f"[{{build: -t {R}/a:1 .}}]", ["TF904"]),
        (f"[{{build: -t {R}/a:1 .}}, {{push: ['{R}/a:1']}}]", []),
        (f"[{{build: -t {R}/a .}}, {{push: ['{R}/a:latest']}}]", []),
        (f"[{{build: --tag={R}/a:1 .}}, {{push: ['{R}/a:2']}}]", ["TF904", "TF905"]),
        (f"[{{build: -t {R}/a:1 .}}, {{cmd: '{R}/a:1 test'}}]", ["TF904"]),
        ("[{build: -t local .}, {cmd: local test}]", []),
        ("[{build: -t local .}]", ["TF904"]),
        ("[{push: ['a:1']}]", ["TF905"]),
        ("[{cmd: docker tag x a:1}, {push: ['a:1']}]", []),
        ("[{push: ['a:1'], retries: 3}]", ["TF903", "TF905"]),
        # Secrets in build arguments.
        ("[{build: '--build-arg NPM_TOKEN=x -t l .'}, {cmd: l}]", ["TF907"]),
        ("[{build: '--build-arg X={{.Values.p}} -t l .'}, {cmd: l}]", ["TF907"]),
        ("[{build: '--build-arg VERSION=1 -t l .'}, {cmd: l}]", []),
        ("[{cmd: a, privileged: true}]", ["TF906"]),
        ("[{cmd: a, network: nope}]", ["TF908"]),
        ("[{cmd: a, network: host}]", []),
    ],
)  # fmt: skip
def test_traps(steps: str, codes: list[str]) -> None:
    done = compiled(f"steps: {steps}\n", set_secrets=["p=hush-hush"])
    found = [problem.code for problem in done.problems if problem.code.startswith("TF9")]
    assert sorted(found) == codes
    assert all(p.severity == "warning" for p in done.problems if p.code.startswith("TF9"))


def test_retries_on_a_push_warn_once() -> None:
    done = compiled("steps: [{build: -t r.io/a .}, {push: [r.io/a], retries: 3, repeat: 1}]\n")
    assert [problem.code for problem in done.problems] == ["TF903", "TF903"]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("steps: [{cmd: a $Registry}]\n", ["TF902"]),
        ("version: V1.1.0\nsteps: [{cmd: a $ID}]\n", ["TF902"]),
        ("alias: {values: {a: b}}\nsteps: [{cmd: a}]\n", ["TF902"]),
        ("steps: [{cmd: a $HOME $$ID $IDx}]\n", []),
        ("version: v1.1.0\nsteps: [{cmd: a $ID}]\n", []),
    ],
)
def test_aliases_that_are_off(text: str, codes: list[str]) -> None:
    assert [problem.code for problem in compiled(text).problems] == codes


def test_unknown_variables_and_mistyped_values() -> None:
    text = "steps: [{cmd: 'a {{.Run.Comit}} {{ .Values.nmae }} {{.Values.other}}'}]\n"
    done = compiled(text, set_values=["name=1"])
    assert [(p.code, p.suggestion) for p in done.problems] == [
        ("TF306", "did you mean 'Commit'?"),
        ("TF909", "did you mean 'name'?"),
    ]
