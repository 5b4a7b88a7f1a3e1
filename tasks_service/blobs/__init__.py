"""Blobs: uploads by digest, and logs of finished runs, on disk or in a bucket.

In: Settings, and which of the two stores. Out: a BlobStore. Used by the API
(uploads), by workers (sources) and by the scheduler (finished logs, retention).
"""

from __future__ import annotations

from tasks_service.blobs.base import (
    BLOCK,
    BlobStat,
    BlobStore,
    DigestMismatch,
    TooLarge,
)
from tasks_service.blobs.open import LOGS, UPLOADS, open_blobs

__all__ = [
    "BLOCK",
    "LOGS",
    "UPLOADS",
    "BlobStat",
    "BlobStore",
    "DigestMismatch",
    "TooLarge",
    "open_blobs",
]
