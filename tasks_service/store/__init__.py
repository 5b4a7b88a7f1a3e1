"""The store: what the service knows, in SQLite or PostgreSQL.

The only importer of SQLAlchemy. In: frozen values of ``tasks_service.model``.
Out: the same. A database that does not answer, or stays locked, is an
``Unavailable``; nothing is half-written then. All of it is thread-safe.
"""

from __future__ import annotations

from tasks_service.store.open import Store, open_store

__all__ = ["Store", "open_store"]
