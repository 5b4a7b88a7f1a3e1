"""Names of Git refs and directories inside a repository: checked before Git sees them.

The rules are those of ``git check-ref-format --branch``, written here so that
a hostile name is refused without starting a program (G1). Pure.
"""

from __future__ import annotations

import re

from runners.model.errors import InvalidInput

_HEX = re.compile(r"^[0-9a-fA-F]+$")
_FORBIDDEN = frozenset(" ~^:?*[\\")


def is_commit(ref: str) -> bool:
    """Return True for a full commit id (40 or 64 hexadecimal digits)."""
    return len(ref) in (40, 64) and bool(_HEX.match(ref))


def is_short_commit(ref: str) -> bool:
    """Return True for what may be an abbreviated commit id."""
    return 7 <= len(ref) < 40 and bool(_HEX.match(ref))


def check_ref(ref: str) -> None:
    """Check a branch, tag, pull ref or commit id.

    Raises:
        InvalidInput: The name breaks a rule of Git; the message names it.
    """
    rule = _broken_rule(ref)
    if rule:
        shown = ref if len(ref) <= 80 else f"{ref[:79]}…"
        raise InvalidInput(f"{shown!r} is not a valid branch, tag or commit name: {rule}")


def _broken_rule(ref: str) -> str:
    rules = (
        (not ref, "it is empty"),
        (len(ref) > 255, f"it is {len(ref)} characters long (at most 255)"),
        (ref.startswith("-"), "it begins with '-'"),
        (ref.startswith("/") or ref.endswith("/"), "it begins or ends with '/'"),
        ("//" in ref, "it holds '//'"),
        (".." in ref, "it holds '..'"),
        ("@{" in ref, "it holds '@{'"),
        (ref == "@", "'@' alone is not a name"),
        (ref.endswith("."), "it ends with '.'"),
        (any(ord(c) < 33 or ord(c) == 127 for c in ref), "it holds a space or control character"),
        (any(c in _FORBIDDEN for c in ref), "it holds one of ~ ^ : ? * [ \\"),
        (any(p.startswith(".") for p in ref.split("/")), "a part of it begins with '.'"),
        (any(p.endswith(".lock") for p in ref.split("/")), "a part of it ends with '.lock'"),
        (
            bool(_HEX.match(ref)) and len(ref) > 40 and len(ref) != 64,
            f"it has {len(ref)} hexadecimal digits; a commit id has 40 (or 64)",
        ),
    )
    return next((text for broken, text in rules if broken), "")


def check_directory(directory: str) -> None:
    """Check a directory below the root of a repository or archive (K-04).

    Raises:
        InvalidInput: It is absolute, has ``..`` or holds strange characters.
    """
    shown = directory if len(directory) <= 80 else f"{directory[:79]}…"
    if directory.startswith("/"):
        raise InvalidInput(
            f"source directory {shown!r} begins with '/'",
            hint="it is counted from the root of the repository; drop the first '/'",
        )
    if ".." in directory.split("/"):
        raise InvalidInput(f"source directory {shown!r} points outside the repository ('..')")
    if "\\" in directory or any(ord(c) < 32 or ord(c) == 127 for c in directory):
        raise InvalidInput(f"source directory {shown!r} holds a backslash or control character")
