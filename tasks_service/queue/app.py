"""The Celery application: settings that were tried against a broker that dies.

In: Settings. Out: an app for publishing or consuming. Why each setting is as
it is stands beside it; the tests of ``tests/integration/queue`` hold them.
"""

from __future__ import annotations

import hashlib
from typing import Any

from celery import Celery

from tasks_service.config import Settings

JOB = "tasks.wake"
VERSION = 1
PREFIX = "tasks-service:"
PUBLISH_S = 1.5
"""Longest wait for one answer of the broker while publishing."""
POLL_S = 0.05
"""How often the embedded broker looks for messages."""


def queue_name(settings: Settings, pool: str) -> str:
    """Return the queue of a pool. The embedded broker is one per process: its
    names tell services of one process apart.
    """
    if settings.redis_url:
        return f"runs.{pool}"
    place = hashlib.sha256(str(settings.state_dir).encode()).hexdigest()[:12]
    return f"runs.{place}.{pool}"


def make_app(settings: Settings, *, publishes: bool) -> Celery:
    """Return an app of its own; nothing is connected yet and no global is set."""
    app = Celery(
        "tasks-service", set_as_current=False, broker=settings.redis_url or "memory://localhost/"
    )
    app.conf.update(
        # The claim in the database replaces redelivery: a late ack would start
        # long runs twice, and 5.7.0 exits when Redis goes away meanwhile.
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        accept_content=["json"],
        task_create_missing_queues=True,
        task_default_delivery_mode="transient",
        task_publish_retry=False,
        worker_pool="threads",
        # No wake-up waits behind a busy worker while another is idle. The embedded
        # broker has one worker, and notes up to two seconds late that a message was
        # taken: a bound would leave that worker deaf for so long.
        worker_prefetch_multiplier=1 if settings.redis_url else 0,
        worker_disable_prefetch=bool(settings.redis_url),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # Only late acks are cancelled by it, and there are none; False makes it warn.
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_transport_options=_transport(settings, publishes=publishes),
        broker_pool_limit=1 if publishes else 4,
    )
    return app


def _transport(settings: Settings, *, publishes: bool) -> dict[str, Any]:
    if not settings.redis_url:
        return {"polling_interval": POLL_S}
    options: dict[str, Any] = {
        "global_keyprefix": PREFIX,
        "socket_keepalive": True,
        "socket_connect_timeout": PUBLISH_S if publishes else 5,
        "socket_timeout": PUBLISH_S if publishes else 30,
        "visibility_timeout": 3600,
    }
    if publishes:
        options["max_retries"] = 0
    else:
        # A half-open connection shows within half a minute.
        options["health_check_interval"] = 25
    return options
