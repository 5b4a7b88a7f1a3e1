"""Secrets from files: ``file:/absolute/path`` or ``file:name``.

For ``tasks run`` on a person's machine, and for folders where an orchestrator
mounts secrets. A task file that came from elsewhere may only name files below
``TASKS_SECRET_DIR``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import unquote

from runners.model.cancellation import Cancellation
from tasks_service.secrets.base import MAX_VALUE_BYTES, Access, Location, shown
from tasks_service.secrets.errors import SecretRefused, SecretUnavailable


class Files:
    """Files of this machine."""

    def __init__(self, access: Access) -> None:
        self._access = access
        folder = access.setting("TASKS_SECRET_DIR")
        self._folder = Path(folder) if folder else None

    def fetch(self, location: Location, cancel: Cancellation) -> str:  # noqa: ARG002 - nothing to wait for
        """See Provider. One line end at the end of the file is not part of the value."""
        path = self._path(location)
        # The path may be a link out of the folder: what counts is what it is.
        try:
            real = path.resolve(strict=True)
        except FileNotFoundError:
            raise SecretRefused(f"there is no file {shown(str(path))}") from None
        except (OSError, RuntimeError, ValueError):
            raise SecretRefused(f"{shown(str(path))} can't be a file's name") from None
        self._check(real, location)
        data = _read(real)
        for end in (b"\r\n", b"\n"):
            if data.endswith(end):
                data = data[: -len(end)]
                break
        try:
            return data.decode()
        except UnicodeDecodeError:
            # The error of the codec holds the bytes; it goes no further.
            raise SecretRefused(
                f"the file {shown(str(path))} is not UTF-8 text",
                hint="store its Base64 text and decode it where it is used",
            ) from None

    def _path(self, location: Location) -> Path:
        text = unquote(location.rest)
        if not text.strip("/") or "\0" in text or location.key:
            raise SecretRefused(
                f"'{shown(location.text)}' names no file",
                hint="write keyvault: file:/absolute/path",
            )
        path = Path(text)
        if path.is_absolute() or self._folder is None:
            return path
        return self._folder / path

    def _check(self, real: Path, location: Location) -> None:
        if self._access.allow_local or location.trusted:
            return
        if self._folder is None or not real.is_relative_to(self._folder.resolve()):
            raise SecretRefused(
                "the task file may not read files of this machine",
                hint="put the file into the folder TASKS_SECRET_DIR and name it file:<name>",
            )

    def close(self) -> None:
        """See Provider."""


def _read(path: Path) -> bytes:
    try:
        # A pipe without a writer would block, a device never end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        raise SecretRefused(
            f"the file {shown(str(path))} may not be read",
            hint="check its owner and mode",
        ) from None
    except OSError as error:
        raise SecretUnavailable(
            f"the file {shown(str(path))} can't be opened: {error.strerror}"
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SecretRefused(f"{shown(str(path))} is not a regular file")
        with open(descriptor, "rb", closefd=False) as stream:
            data = stream.read(MAX_VALUE_BYTES + 3)
    except OSError as error:
        raise SecretUnavailable(
            f"the file {shown(str(path))} can't be read: {error.strerror}"
        ) from None
    finally:
        os.close(descriptor)
    if len(data) > MAX_VALUE_BYTES + 2:
        raise SecretRefused(
            f"the file {shown(str(path))} is larger than {MAX_VALUE_BYTES} bytes",
        )
    return data
