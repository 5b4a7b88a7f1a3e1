"""YAML to a task file: merges, duplicates, types, as the original decodes them."""

from __future__ import annotations

import pytest

from tests.unit.tasks_service.plans.make import compiled, found, plan


def test_anchors_and_merges_work() -> None:
    text = (
        "x-base: &base {timeout: 5, env: [A=1]}\nx-more: &more {timeout: 6, retries: 2}\n"
        "steps:\n- {<<: *base, cmd: a}\n- {<<: [*base, *more], cmd: b}\n"
        "- {<<: *base, cmd: c, timeout: 9}\n- &last {cmd: d}\n- *last\n"
    )
    steps = plan(text).steps
    assert [step.timeout_s for step in steps] == [5, 5, 9, 600, 600]
    assert [step.retries for step in steps] == [0, 2, 0, 0, 0]
    assert steps[4].id == "acb_step_4"


def test_a_merge_that_replaces_a_key_counts_and_warns() -> None:
    text = "x-b: &b {timeout: 5}\nsteps:\n- {timeout: 9, <<: *b, cmd: a}\n"
    assert plan(text).steps[0].timeout_s == 5
    assert found(text) == ["3:4 TF411"]


def test_problems_of_a_shared_node_stand_at_the_node() -> None:
    text = "x-b: &b {timout: 5}\nsteps:\n- {<<: *b, cmd: a}\n- {<<: *b, cmd: b}\n"
    assert found(text) == ["1:10 TF408"]


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("steps: []\nsteps: []\n", "2:1"),
        ("steps:\n- cmd: a\n  id: x\n  cmd: b\n", "4:3"),
        ("volumes: [{name: v, secret: {a: aGk=, a: aGk=}}]\nsteps: []\n", "1:39"),
        ("networks: [{name: a, name: b}]\nsteps: []\n", "1:22"),
    ],
)
def test_duplicate_keys(text: str, position: str) -> None:
    done = compiled(text)
    assert found(text) == [f"{position} TF407"]
    assert "first on line" in done.problems[0].message


@pytest.mark.parametrize(
    "text",
    [
        "steps: [~]\n", "steps: [{cmd: a, when: [~]}]\n", "secrets: [~]\nsteps: []\n",
        "volumes: [null]\nsteps: []\n", "networks: [ ]\nenv: [~]\nsteps: []\n",
        "networks:\n-\nsteps: []\n", "steps: [{push: [a, ~]}]\n",
    ],
)  # fmt: skip
def test_null_items_are_errors_with_a_line(text: str) -> None:
    (problem,) = compiled(text).errors
    assert problem.code == "TF414"
    assert problem.line >= 1


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("steps: [{push: img}]\n", "write it as a list: [img]"),
        ("steps: [{cmd: a, timeout: '60'}]\n", "write it without quotes: 60"),
        ("steps: {cmd: a}\n", "put '- ' before each entry"),
        ("steps: [{cmd: a, cache: enable}]\n", "did you mean 'enabled'?"),
    ],
)
def test_type_errors_say_what_to_write(text: str, hint: str) -> None:
    assert compiled(text).errors[0].suggestion == hint


def test_null_means_absent_for_every_property() -> None:
    names = "id when timeout retries retryDelay env ports network cpus user detach volumeMounts"
    text = "steps:\n- cmd: a\n" + "".join(f"  {name}: ~\n" for name in names.split())
    assert compiled(text).problems == ()
    assert plan(text).steps[0].retry_delay_s == 5


def test_messages_hold_nothing_a_terminal_obeys() -> None:
    done = compiled('steps: [{id: "\\e[31m\\u202e\\u009b", cmd: a}, {cmd: b, "\\e]0;x": 1}]\n')
    assert done.problems
    for problem in done.problems:
        assert problem.headline().isprintable()
    (problem,) = compiled("steps: [\u202e x: 1]\n").errors[:1]
    assert "\u202e" not in problem.text()
