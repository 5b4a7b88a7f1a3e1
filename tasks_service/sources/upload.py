"""Open an uploaded context: a tarball of this machine's disk in, a directory out.

Called by the service's worker for quick runs. The file is foreign: it is read
and unpacked in a throw-away process only, under the rules of fetched archives.
Unlike those it keeps its permissions and its links, wherever these point: what
was packed is what a build should see, and no reader of a source follows a link
out of it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from runners.model.cancellation import Cancellation
from runners.model.errors import SystemFault
from tasks_service.sources.archive import unpack_error
from tasks_service.sources.child import run_child
from tasks_service.sources.folders import private_folder
from tasks_service.sources.open import Source, directory_of
from tasks_service.sources.settings import SourceSettings


@contextlib.contextmanager
def open_upload(
    path: Path,
    *,
    settings: SourceSettings,
    cancel: Cancellation,
    directory: str = "",
    name: str = "context",
) -> Iterator[Source]:
    """Yield the uploaded archive as a source; remove what was unpacked afterwards.

    Args:
        path: The tarball, plain or compressed; never changed. Need not be
            readable to the process that unpacks.
        settings: Limits and the folder.
        cancel: Ends the unpacking at once.
        directory: A directory inside that becomes the workspace.
        name: What messages and the record call it.

    Raises:
        InvalidInput: It is no tarball, or breaks a rule or limit.
        SourceNotFound: ``directory`` is not in it.
        SystemFault: The file is not there, or the disk is full.
        RunnerError: The reason of ``cancel``.
    """
    with _opened(path) as fd, private_folder(settings.folder) as folder:
        answer = run_child(
            {"action": "archive", "archive_fd": fd, "as_packed": True},
            folder=folder,
            settings=settings,
            cancel=cancel,
            pass_fd=fd,
        )
        if not answer["ok"]:
            raise unpack_error(answer, name, settings, what="context")
        yield Source(directory_of(folder, directory), name, remote=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        raise SystemFault(f"the uploaded context cannot be read: {exc.strerror}") from exc
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise SystemFault("the uploaded context is not a regular file")
        yield fd
    finally:
        os.close(fd)
