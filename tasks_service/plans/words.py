"""The words of a step's text, for looking at its options from outside.

What a text means is for its kind alone to say; this is for warnings and for
placing a cache. Called by traps.py and caching.py.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_QUOTED = re.compile(r"[\"'\\#]")


def words_of(text: str) -> list[str]:
    """Return the words; none where a quote doesn't end."""
    if not _QUOTED.search(text):
        return text.split()
    try:
        return shlex.split(text)
    except ValueError:
        return []


def option_values(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the values of options, as ``--name value`` or ``--name=value``."""
    found = []
    for index, word in enumerate(words):
        if word in names and index + 1 < len(words):
            found.append(words[index + 1])
        found += [
            word[len(name) + 1 :]
            for name in names
            if name.startswith("--") and word.startswith(name + "=")
        ]
    return found
