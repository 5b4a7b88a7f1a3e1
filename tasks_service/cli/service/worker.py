"""``tasks worker``; see ``processes``."""

from __future__ import annotations

from tasks_service.cli.service.processes import worker as command

__all__ = ["command"]
