"""Walk one plan: ready steps, clocks, retries, cancel, clean-up."""

from __future__ import annotations

from runners.engine.walk import execute_plan

__all__ = ["execute_plan"]
