"""The JSON Schema and the parser agree, on a corpus and on generated files."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.steps import KINDS
from tasks_service.plans import reference, schema
from tasks_service.plans.model import SECTIONS
from tasks_service.plans.values import plain_value
from tasks_service.plans.yaml_nodes import YamlProblem, parse_yaml
from tests.unit.tasks_service.plans.make import compiled

VALIDATOR = jsonschema.Draft202012Validator(schema.task_schema())
FORM = {
    "TF203", "TF410", "TF412", "TF414", "TF502", "TF503", "TF507", "TF508", "TF510", "TF511",
    "TF520", "TF523", "TF524", "TF526", "TF528", "TF531", "TF532", "TF533", "TF602",
}  # fmt: skip
"""Errors about a file's form, that a schema can tell; TF507 and TF503 in part."""
PARTLY = {"TF503", "TF507", "TF508", "TF528"}


def data_of(text: str) -> Any:
    root = parse_yaml(text)
    return None if root is None else plain_value(root)


def check_agreement(text: str) -> None:
    data = data_of(text)
    if data is None:
        return
    done = compiled(text)
    refused = [error.message for error in VALIDATOR.iter_errors(data)]
    if refused:
        assert done.problems, f"the schema alone refuses {text!r}: {refused}"
    form = {problem.code for problem in done.errors} & (FORM - PARTLY)
    if form:
        assert refused, f"the parser alone refuses {text!r}: {sorted(form)}"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.task_schema())


def test_the_committed_files_are_fresh() -> None:
    assert schema.main(["--check"]) == 0
    assert reference.stale() == []


def test_every_property_is_described() -> None:
    made = schema.task_schema()
    for section, properties in SECTIONS.items():
        place = made if section == "task" else made["$defs"][section]
        for item in properties:
            assert place["properties"][item.name]["description"]
    assert set(KINDS) <= set(made["$defs"]["step"]["properties"])
    step = made["$defs"]["step"]["properties"]
    assert step["volumeMount"]["deprecated"]
    assert step["retryDelay"]["default"] == 5
    assert json.loads(schema.schema_text()) == made


VALUES = [
    "~", "true", "yes", "5", "0", "-1", "1.5", "1.0", "text", "''", "a b", "enabled", "Default",
    "hyperv", "v1.1.0", "V1.0.0", "[]", "{}", "[~]", "[a]", "[a, a]", "[5]", "['-']", "['-', a]",
    "[true]", "[[a]]", "[{}]", "{a: b}", "[A=1]", "[A]", "{name: v, mountPath: /x}",
    "[{name: v, mountPath: /x}]", "[{name: v}]", "{a.txt: aGk=}", "{a/b: aGk=}", "80", "['80:80']",
    "'5'", "99999999999999999999", "2020-01-01", "[1.5]", "env:X", "x/y", "acb_root2",
]  # fmt: skip
NAMES = {section: [item.name for item in items] for section, items in SECTIONS.items()}


@pytest.mark.parametrize("name", [*NAMES["step"], *KINDS, "timout"])
def test_every_step_property_with_every_value(name: str) -> None:
    base = "" if name in KINDS else "  cmd: img\n"
    for value in VALUES:
        check_agreement(
            "volumes: [{name: v, secret: {a: aGk=}}]\nsteps:\n- id: a\n  cmd: i\n"
            f"- {name}: {value}\n{base}"
        )


@pytest.mark.parametrize("name", [*NAMES["task"], "x-mine", "stepTimout"])
def test_every_task_property_with_every_value(name: str) -> None:
    rest = "" if name == "steps" else "steps: [{cmd: img}]\n"
    for value in VALUES:
        check_agreement(f"{name}: {value}\n{rest}")


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("secrets", "id: s, keyvault: 'env:X', "),
        ("networks", "name: n, "),
        ("volumes", "name: v, secret: {a: aGk=}, "),
    ],
)
def test_every_property_of_sections(section: str, entry: str) -> None:
    for name, value in product(NAMES[section.removesuffix("s")], VALUES):
        kept = ", ".join(p for p in entry.split(", ") if p and not p.startswith(f"{name}:"))
        text = f"{section}: [{{{kept}, {name}: {value}}}]\nsteps: [{{cmd: img}}]\n"
        try:
            check_agreement(text)
        except YamlProblem:
            continue


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 100),
    st.sampled_from(["a", "", "x y", "enabled", "-"]),
)
ANY = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3),
                                     st.dictionaries(st.sampled_from("abc"), inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip
STEP = st.dictionaries(st.sampled_from([*NAMES["step"], *KINDS, "nope"]), ANY, max_size=4)
TASK = st.fixed_dictionaries(
    {"steps": st.lists(STEP, max_size=3)},
    optional={name: ANY for name in NAMES["task"] if name != "steps"},
)


@given(TASK)
@settings(max_examples=250, deadline=None)
def test_generated_files(task: dict[str, Any]) -> None:
    check_agreement(json.dumps(task))
