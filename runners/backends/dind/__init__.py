"""A throw-away Docker-in-Docker engine per run.

``open_backend`` is the line of ``runners.backends.KINDS``. How the parts fit
together is told in docs/isolation.md.
"""

from __future__ import annotations

from pathlib import Path

from runners.backends.base import Backend


def open_backend(*, state_dir: Path, isolation: str = "") -> Backend:
    """Return the backend as it was set up in a state directory.

    Raises:
        Unavailable: nothing was set up there.
        InvalidInput: there is no such isolation level.
    """
    from runners.backends.dind.backend import DindBackend
    from runners.backends.dind.config import load

    return DindBackend(load(state_dir, isolation))
