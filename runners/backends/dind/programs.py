"""The environment of programs of the system that are started for runners.

They need none of ours: it may hold the password of a database, and an engine
that is started here outlives whoever started it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_KEPT = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"})
_KEPT_ENDS = ("_PROXY", "_proxy")


def environment(ours: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what of an environment such a program gets: where things are, and proxies."""
    return {
        name: value
        for name, value in ours.items()
        if name in _KEPT or name.startswith("LC_") or name.endswith(_KEPT_ENDS)
    }
