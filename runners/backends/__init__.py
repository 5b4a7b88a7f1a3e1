"""Runner backends: ways to isolate a run, one line each in ``KINDS``.

A line is a function of ``state_dir`` and ``isolation`` that yields a Backend;
it imports its kind when it is called, because choosing one must cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from runners.backends.base import Backend


class OpenBackend(Protocol):
    """Makes a backend as it was set up in ``state_dir``."""

    def __call__(self, *, state_dir: Path, isolation: str = "") -> Backend:
        """Return the backend; an empty ``isolation`` leaves the level to it."""
        ...


def _dind(*, state_dir: Path, isolation: str = "") -> Backend:
    from runners.backends.dind import open_backend

    return open_backend(state_dir=state_dir, isolation=isolation)


def _local(*, state_dir: Path, isolation: str = "") -> Backend:
    from runners.backends.local import open_backend

    return open_backend(state_dir=state_dir, isolation=isolation)


def _fake(*, state_dir: Path, isolation: str = "") -> Backend:
    from runners.backends.fake import FakeBackend

    del state_dir, isolation
    return FakeBackend()


KINDS: Mapping[str, OpenBackend] = {"dind": _dind, "local": _local, "fake": _fake}
