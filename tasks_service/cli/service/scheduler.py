"""``tasks scheduler``; see ``processes``."""

from __future__ import annotations

from tasks_service.cli.service.processes import scheduler as command

__all__ = ["command"]
