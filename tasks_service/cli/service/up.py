"""``tasks up``; see ``processes``."""

from __future__ import annotations

from tasks_service.cli.service.processes import up as command

__all__ = ["command"]
