"""What it means when the engine does not create, start or end a container well.

The engine's words in, an error a person can act on out. Used by
clients/docker_run.py.
"""

from __future__ import annotations

import re

from runners.clients.docker_sdk import EngineClient, EngineError
from runners.model.errors import InvalidInput, RunnerError, StepFailed, Unavailable
from runners.sandbox import ContainerRequest

# The runtime lost its own helper process before the command was started; the
# same container started again usually comes up.
_BROKEN_START = re.compile(
    r"waiting for init preliminary setup|read init-p: |error during container init: EOF"
)


class StartBroken(Unavailable):
    """The engine broke off a start before any of the step's code ran: safe to try again."""

    code = "start_broken"


def explain_exit(
    client: EngineClient, container: str, request: ContainerRequest, code: int, last: bytes
) -> None:
    """Raise StepFailed where more is known than the exit code.

    ``last`` is the end of what the container wrote to stderr.
    """
    if b"exec format error" in last:
        raise StepFailed(
            f"the command of image '{request.image}' is not made for this machine"
            " (exec format error)",
            exit_code=code,
            hint="use an image for this platform, and a '#!' line in scripts",
        )
    if code != 137:
        return
    answer = client.call(
        "GET", f"/containers/{container}/json", f"looking at step '{request.name}'"
    )
    if ((answer or {}).get("State") or {}).get("OOMKilled"):
        limit = ((answer or {}).get("HostConfig") or {}).get("Memory") or 0
        words = f"limit {_size(limit)}" if limit else "limit of the run"
        raise StepFailed(
            f"step '{request.name}' was killed: out of memory ({words})",
            exit_code=code,
            hint="give it more memory, or let it use less",
        )


def refused(request: ContainerRequest, error: EngineError) -> RunnerError:
    """Return what a refusal to create the container means."""
    if error.status >= 500:
        return error
    return InvalidInput(
        f"the engine refuses the container of step '{request.name}': {error.reason}"
    )


def cannot_start(request: ContainerRequest, error: EngineError) -> RunnerError:
    """Return what a refusal to start the container means."""
    reason = error.reason
    if _BROKEN_START.search(reason):
        return StartBroken(f"the engine broke off the start of step '{request.name}': {reason}")
    command = request.entry_point or (request.args[0] if request.args else "its command")
    if "executable file not found" in reason or "no such file or directory" in reason:
        return StepFailed(
            f"cannot start step '{request.name}': no command {command!r}"
            f" in image '{request.image}'",
            exit_code=127,
            hint="check the spelling, the image's PATH and, for 'sh -c', that it has a shell",
            detail=reason,
        )
    if "permission denied" in reason:
        return StepFailed(
            f"cannot start step '{request.name}': {command!r} is not executable"
            f" in image '{request.image}'",
            exit_code=126,
            hint="make the file executable (chmod +x), or start it through its interpreter",
            detail=reason,
        )
    if "exec format error" in reason:
        return StepFailed(
            f"cannot start step '{request.name}': {command!r} is not made for this machine",
            exit_code=126,
            detail=reason,
        )
    if "port is already allocated" in reason or "address already in use" in reason:
        return StepFailed(
            f"cannot start step '{request.name}': a port it publishes is taken",
            hint="steps on one network reach each other by step id without 'ports'",
            detail=reason,
        )
    if error.status < 500 or "OCI runtime" in reason:
        return StepFailed(f"cannot start step '{request.name}': {reason}", exit_code=125)
    return error


def _size(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"
