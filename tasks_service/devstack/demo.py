"""``make demo``: a Git repository becomes a tested image in a registry, before one's eyes.

Publishes ``examples/demo-app`` as a Git repository, runs its task with
``tasks run`` at the strong isolation default, pulls back what was pushed,
compares digests, runs the image, and says how to go on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from runners.model.errors import RunnerError, SystemFault
from tasks_service.devstack import containers, engines, progress
from tasks_service.devstack.git_repository import publish
from tasks_service.devstack.stack import Stack

TAG = "v1.0.0"
REPOSITORY = "demo-app.git"


def run(stack: Stack) -> int:
    """Run the demo on a stack that is up; return the exit code.

    Raises:
        RunnerError: a part of it failed, with what to do.
    """
    with progress.step("Git repository of examples/demo-app") as shown:
        source = stack.where.checkout / "examples" / "demo-app"
        commit = publish(source, stack.git_root / REPOSITORY, tags=(TAG,))
        shown.update(commit)
    location = f"{stack.git_url}{REPOSITORY}#{TAG}"
    progress.note(f"{location} is commit {commit[:12]}")
    words = ["run", location, "--local", "-r", stack.registry, "-o", "json"]
    sys.stderr.write(f"\n$ tasks {' '.join(words)}\n\n")
    # With -o the record has standard output to itself; all else is shown.
    done = subprocess.run(
        [tasks_program(stack), *words],
        env=tasks_environment(stack),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    (stack.where.state / "demo-run.json").write_text(done.stdout)
    if done.returncode != 0:
        sys.stderr.write(f"\nThe run failed (exit code {done.returncode}).\n")
        return done.returncode
    sys.stderr.write("\n")
    return _prove(stack, json.loads(done.stdout), location)


def tasks_program(stack: Stack) -> str:
    """Return the path of the ``tasks`` command of this checkout."""
    return str(stack.where.checkout / ".venv" / "bin" / "tasks")


def tasks_environment(stack: Stack) -> dict[str, str]:
    """Return the environment in which ``tasks`` finds the stack."""
    return {**os.environ, "TASKS_STATE_DIR": str(stack.where.state)}


def _prove(stack: Stack, record: dict[str, Any], location: str) -> int:
    if not record["outputImages"]:
        raise SystemFault("the run succeeded and pushed no image", hint="see .tasks/demo-run.json")
    image = record["outputImages"][0]
    repository = image["reference"].rpartition(":")[0]
    pinned = f"{repository}@{image['digest']}"
    with progress.step("Pull the pushed digest into the outer engine") as shown:
        _forget(stack, image["reference"], pinned)
        engines.pull(stack.outer, pinned, shown)
        pulled = engines.digests(stack.outer, pinned).get(repository)
    if pulled != image["digest"]:
        raise SystemFault(f"pushed {image['digest']}, pulled {pulled}")
    progress.note(f"pulled digest = pushed digest = {pulled}")
    with progress.step("Run it there") as shown:
        output = containers.output_of(stack.outer, pinned, ["show"])
    sys.stdout.write(f"\n{output}\n")
    sys.stdout.flush()
    _tell(stack, record, image, pinned, location)
    return 0


def _forget(stack: Stack, *names: str) -> None:
    """Remove an earlier demo's image, so that the pull is a pull."""
    for name in names:
        try:
            stack.outer.api.delete(f"/images/{name}", {"force": True})
        except RunnerError:
            continue


def _tell(
    stack: Stack, record: dict[str, Any], image: dict[str, Any], pinned: str, location: str
) -> None:
    docker = "docker" if not stack.outer.ours else f"docker -H {stack.outer.address}"
    tasks = ".venv/bin/tasks"
    build = f"{tasks} build examples/hello-build -t {stack.registry}/hello:1"
    lines = [
        f"image      {image['reference']}",
        f"digest     {image['digest']}",
        f"isolation  {record['isolation']}",
        f"pull it    {docker} pull {pinned}",
        "",
        "Three commands to try next:",
        f"  {tasks} run {location} -r {stack.registry} -o json --no-logs",
        f"  {tasks} run /dev/null -r {stack.registry} --cmd '{stack.base_image} uname -a'",
        f"  {build} --build-arg BASE={stack.base_image}",
        "",
        "`make down` stops and removes everything.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
