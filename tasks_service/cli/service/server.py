"""``tasks server``; see ``processes``."""

from __future__ import annotations

from tasks_service.cli.service.processes import server as command

__all__ = ["command"]
