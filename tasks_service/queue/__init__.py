"""The queue: wakes workers, and nothing else. The only importer of Celery.

In: names of pools. Out: calls of ``on_wake`` in a worker of that pool. A
message is ``{"v": 1, "pool": name}``; which run it was for, the worker reads
in the database. Messages may be lost, doubled or late: whoever is woken claims
what there is, and the scheduler announces again what nobody took.
"""

from __future__ import annotations

from tasks_service.queue.consumer import Consumer
from tasks_service.queue.health import BrokerCheck
from tasks_service.queue.publisher import NoQueue, Queue, open_queue

__all__ = ["BrokerCheck", "Consumer", "NoQueue", "Queue", "open_queue"]
