"""Workers and pools: who does the work, and how much of it waits."""

from __future__ import annotations

from fastapi import APIRouter

from tasks_service.api.caller import Reader
from tasks_service.api.models.views import (
    PoolPageView,
    WorkerPageView,
    pool_view,
    worker_view,
)
from tasks_service.api.parts import Wired

router = APIRouter(prefix="/api/v1", tags=["machines"])


@router.get("/workers")
def list_workers(caller: Reader, parts: Wired) -> WorkerPageView:
    """List worker processes by pool, as they were seen last."""
    del caller
    return WorkerPageView(items=[worker_view(worker) for worker in parts.store.workers.list()])


@router.get("/pools")
def list_pools(caller: Reader, parts: Wired) -> PoolPageView:
    """List pools that have workers or runs."""
    del caller
    return PoolPageView(items=[pool_view(status) for status in parts.store.recovery.pools()])
