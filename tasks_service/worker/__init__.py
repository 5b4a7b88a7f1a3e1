"""Executes runs: claims them, keeps their leases, records what they do, ends them once.

In: queued runs of one pool. Out: ended runs. The database decides who holds a
run; a worker that can't reach it in time stops its runs by itself.
"""

from __future__ import annotations

from tasks_service.worker.worker import Worker

__all__ = ["Worker"]
