"""The one error the Git edge adds to ``runners.model.errors``.

Raised by ``tasks_service.sources``; the command line turns its code into an
exit code of its own.
"""

from __future__ import annotations

from typing import ClassVar

from runners.model.errors import RunnerError


class SourceNotFound(RunnerError):
    """The directory, repository, ref or file that was named is not there."""

    code: ClassVar[str] = "not_found"
