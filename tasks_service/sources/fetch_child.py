"""The throw-away process that looks at foreign bytes: runs Git, unpacks tarballs.

In: one JSON request on standard input. Out: one JSON answer on standard
output. Started by ``child.py``; what a hostile repository reaches is one
process without rights, without anybody else's secrets, and soon dead.

All imports happen before root is given up: the files of the interpreter may
be closed to the user it becomes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from tasks_service.sources.confine import Answer, Refusal, Request, give_up_rights


def main() -> int:
    """Meet the one request of standard input; always 0 once it was answered."""
    request: Request = json.load(sys.stdin)
    action = _action(request["action"])
    give_up_rights(request)
    try:
        answer = action(request)
    except Refusal as refusal:
        answer = refusal.answer
    except OSError as exc:
        answer = {"ok": False, "reason": "system", "error": str(exc)}
    json.dump(answer, sys.stdout)
    return 0


def _action(name: str) -> Callable[[Request], Answer]:
    if name == "archive":
        from tasks_service.sources.unpack import unpack_archive

        return unpack_archive
    if name == "artifact":
        from tasks_service.sources.unpack import unpack_artifact

        return unpack_artifact
    if name == "look":
        from tasks_service.sources.git_look import look

        return look
    from tasks_service.sources.git_fetch import fetch_git

    return fetch_git


if __name__ == "__main__":
    sys.exit(main())
