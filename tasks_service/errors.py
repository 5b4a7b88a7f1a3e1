"""The service's own errors, and the problems a task file can have.

Lowest module of the service; every stage may import it. Like the runner's
tree it is split by who must act: these are the user's to fix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runners.model.errors import InvalidInput, RunnerError

ERROR = "error"
WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, or doubtful, in a file the user wrote.

    Attributes:
        file: The name as the user gave it.
        line: From 1, in the user's file (not in the rendered text).
        column: From 1, in characters.
        severity: ``error`` or ``warning``.
        code: Stable; ``docs/lint/<code>.md`` explains it.
        message: One sentence, without the position.
        source: The line at fault as it stands in the file, no newline.
        width: How many characters the caret should underline, at least 1.
        suggestion: A near miss or what to write instead, or an empty string.
    """

    file: str
    line: int
    column: int
    severity: str
    code: str
    message: str
    source: str = ""
    width: int = 1
    suggestion: str = ""

    def headline(self) -> str:
        """Return ``file:line:column: severity CODE message``, one line."""
        return f"{self.file}:{self.line}:{self.column}: {self.severity} {self.code} {self.message}"

    def excerpt(self) -> str:
        """Return the source line with a caret below, and the suggestion.

        Empty where the file has no such line. Tabs before the caret are kept
        so that it stands right in any terminal; long lines are cut around it.
        """
        if not self.source.strip():
            return f"  {self.suggestion}" if self.suggestion else ""
        start = max(0, self.column - 61)
        shown = "".join(
            # What a terminal could obey (or hide) must not reach it.
            character if character.isprintable() or character == "\t" else "\ufffd"
            for character in self.source[start : start + 120]
        )
        before = shown[: self.column - 1 - start]
        padding = "".join("\t" if character == "\t" else " " for character in before)
        width = max(1, min(self.width, len(shown) - len(before)))
        caret = f"  {padding}{'^' * width}"
        if self.suggestion:
            caret += f" {self.suggestion}"
        return f"  {shown}\n{caret}"

    def text(self) -> str:
        """Return headline and excerpt, the form ``tasks lint`` prints."""
        excerpt = self.excerpt()
        return f"{self.headline()}\n{excerpt}" if excerpt else self.headline()


class InvalidTaskFile(InvalidInput):
    """A task file that cannot become a plan; carries every problem found."""

    code = "invalid_task_file"

    def __init__(self, problems: Sequence[Problem]) -> None:
        errors = [problem for problem in problems if problem.severity == ERROR]
        count = len(errors)
        first = errors[0].headline() if errors else "the task file is not valid"
        more = f" (and {count - 1} more)" if count > 1 else ""
        super().__init__(
            first + more,
            hint="run `tasks lint` on the file to see every problem with its line",
            detail="\n".join(problem.text() for problem in problems),
        )
        self.problems = tuple(problems)


class NotFound(RunnerError):
    """What was named is not there."""

    code = "not_found"


class Conflict(RunnerError):
    """It can't be done now, because of the state things are in."""

    code = "conflict"


class VersionMismatch(Conflict):
    """Somebody changed it since it was read."""

    code = "version_mismatch"


class Busy(RunnerError):
    """Too much is waiting already; the same may be accepted later.

    ``retry_after_s`` is when to ask again.
    """

    code = "busy"

    def __init__(self, message: str, *, retry_after_s: int = 30, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class StaleFence(RunnerError):
    """A write for a run that its writer does not hold any more. Nothing was written."""

    code = "stale_fence"
