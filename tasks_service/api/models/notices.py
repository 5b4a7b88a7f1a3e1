"""Bodies about notifications that go out."""

from __future__ import annotations

from tasks_service.api.models.base import Page, View


class NotificationView(View):
    """Who is told of the ends of runs; ``host`` is where, its URL is never shown."""

    name: str
    kind: str
    host: str
    events: list[str]
    tasks: list[str]
    created: str


class NewNotificationView(NotificationView):
    """One that was just made; ``secret`` is shown this once."""

    secret: str


class NotificationPageView(Page):
    """Notifications by name."""

    items: list[NotificationView]


class DeliveryView(View):
    """One message: ``waiting`` for ``at``, ``delivered``, or ``dead``."""

    id: str
    run: str
    event: str
    status: str
    attempts: int
    code: int
    problem: str
    at: str | None
    created: str


class DeliveryPageView(Page):
    """Deliveries, newest first."""

    items: list[DeliveryView]
