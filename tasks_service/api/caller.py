"""Who asks, and what they may do: the one place of roles and of what belongs to whom.

A token that is for some tasks only sees those and their runs; everything
else is not there for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from runners.model.errors import Denied
from tasks_service.errors import NotFound
from tasks_service.model.access import Role, Token
from tasks_service.store import Store

_bearer = HTTPBearer(auto_error=False, description="A token of `tasks token create`.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is."""

    token: Token

    @property
    def name(self) -> str:
        """What causes and the audit log call them."""
        return self.token.name

    @property
    def globs(self) -> tuple[str, ...]:
        """Patterns of the tasks they see; empty is all, and quick runs."""
        return self.token.tasks

    def sees(self, task: str) -> bool:
        """Return whether a task and its runs are theirs to see; ``""`` are quick runs."""
        if not self.globs:
            return True
        return bool(task) and any(_pattern(glob).fullmatch(task) for glob in self.globs)

    def require_task(self, task: str) -> None:
        """Raise NotFound unless the task is theirs to see."""
        if not self.sees(task):
            raise NotFound(f"there is no task {task[:60]!r}", hint="`tasks list` shows them")

    def require_quick_runs(self) -> None:
        """Raise Denied if the token is for stored tasks only."""
        if self.globs:
            raise Denied(
                "the token is for some tasks only; quick runs need one that is for all",
                hint=f"it is for: {', '.join(self.globs)}",
            )

    def require(self, role: Role, what: str) -> None:
        """Raise Denied unless they have ``role`` or a higher one."""
        if self.token.role < role:
            raise Denied(
                f"{what} needs the role {role}; the token has {self.token.role}",
                hint="ask an admin for a token: `tasks token create --role …`",
            )

    def audit(self, store: Store, action: str, object_: str, **detail: Any) -> None:
        """Write down a change they made."""
        found: Mapping[str, Any] = {"token": self.token.id, **detail}
        store.audit.add(self.name, action, object_, found)


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(re.escape(glob).replace(r"\*", ".*").replace(r"\?", "."))


def _with_role(role: Role) -> Callable[..., Caller]:
    def admitted(request: Request, login: Annotated[Any, Depends(_bearer)]) -> Caller:
        del login  # Named for the OpenAPI; the middleware has judged it already.
        caller = request.scope["state"]["caller"]
        assert isinstance(caller, Caller)  # noqa: S101 - the middleware lets nobody else through
        caller.require(role, f"{request.method} {request.url.path[:100]}")
        return caller

    return admitted


Reader = Annotated[Caller, Depends(_with_role(Role.READER))]
Runner = Annotated[Caller, Depends(_with_role(Role.RUNNER))]
Author = Annotated[Caller, Depends(_with_role(Role.AUTHOR))]
Admin = Annotated[Caller, Depends(_with_role(Role.ADMIN))]
