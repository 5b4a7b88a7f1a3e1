"""Start and watch the throw-away process that fetches a source.

In: a request. Out: its answer. The process group dies at the deadline, at a
cancel, and with this process; it runs as a user of its own when we are root.
Called by ``git.py`` and ``archive.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from runners.model.cancellation import Cancellation
from runners.model.errors import SystemFault, Unavailable
from tasks_service.sources.confine import Answer, Request
from tasks_service.sources.settings import SourceSettings

# The range that the system hands out to short-lived users: no account and no
# file belongs to them.
_FIRST_UID, _LAST_UID = 61184, 65519
_NOBODY = 65534


def run_child(
    request: Request,
    *,
    folder: Path,
    settings: SourceSettings,
    cancel: Cancellation,
    shared_user: bool = False,
    pass_fd: int | None = None,
) -> Answer:
    """Run one request in ``folder`` and return the process's answer.

    Args:
        request: What to do; limits and user are added here.
        folder: Empty but for what a mirror lent, ours; becomes the process's.
        settings: Bounds.
        cancel: Ends the process at once.
        shared_user: Become ``nobody`` instead of a user of its own; ssh needs
            an account that exists.
        pass_fd: An open file for the process, under the same number.

    Raises:
        Unavailable: The deadline passed.
        SystemFault: The process died without an answer.
        RunnerError: The reason of ``cancel``.
    """
    for name in ("home", "git", "tree"):
        (folder / name).mkdir(mode=0o755, exist_ok=True)
    whole: dict[str, Any] = {
        **request,
        "parent": os.getpid(),
        "max_bytes": settings.max_bytes,
        "max_entries": settings.max_entries,
        "max_ratio": settings.max_ratio,
        "stall_s": settings.stall_s,
        "environment": {"PATH": os.defpath, **_path(), **settings.environment},
    }
    if os.geteuid() == 0:
        whole["uid"] = _nobody() if shared_user else _free_uid()
        whole["own_user"] = not shared_user
    cancel.check()
    return _talk(whole, folder, settings.deadline_s, cancel, pass_fd)


def _path() -> dict[str, str]:
    path = os.environ.get("PATH")
    return {"PATH": path} if path else {}


def _nobody() -> int:
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return _NOBODY


def _free_uid() -> int:
    while True:
        uid = _FIRST_UID + secrets.randbelow(_LAST_UID - _FIRST_UID)
        try:
            pwd.getpwuid(uid)
        except KeyError:
            return uid


def _talk(
    request: Request, folder: Path, deadline_s: float, cancel: Cancellation, pass_fd: int | None
) -> Answer:
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "tasks_service.sources.fetch_child"],
        cwd=folder,
        env={"LC_ALL": "C.UTF-8", **_path()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=() if pass_fd is None else (pass_fd,),
    )
    release = cancel.on_cancel(lambda: _kill(process))
    try:
        output, errors = process.communicate(json.dumps(request).encode(), timeout=deadline_s)
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"the source did not arrive within {deadline_s:g} s",
            hint="TASKS_SOURCE_TIMEOUT sets another limit, in seconds",
        ) from None
    finally:
        release()
        _kill(process)
        process.communicate()
    cancel.check()
    try:
        answer: Answer = json.loads(output)
    except ValueError as exc:
        raise SystemFault(
            f"the process that fetches sources ended with status {process.returncode}",
            detail=errors.decode(errors="replace")[-2000:],
        ) from exc
    return answer


def _kill(process: subprocess.Popen[bytes]) -> None:
    # The whole group: Git starts helpers of its own. Never after the process
    # was waited for: its number may be another's by then.
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
