"""Registries: what is behind a reference, asked politely.

Called by the scheduler. In: a reference, and a login where there is one. Out:
its digest, or why it could not be told.
"""

from __future__ import annotations

from tasks_service.registries.client import Answer, RegistryClient, TooMany

__all__ = ["Answer", "RegistryClient", "TooMany"]
