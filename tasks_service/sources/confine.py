"""The walls of the throw-away process: no rights, little memory, dies with its parent.

In: the request's user and limits. Called by ``fetch_child.py`` before the
first foreign byte is looked at.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from typing import Any, TypeAlias

Request: TypeAlias = "dict[str, Any]"
"""What ``child.py`` asks, as JSON."""
Answer: TypeAlias = "dict[str, Any]"
"""What the process answers, as JSON; ``ok`` is always there."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl
_MEMORY = 2 << 30


class Refusal(Exception):
    """The request can't be met; ``reason`` is a word ``child.py`` translates."""

    def __init__(self, reason: str, **facts: Any) -> None:
        super().__init__(reason)
        self.answer: Answer = {"ok": False, "reason": reason, **facts}


def give_up_rights(request: Request) -> None:
    """Become the request's user, under its limits, for good.

    The current directory's ``home``, ``git`` and ``tree`` are handed to that
    user first. Without ``uid`` the user stays and only the limits come.
    """
    uid = request.get("uid")
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 1024,
        resource.RLIMIT_FSIZE: request["max_bytes"],
        # Counts private writable memory, so mapping a large pack stays free.
        resource.RLIMIT_DATA: _MEMORY,
    }
    if request.get("own_user"):
        # Only sensible for a user that nobody else is.
        limits[resource.RLIMIT_NPROC] = 128
    for name, value in limits.items():
        hard = resource.getrlimit(name)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (bound, bound))
    if uid is not None:
        for folder in (".", "home", "git", "tree", *request.get("lent_folders", ())):
            os.chown(folder, uid, uid)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.umask(0o022)
    _PRCTL(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    die_with_parent()
    if os.getppid() != request["parent"]:
        raise SystemExit(1)


def die_with_parent() -> None:
    """Ask the kernel for a SIGKILL when the parent ends.

    To be called after a change of user, which makes the kernel forget it.
    """
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
