"""Who is told of the ends of runs, and what became of each message."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from runners.model.status import RunStatus
from tasks_service.api.caller import Admin
from tasks_service.api.models.base import rfc3339
from tasks_service.api.models.inputs import NotificationInput
from tasks_service.api.models.notices import (
    DeliveryPageView,
    DeliveryView,
    NewNotificationView,
    NotificationPageView,
    NotificationView,
)
from tasks_service.api.parts import Wired
from tasks_service.api.routes.paging import Limit
from tasks_service.errors import NotFound
from tasks_service.model.notification import (
    FAILED,
    RECOVERED,
    TEST,
    WAITING,
    Delivery,
    Notification,
    Receiver,
)
from tasks_service.model.run import LANES, Cause, Run, RunRequest
from tasks_service.notifiers import KINDS
from tasks_service.notifiers.webhook import new_secret
from tasks_service.runs.fields import FieldError, raise_if_any
from tasks_service.runs.lifecycle import QUICK_RUN

router = APIRouter(prefix="/api/v1", tags=["notifications"])
Status = Annotated[Literal["waiting", "delivered", "dead"] | None, Query()]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,49}")


@router.get("/notifications")
def list_notifications(caller: Admin, parts: Wired) -> NotificationPageView:
    """List who is told."""
    del caller
    found = parts.store.notifications.list()
    return NotificationPageView(items=[NotificationView(**_fields(one)) for one in found])


@router.put("/notifications/{name}", status_code=201)
def add_notification(
    name: str, body: NotificationInput, caller: Admin, parts: Wired
) -> NewNotificationView:
    """Add a receiver. One that is there already is not replaced."""
    notifier = KINDS[body.kind]
    receiver = Receiver(
        body.url,
        body.secret or "",
        body.username or "",
        body.password or "",
        body.from_ or "",
        tuple(body.to or ()),
    )
    found = notifier.problems(receiver, parts.life.rules.policy)
    errors = [FieldError(pointer, problem) for pointer, problem in found]
    if not _NAME.fullmatch(name):
        errors.append(FieldError("", "a name is 1 to 50 letters, digits, '-' and '_'"))
    raise_if_any(errors)
    if notifier.signed and not receiver.secret:
        receiver = replace(receiver, secret=new_secret())
    events = tuple(body.events or (FAILED, RECOVERED))
    one = Notification(
        name, notifier.key, notifier.place(receiver), events, tuple(body.tasks or ())
    )
    parts.store.notifications.create(one, receiver)
    caller.audit(parts.store, "notification.create", f"notifications/{name}", host=one.address)
    return NewNotificationView(**_fields(one), secret=receiver.secret)


@router.delete("/notifications/{name}", status_code=204)
def delete_notification(name: str, caller: Admin, parts: Wired) -> None:
    """Remove a receiver and its deliveries."""
    parts.store.notifications.delete(name)
    caller.audit(parts.store, "notification.delete", f"notifications/{name}")


@router.post("/notifications/{name}/test", status_code=202)
def send_test(name: str, caller: Admin, parts: Wired) -> DeliveryView:
    """Send a message that is about no run, to see whether it arrives."""
    store = parts.store.notifications
    found = next((one for one in store.list() if one.name == name), None)
    if found is None:
        raise NotFound(f"there is no notification {name[:60]!r}")
    message = f"msg_{secrets.token_hex(12)}"
    run = _no_run(f"test-{secrets.token_hex(4)}", caller.name)
    body = KINDS[found.kind].body(TEST, run, message=message, public_url="")
    store.plan(run.id, [(message, name, TEST, body)])
    caller.audit(parts.store, "notification.test", f"notifications/{name}", delivery=message)
    return next(_delivery(one) for one in store.deliveries(name) if one.id == message)


def _no_run(name: str, actor: str) -> Run:
    now = time.time()
    return Run(
        name, 0, RunStatus.SUCCEEDED, QUICK_RUN, "", RunRequest(), Cause("manual", actor),
        LANES[0], created=now, queued=now, finished=now,
    )  # fmt: skip


@router.get("/notifications/{name}/deliveries")
def list_deliveries(
    name: str, caller: Admin, parts: Wired, limit: Limit = 50, status: Status = None
) -> DeliveryPageView:
    """List the newest messages to a receiver, and what became of them."""
    del caller
    found = parts.store.notifications.deliveries(name, status=status or "", limit=limit)
    return DeliveryPageView(items=[_delivery(one) for one in found])


@router.post("/notifications/{name}/deliveries/{delivery}/redeliver", status_code=202)
def redeliver(name: str, delivery: str, caller: Admin, parts: Wired) -> DeliveryView:
    """Try a message again from the start, also a dead or delivered one."""
    found = parts.store.notifications.redeliver(name, delivery)
    caller.audit(parts.store, "notification.redeliver", f"notifications/{name}", delivery=delivery)
    return _delivery(found)


def _fields(one: Notification) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "host": one.address,
        "events": list(one.events),
        "tasks": list(one.tasks),
        "created": rfc3339(one.created),
    }


def _delivery(one: Delivery) -> DeliveryView:
    return DeliveryView(
        id=one.id,
        run=one.run_id,
        event=one.event,
        status=one.status,
        attempts=one.attempts,
        code=one.code,
        problem=one.problem,
        at=rfc3339(one.at) if one.status == WAITING else None,
        created=rfc3339(one.created),
    )
