"""Where state may live, so that user-namespaced processes can reach it.

A bind mount into a user-namespaced runner is opened by a process without any
right over our directories: every parent must let others pass through. Socket
paths must also fit the 108 bytes of a Unix address.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

# An engine adds up to some 40 bytes below its own run directory.
_LONGEST = 60


def identity(state_dir: Path) -> str:
    """Return six hex digits that stand for a state directory in short names."""
    return hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:6]


def passable(path: Path) -> bool:
    """Return True if anybody may pass through ``path`` and all its parents."""
    path = path.resolve()
    for part in (path, *path.parents):
        if part.exists() and not part.stat().st_mode & stat.S_IXOTH:
            return False
    return True


def data_root(state_dir: Path) -> Path:
    """Return where large state goes: ``state_dir``, else a place of the system."""
    if passable(state_dir):
        return state_dir.resolve()
    return Path("/var/lib/tasks-service") / identity(state_dir)


def run_root(state_dir: Path) -> Path:
    """Return where sockets go: ``state_dir``, else a place of the system."""
    resolved = state_dir.resolve()
    if passable(state_dir) and len(os.fsencode(resolved)) <= _LONGEST:
        return resolved
    return Path("/run/tasks-service") / identity(state_dir)


def make(path: Path) -> Path:
    """Create a directory that others may pass through but not list."""
    missing = [part for part in (path, *path.parents) if not part.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for part in missing:
        part.chmod(0o711)
    return path
