"""The task language: parse, check, render and plan; no engine, no peer."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tasks_service.plans.compile import compile_task
from tasks_service.plans.variables import RunVariables
from tasks_service.plans.views.plan_json import plan_json
from tests.bench.measure import Row, compare, seconds
from tests.bench.place import Place

FILES = 1000
RUN = RunVariables(id="r1", registry="reg.example", commit="c0ffee")


def task_file(steps: int, salt: int) -> str:
    """Return a file of the usual shapes: aliases, values, builds, commands, pushes."""
    lines = ["version: v1.1.0", "alias:", "  values:", f"    app: '{{{{.Run.Registry}}}}/a{salt}'",
             'env: ["A=1", "B=2"]', "steps:"]  # fmt: skip
    for index in range(steps):
        lines.append(f"- id: s{index}")
        lines.append(
            (
                f"  build: -t $app:$ID-{index} -f Dockerfile .",
                f"  cmd: bash -c 'echo {index} $Commit {salt}'",
                f"  cmd: $app:$ID-{index} test --x {{{{.Values.y}}}}",
                f'  push: ["$app:$ID-{index - 3}"]',
            )[index % 4]
        )
        if index > 3:
            lines.append(f"  when: [s{index - 1}, s{index - 3}]")
        lines.append("  timeout: 60")
    return "\n".join(lines) + "\n"


def compiled(text: str) -> None:
    """Do what `tasks plan -o json` does with a text."""
    json.dumps(plan_json(compile_task(text, variables=RUN, set_values=["y=1"])))


def language(place: Place) -> Iterator[Row]:
    """1000 files of 20 steps, milliseconds each; one file of 2000 steps."""
    files = [task_file(20, salt) for salt in range(FILES)]

    def small() -> float:
        return seconds(lambda: [compiled(text) for text in files]) * 1000 / FILES

    large = task_file(2000, 0)
    rounds = max(place.rounds, 3)
    yield compare("language-20-steps", small, None, goal=3.0, rounds=rounds, unit="ms/file")
    yield compare(
        "language-2000-steps",
        lambda: seconds(lambda: compiled(large)) * 1000,
        None,
        goal=300.0,
        rounds=rounds,
        unit="ms",
    )
