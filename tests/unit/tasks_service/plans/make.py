"""Compile with defaults, for tests that are about one thing."""

from __future__ import annotations

from typing import Any

from runners.model.plan import Plan
from tasks_service.plans.compile import Compiled, CompileOptions, compile_task
from tasks_service.plans.variables import RunVariables

RUN = RunVariables(
    id="r1", registry="reg.example.io", commit="c0ffee", branch="main", date="20260102-030405z",
    architecture="amd64",
)  # fmt: skip


def compiled(text: str | bytes, **arguments: Any) -> Compiled:
    arguments.setdefault("variables", RUN)
    arguments.setdefault("file", "t.yaml")
    return compile_task(text, **arguments)


def plan(text: str, **arguments: Any) -> Plan:
    return compiled(text, **arguments).require_plan()


def found(text: str | bytes, **arguments: Any) -> list[str]:
    """Return every problem as ``line:column CODE``."""
    return [f"{p.line}:{p.column} {p.code}" for p in compiled(text, **arguments).problems]


def aliased(text: str, *, alias: str = "", **arguments: Any) -> str:
    """Return what a text becomes as the command of a v1.1.0 file."""
    head = f"version: v1.1.0\n{alias}"
    done = compiled(f"{head}steps:\n- cmd: |-\n    img {text}\n", **arguments)
    assert done.task is not None, done.problems
    value = done.task.steps[0].kinds["cmd"]
    assert isinstance(value, str)
    return value.removeprefix("img ")


def options(**arguments: Any) -> CompileOptions:
    return CompileOptions(**arguments)
