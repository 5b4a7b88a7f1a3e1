"""What every build of a run gets beyond its step: labels that tell where it is from, and pins.

In: a sandbox, and what was asked for. Out: the same sandbox, whose builds carry the
labels and stand on images at the digests of pins. Used by ``execution.run``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput
from runners.sandbox import BuildRequest, BuildResult, Output, Sandbox
from tasks_service.execution.guarded import SandboxWrapper
from tasks_service.sources.open import Source

BASE, SOURCE, REVISION = MARKS = ("base", "source", "revision")
_LABELS = {
    SOURCE: "org.opencontainers.image.source",
    REVISION: "org.opencontainers.image.revision",
}


def checked_marks(names: Collection[str]) -> frozenset[str]:
    """Return the names of marks.

    Raises:
        InvalidInput: There is none of a name.
    """
    unknown = sorted(set(names) - set(MARKS))
    if unknown:
        raise InvalidInput(
            f"there is no mark {unknown[0][:40]!r}", hint=f"marks are {', '.join(MARKS)}"
        )
    return frozenset(names)


class MarkedSandbox(SandboxWrapper):
    """See Sandbox.

    Args:
        sandbox: Does the work.
        marks: Of MARKS.
        source: What the run is made of; one without a commit has no marks of its own.
        pins: See ``RunRequest``.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        marks: Collection[str],
        source: Source,
        pins: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(sandbox)
        self._pins = dict(pins)
        values = {SOURCE: source.repository, REVISION: source.commit}
        self._base = BASE in marks
        self._labels = {
            label: values[name] for name, label in _LABELS.items() if name in marks and values[name]
        }

    def build(self, request: BuildRequest, output: Output, cancel: Cancellation) -> BuildResult:
        """See Sandbox."""
        marked = replace(request, marks=self._labels, mark_base=self._base, pins=self._pins)
        return self._sandbox.build(marked, output, cancel)
