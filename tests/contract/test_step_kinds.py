"""The contract of StepKind, kept by every kind there is."""

from __future__ import annotations

import inspect
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.backends.base import SandboxRequest
from runners.backends.fake import FakeBackend
from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled
from runners.model.plan import PlannedStep
from runners.model.record import StepOutcome
from runners.steps import KINDS
from runners.steps.base import Parsed, StepKind
from tests.contract.commands import Recorder

EVERY = pytest.mark.parametrize("key", KINDS)
# A value of each kind that works on a sandbox of its own.
VALUES: dict[str, Any] = {"build": "-t x:1 .", "cmd": "image true", "push": ["x:1"]}
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def step(key: str) -> PlannedStep:
    return PlannedStep(id="s", kind=key, spec=KINDS[key].parse(VALUES[key]).spec)


@EVERY
def test_a_kind_is_registered_under_its_own_key(key: str) -> None:
    assert KINDS[key].key == key


@EVERY
def test_a_kind_has_the_methods_of_the_protocol(key: str) -> None:
    for name in ("parse", "prepare", "execute"):
        wanted = list(inspect.signature(getattr(StepKind, name)).parameters)[1:]
        assert list(inspect.signature(getattr(KINDS[key], name)).parameters) == wanted


@EVERY
def test_what_every_step_has_means_something_to_every_kind(key: str) -> None:
    assert {"id", "when", "timeout", "startDelay", "ignoreErrors", "env"} <= KINDS[key].properties


@EVERY
def test_the_schema_accepts_what_parse_accepts(key: str) -> None:
    jsonschema.Draft202012Validator.check_schema(dict(KINDS[key].value_schema))
    jsonschema.validate(VALUES[key], dict(KINDS[key].value_schema))


@EVERY
def test_parse_is_pure(key: str) -> None:
    assert KINDS[key].parse(VALUES[key]) == KINDS[key].parse(VALUES[key])


@EVERY
@given(value=ANY_VALUE)
def test_parse_is_total_and_a_spec_has_no_errors(key: str, value: Any) -> None:
    parsed = KINDS[key].parse(value)
    assert isinstance(parsed, Parsed)
    errors = [problem for problem in parsed.problems if problem.severity == "error"]
    assert bool(errors) == (parsed.spec is None)
    for problem in parsed.problems:
        assert problem.code == problem.code.lower()
        assert problem.message


@EVERY
def test_a_step_is_executed_and_yields_an_outcome(key: str) -> None:
    sandbox = FakeBackend().open(SandboxRequest("r"), Cancellation())
    KINDS["build"].execute(step("build"), sandbox, Recorder(), Cancellation())
    KINDS[key].prepare(step(key), sandbox)
    outcome = KINDS[key].execute(step(key), sandbox, Recorder(), Cancellation())
    assert isinstance(outcome, StepOutcome)


@EVERY
def test_a_cancelled_step_gives_the_reason(key: str) -> None:
    sandbox = FakeBackend().open(SandboxRequest("r"), Cancellation())
    cancel = Cancellation()
    cancel.cancel(Canceled("told to"))
    with pytest.raises(Canceled, match="told to"):
        KINDS[key].execute(step(key), sandbox, Recorder(), cancel)
