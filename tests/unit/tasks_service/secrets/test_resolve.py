"""All secrets at once: bounded, one deadline, every failure told, no value anywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, RunnerError
from tasks_service.plans.compile import SecretRequest, SecretResolver, compile_task
from tasks_service.secrets import resolver
from tasks_service.secrets.base import Access, Location
from tasks_service.secrets.errors import (
    SecretRefused,
    SecretsRefused,
    SecretsUnavailable,
    SecretUnavailable,
)
from tasks_service.secrets.resolve import PARALLEL


@dataclass
class Scripted:
    """A provider that does what a function says."""

    answer: Callable[[str, Cancellation], str]
    closed: int = 0
    opened: int = 0

    def __call__(self, access: Access) -> Scripted:
        self.opened += 1
        return self

    def fetch(self, location: Location, cancel: Cancellation) -> str:
        return self.answer(location.rest, cancel)

    def close(self) -> None:
        self.closed += 1


def resolving(
    provider: Scripted, cancel: Cancellation | None = None, deadline_s: float = 30
) -> SecretResolver:
    return resolver(
        {}, allow_local=False, cancel=cancel, kinds={"test": provider}, deadline_s=deadline_s
    )


def wanted(*names: str) -> list[SecretRequest]:
    return [SecretRequest(name, f"test:{name}") for name in names]


def test_values_come_back_by_id_in_the_order_asked() -> None:
    provider = Scripted(lambda name, cancel: name.upper())
    values = resolving(provider)(wanted("b", "a", "c"))
    assert list(values.items()) == [("b", "B"), ("a", "A"), ("c", "C")]
    assert (provider.opened, provider.closed) == (1, 1)


def test_no_secret_is_no_work() -> None:
    provider = Scripted(lambda name, cancel: name)
    assert resolving(provider)([]) == {}
    assert provider.opened == 0


def test_secrets_are_fetched_side_by_side_but_not_all_at_once() -> None:
    together = threading.Barrier(PARALLEL)
    lock = threading.Lock()
    running: list[int] = [0]
    most: list[int] = [0]

    def answer(name: str, cancel: Cancellation) -> str:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait(10)
        with lock:
            running[0] -= 1
        return name

    names = [f"n{number}" for number in range(PARALLEL * 4)]
    assert list(resolving(Scripted(answer))(wanted(*names))) == names
    assert most[0] == PARALLEL


def test_all_failures_are_told_together_in_file_order() -> None:
    def answer(name: str, cancel: Cancellation) -> str:
        if name == "good":
            return "a-good-value"
        raise SecretRefused(f"no {name} here", hint="look elsewhere")

    asked = [*wanted("z", "good", "a"), SecretRequest("other", "nobody:x")]
    with pytest.raises(SecretsRefused, match="3 secrets can't be had: z, a, other") as raised:
        resolving(Scripted(answer))(asked)
    error = raised.value
    assert error.detail.splitlines() == [
        "z: no z here",
        "a: no a here",
        "other: nothing here serves 'nobody:' secrets",
    ]
    assert error.hint == "look elsewhere; use one of test:"
    assert error.code == "invalid_input"
    assert "a-good-value" not in repr(vars(error))


def test_one_failure_names_id_and_reason_in_one_line() -> None:
    def answer(name: str, cancel: Cancellation) -> str:
        raise SecretRefused("it is not there")

    with pytest.raises(SecretsRefused, match="the secret 'x' can't be had: it is not there"):
        resolving(Scripted(answer))(wanted("x"))


def test_stores_that_do_not_answer_are_our_fault_not_the_users() -> None:
    def answer(name: str, cancel: Cancellation) -> str:
        raise SecretUnavailable("nobody there")

    with pytest.raises(SecretsUnavailable) as raised:
        resolving(Scripted(answer))(wanted("x", "y"))
    assert raised.value.code == "unavailable"


def test_the_deadline_is_for_all_and_names_who_is_missing() -> None:
    forever = threading.Event()

    def answer(name: str, cancel: Cancellation) -> str:
        if name == "slow":
            forever.wait(10)
        return name

    with pytest.raises(SecretsUnavailable, match="'slow' can't be had: no answer"):
        resolving(Scripted(answer), deadline_s=0.1)(wanted("quick", "slow"))
    forever.set()


def test_a_cancel_ends_the_wait_with_its_reason() -> None:
    cancel = Cancellation()
    forever = threading.Event()

    def answer(name: str, token: Cancellation) -> str:
        cancel.cancel(Canceled("a person said so"))
        forever.wait(10)
        return name

    with pytest.raises(Canceled, match="a person said so"):
        resolving(Scripted(answer), cancel)(wanted("x"))
    forever.set()


def test_a_provider_that_breaks_tells_no_text_of_its_own() -> None:
    def answer(name: str, cancel: Cancellation) -> str:
        raise ValueError("the-value-itself")

    with pytest.raises(SecretsUnavailable, match="ValueError") as raised:
        resolving(Scripted(answer))(wanted("x"))
    assert "the-value-itself" not in str(raised.value) + repr(vars(raised.value))


def test_settings_that_are_wrong_fail_every_secret_that_needs_them() -> None:
    def broken(access: Access) -> Scripted:
        raise SecretRefused("TEST_ADDR is not set")

    resolve = resolver({}, allow_local=False, kinds={"test": broken})
    with pytest.raises(SecretsRefused) as raised:
        resolve(wanted("x", "y"))
    assert raised.value.ids == ("x", "y")


TASK = """\
secrets:
  - id: first
    keyvault: env:FIRST
  - id: second
    keyvault: env://SECOND
steps:
  - cmd: image {{.Secrets.first}}
    env: ["S={{.Secrets.second}}"]
"""


def test_a_task_file_gets_its_values_and_masks_them() -> None:
    resolve = resolver({"FIRST": "alpha-value", "SECOND": "beta-value"}, allow_local=True)
    compiled = compile_task(TASK, resolve_secrets=resolve)
    plan = compiled.require_plan()
    assert plan.secrets == {"first": "alpha-value", "second": "beta-value"}
    assert plan.steps[0].env == (("S", "beta-value"),)
    assert set(compiled.mask) == {"alpha-value", "beta-value"}


def test_a_task_file_whose_secret_is_missing_does_not_compile() -> None:
    resolve = resolver({"FIRST": "alpha-value"}, allow_local=True)
    with pytest.raises(RunnerError, match=r"'second'.*SECOND is not set") as raised:
        compile_task(TASK, resolve_secrets=resolve)
    assert "alpha-value" not in repr(vars(raised.value))
