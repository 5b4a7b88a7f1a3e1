"""Rows for the walk itself, and for ``cmd`` steps against ``docker run --rm``."""

from __future__ import annotations

from collections.abc import Iterator

from runners.backends.base import SandboxRequest
from runners.engine import execute_plan
from runners.model.cancellation import Cancellation
from runners.model.events import Event
from runners.model.plan import Plan, PlannedStep
from runners.model.record import RunResult
from runners.model.status import RunStatus
from runners.sandbox import Sandbox
from runners.steps import KINDS
from tests.bench.measure import Row, compare, seconds
from tests.bench.place import BenchError, Place

STEPS = 10
MANY = 1000


def _plan(count: int, text: str, *, parallel: bool) -> Plan:
    spec = KINDS["cmd"].parse(text).spec
    return Plan(
        steps=tuple(
            PlannedStep(
                id=f"s{number}",
                kind="cmd",
                spec=spec,
                needs=() if parallel or not number else (f"s{number - 1}",),
            )
            for number in range(count)
        )
    )


def _walk(plan: Plan, sandbox: Sandbox) -> RunResult:
    return execute_plan(plan, sandbox, result=RunResult("bench"), sink=_drop, cancel=Cancellation())


def _drop(event: Event) -> None:
    del event


def commands(place: Place) -> Iterator[Row]:
    """Ten ``cmd`` steps, in a row and in parallel: ours / a shell loop."""
    from runners.backends.local import LocalBackend
    from runners.clients.docker_sdk import unix_dialer

    backend = LocalBackend(unix_dialer(place.docker_host.removeprefix("unix://")))
    image = place.base_image
    place.peer(f"docker pull -q {image}")

    def run(plan: Plan) -> float:
        def work() -> None:
            sandbox = backend.open(SandboxRequest(run_id="bench"), Cancellation())
            try:
                result = _walk(plan, sandbox)
            finally:
                sandbox.close()
            if result.status is not RunStatus.SUCCEEDED:
                raise BenchError(f"run ended as {result.status}: {result.error}")

        return seconds(work)

    loop = f"for i in $(seq {STEPS}); do docker run --rm {image} true"
    for name, parallel, script in (
        ("in-a-row", False, f"{loop}; done"),
        ("in-parallel", True, f"{loop} & done; wait"),
    ):
        yield compare(
            f"cmd-steps-{name}",
            lambda parallel=parallel: run(_plan(STEPS, f"{image} true", parallel=parallel)),
            lambda script=script: place.peer(script),
            goal=0.8,
            rounds=place.rounds,
        )


def overhead(place: Place) -> Iterator[Row]:
    """1000 steps on the fake backend: milliseconds a step."""
    from runners.backends.fake import FakeBackend

    def run(plan: Plan) -> float:
        sandbox = FakeBackend().open(SandboxRequest(run_id="bench"), Cancellation())
        try:
            took = seconds(lambda: _walk(plan, sandbox))
        finally:
            sandbox.close()
        return took * 1000 / MANY

    for name, parallel in (("in-a-row", False), ("in-parallel", True)):
        plan = _plan(MANY, "image true", parallel=parallel)
        yield compare(
            f"engine-overhead-{name}",
            lambda plan=plan: run(plan),
            None,
            goal=2.0,
            rounds=max(place.rounds, 5),
            unit="ms/step",
        )
