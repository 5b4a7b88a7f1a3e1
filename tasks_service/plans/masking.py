"""Secrets out of what is shown: every value in the forms it usually takes.

In: text and secret values. Out: the text with ``***``. Called by the commands
that print rendered files and plans; a run's output has its own masking.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
"""Stands for every secret in what is shown, and for one not resolved."""

_SHORTEST = 3


def forms(secret: str) -> set[str]:
    """Return a secret as plain, JSON, URL-encoded, hex and Base64 text.

    Base64 comes in its three alignments, without the characters that depend
    on what stands before and after.
    """
    data = secret.encode()
    found = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    found |= {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    found |= {data.hex(), data.hex().upper()}
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + data).decode()
        start = (0, 2, 3)[offset]
        whole = (offset + len(data)) * 8 // 6
        found.add(text[start:whole])
        found.add(text[start:].rstrip("="))
    return {form for form in found if len(form) >= _SHORTEST}


def mask_text(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with every form of every secret replaced by ``***``.

    Secrets shorter than three characters are left: hiding them would tell more.
    """
    every = {form for secret in secrets if len(secret) >= _SHORTEST for form in forms(secret)}
    if not every:
        return text
    longest_first = sorted(every, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda _: MASK, text)


def mask_data(value: Any, secrets: Iterable[str]) -> Any:
    """Return JSON-like data with every text in it masked."""
    known = tuple(secrets)
    if not known:
        return value
    if isinstance(value, str):
        return mask_text(value, known)
    if isinstance(value, dict):
        return {mask_data(key, known): mask_data(item, known) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask_data(item, known) for item in value]
    return value
