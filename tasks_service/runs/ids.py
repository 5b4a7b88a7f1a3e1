"""Ids of runs: short, lower-case, growing with time (R-01)."""

from __future__ import annotations

import secrets
import time

_EPOCH = 1_735_689_600
"""2025-01-01 UTC."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_RANDOM = 5


def new_run_id(now: float | None = None) -> str:
    """Return a fresh id: seconds since 2025 in base 36, then five random digits."""
    count = int((time.time() if now is None else now) - _EPOCH)
    digits = ""
    while count > 0:
        count, digit = divmod(count, 36)
        digits = _DIGITS[digit] + digits
    return digits + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM))
