"""Whether the broker answers, for ``/readyz``, and whether it was told to forget.

In: settings that name a Redis. Out: an exception or a line in the log. Without
it nothing is lost: runs wait in the database.
"""

from __future__ import annotations

import redis

from runners.model.errors import Unavailable
from tasks_service.config import Settings
from tasks_service.process_log import get_logger

CHECK_S = 1.0
_KEEPS = ("noeviction", "")
_log = get_logger(__name__)


class BrokerCheck:
    """Asks a Redis for an answer. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._client = redis.Redis.from_url(
            settings.redis_url,
            socket_timeout=CHECK_S,
            socket_connect_timeout=CHECK_S,
            retry=None,
            decode_responses=True,
        )

    def __call__(self) -> None:
        """Return if it answers within CHECK_S.

        Raises:
            Unavailable: It does not.
        """
        try:
            self._client.ping()
        except (redis.RedisError, OSError) as error:
            raise Unavailable(
                f"the queue does not answer: {type(error).__name__}",
                hint="check that Redis is up; runs wait in the database meanwhile",
            ) from error

    def warn(self) -> bool:
        """Say so in the log, and return True, if it drops messages when its memory is full."""
        try:
            told = self._client.config_get("maxmemory-policy")
        except (redis.RedisError, OSError):
            # Away, or a service that lets nobody look: /readyz tells the one, nothing the other.
            return False
        policy = str(told.get("maxmemory-policy", ""))
        if policy in _KEEPS:
            return False
        _log.warning(
            "broker_evicts",
            policy=policy,
            hint="set maxmemory-policy noeviction; lost wake-ups make runs start late",
        )
        return True

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()
