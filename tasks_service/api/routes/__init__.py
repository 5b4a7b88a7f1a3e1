"""Routes of the REST API, one module per noun; ``ROUTERS`` is all of them."""

from __future__ import annotations

from fastapi import APIRouter

from tasks_service.api.routes import (
    access,
    hooks,
    images,
    logs,
    machines,
    notifications,
    rollbacks,
    runs,
    server,
    tasks,
    timers,
    uploads,
    waves,
)

ROUTERS: tuple[APIRouter, ...] = (
    server.router,
    runs.router,
    logs.router,
    tasks.router,
    timers.router,
    notifications.router,
    hooks.router,
    hooks.door,
    uploads.router,
    access.router,
    images.router,
    images.door,
    rollbacks.router,
    waves.router,
    machines.router,
)
