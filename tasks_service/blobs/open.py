"""Open a blob store as the settings say; the one line per kind is here."""

from __future__ import annotations

from collections.abc import Callable

from runners.model.errors import InvalidInput
from tasks_service.blobs.base import BlobStore
from tasks_service.blobs.files import FileBlobs
from tasks_service.blobs.s3 import SCHEME, open_s3
from tasks_service.config import Settings

UPLOADS = "uploads"
LOGS = "logs"

_FILES = "files"


def _open_files(location: str, which: str, settings: Settings) -> BlobStore:
    if location != _FILES:
        raise _unknown(location)
    return FileBlobs(settings.state_dir / which)


def _open_s3(location: str, which: str, settings: Settings) -> BlobStore:
    return open_s3(location, which, settings)


KINDS: dict[str, Callable[[str, str, Settings], BlobStore]] = {
    _FILES: _open_files,
    SCHEME: _open_s3,
}
"""Start of a location → how to open it."""


def open_blobs(settings: Settings, which: str) -> BlobStore:
    """Return the store of ``UPLOADS`` or ``LOGS``. Nothing is created or asked yet.

    Raises:
        InvalidInput: The setting names no store, or one that can't be opened.
    """
    location = {UPLOADS: settings.upload_store, LOGS: settings.log_store}[which]
    for start, open_kind in KINDS.items():
        if location.startswith(start):
            return open_kind(location, which, settings)
    raise _unknown(location)


def _unknown(location: str) -> InvalidInput:
    return InvalidInput(
        f"blob store {location[:80]!r} is not known", hint="write files, or s3://bucket/prefix"
    )
