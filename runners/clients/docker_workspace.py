"""The run's workspace as builds see it: paths resolved beneath it, never outside.

A container path as the user wrote it in, trees and bytes out. Used by
clients/docker_build.py. The files belong to the code of the run: every name
is opened relative to a descriptor, and no link is followed.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Callable
from pathlib import Path

from runners.clients.buildkit.beneath import best_open
from runners.clients.buildkit.localfs import LocalFS
from runners.model.errors import InvalidInput
from runners.model.plan import WORKSPACE

OpenRoot = Callable[[], int]
"""Returns a fresh descriptor of the workspace's root directory; the caller closes it."""

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY

_DIRECTORY = _FLAGS | os.O_DIRECTORY


def opener(path: Path) -> OpenRoot:
    """Return the OpenRoot of a directory of this machine."""
    return lambda: os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def beneath(working_directory: str, path: str) -> str:
    """Return ``path`` relative to the workspace's root, ``""`` for the root itself.

    Args:
        working_directory: Absolute path in a step's container.
        path: As the user wrote it: relative to that, or absolute.

    Raises:
        InvalidInput: it is not in the workspace.
    """
    full = posixpath.normpath(posixpath.join(working_directory, path))
    if full != WORKSPACE and not full.startswith(f"{WORKSPACE}/"):
        raise InvalidInput(
            f"{path!r} is outside of the workspace ({full})",
            hint=f"builds read files below {WORKSPACE} only",
        )
    return full[len(WORKSPACE) + 1 :]


class WorkspaceFiles:
    """The files of one run's workspace. Thread-safe."""

    def __init__(self, open_root: OpenRoot) -> None:
        self._open_root = open_root
        self._open = best_open()

    def tree(self, path: str, what: str) -> LocalFS:
        """Return the directory ``path`` (from ``beneath``) as a build context; close it.

        Raises:
            InvalidInput: there is no such directory, or a link is in the way.
        """
        root = self._open_root()
        try:
            directory = root if not path else self._directory(root, path, what)
            try:
                shown = f"{WORKSPACE}/{path}".rstrip("/")
                return LocalFS(shown, root_fd=directory, identity=shown)
            finally:
                if directory != root:
                    os.close(directory)
        finally:
            os.close(root)

    def is_file(self, path: str) -> bool:
        """Tell whether ``path`` is a regular file."""
        descriptor = self._open_file(path)
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def exists(self, path: str) -> bool:
        """Tell whether something has that name, a link too."""
        root = self._open_root()
        try:
            parent, name = posixpath.split(path)
            directory = self._open(root, os.fsencode(parent), _DIRECTORY) if parent else root
            try:
                os.stat(name, dir_fd=directory, follow_symlinks=False)
            finally:
                if directory != root:
                    os.close(directory)
        except OSError:
            return False
        finally:
            os.close(root)
        return True

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a regular file's bytes, or None if there is none.

        Raises:
            InvalidInput: it is longer than ``limit``.
        """
        descriptor = self._open_file(path)
        if descriptor is None:
            return None
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InvalidInput(f"{WORKSPACE}/{path} is longer than {limit} bytes")
        return data

    def _directory(self, root: int, path: str, what: str) -> int:
        shown = f"{WORKSPACE}/{path}"
        try:
            return self._open(root, os.fsencode(path), _DIRECTORY)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EXDEV):
                raise InvalidInput(
                    f"{what} {shown} is, or is reached through, a link",
                    hint="name the directory itself",
                ) from error
            words = "is not a directory" if error.errno == errno.ENOTDIR else "does not exist"
            raise InvalidInput(
                f"{what} {shown} {words}",
                hint="paths are relative to the step's workingDirectory; is it in the source?",
            ) from error

    def _open_file(self, path: str) -> int | None:
        if not path:
            return None
        root = self._open_root()
        try:
            descriptor = self._open(root, os.fsencode(path), _FLAGS)
        except OSError:
            return None
        finally:
            os.close(root)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        return None
