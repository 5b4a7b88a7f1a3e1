"""Notifier kinds: the end of a run in, a message out.

Called by the scheduler, which keeps what is still to be told. A new kind is a
module that satisfies ``Notifier`` of ``base``, and its line in ``KINDS``.
"""

from __future__ import annotations

from tasks_service.notifiers.base import Notifier
from tasks_service.notifiers.mail import MAIL
from tasks_service.notifiers.slack import SLACK
from tasks_service.notifiers.webhook import WEBHOOK

KINDS: dict[str, Notifier] = {kind.key: kind for kind in (WEBHOOK, SLACK, MAIL)}
