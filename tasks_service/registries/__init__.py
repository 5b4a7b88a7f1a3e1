"""Registries: what is behind a reference, asked politely.

Called by the scheduler and by sources. In: a reference, and a login where there
is one. Out: its digest or content, or why it could not be told.
"""

from __future__ import annotations

from tasks_service.registries.client import Answer, Manifest, RegistryClient, TooMany

__all__ = ["Answer", "Manifest", "RegistryClient", "TooMany"]
