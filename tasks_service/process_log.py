"""What a process of the service says of itself: one structured line per event.

In: events with fields. Out: lines on standard error, JSON or for people. No
secret leaves by it: fields with telling names, tokens of ours and logins in
URLs are masked, whoever logs them. ``run_id`` and ``request_id`` are added
where they are bound (``structlog.contextvars``).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import IO, Any

import structlog

MASK = "***"
_TELLING = re.compile(
    r"pass(word|wd)?$|secret|token|authorization|cookie|credential|private|api_?key|access_?key",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\btsk_[A-Za-z0-9]+_[A-Za-z0-9_\-]+")
_LOGIN = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{8,}")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_QUIET = ("sqlalchemy", "alembic", "kombu", "amqp", "httpcore", "httpx2", "asyncio")

Fields = MutableMapping[str, Any]


def get_logger(name: str) -> Any:
    """Return a logger; ``name`` is the module's."""
    return structlog.stdlib.get_logger(name)


class Redaction:
    """Masks secrets in every field of an event, at any depth.

    Args:
        known: Texts that are secret wherever they stand; short ones are left
            out, they would mask half of the log.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = sorted({text for text in known if len(text) >= 6}, key=len, reverse=True)

    def __call__(self, logger: Any, method: str, event: Fields) -> Fields:
        """Mask an event; a processor of structlog."""
        del logger, method
        for name in list(event):
            event[name] = self._value(name, event[name])
        return event

    def _value(self, name: str, value: Any) -> Any:
        if value and _TELLING.search(name) and not isinstance(value, bool | int | float):
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self._value(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._value("", inner) for inner in value]
        return value

    def text(self, text: str) -> str:
        """Return ``text`` with what is secret in it masked."""
        for secret in self._known:
            text = text.replace(secret, MASK)
        return _BEARER.sub(rf"\1 {MASK}", _LOGIN.sub(MASK, _TOKEN.sub(f"tsk_{MASK}", text)))


def set_up_logging(
    *,
    form: str = "auto",
    level: str = "info",
    secrets: Iterable[str] = (),
    out: IO[str] | None = None,
) -> None:
    """Send this process's log, and that of its libraries, to one place.

    Args:
        form: ``json``, ``console``, or ``auto``: for people on a terminal.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        secrets: Texts never to be shown.
        out: Where to; standard error where None.
    """
    stream = sys.stderr if out is None else out
    console = form == "console" or (form == "auto" and stream.isatty())
    render: Any = (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # The traceback becomes text before the masks look at it.
            structlog.processors.format_exc_info,
            Redaction(secrets),
            render,
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS.get(level.lower(), 20))
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(30, root.level))
