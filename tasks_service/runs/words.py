"""Words of a request: hosts, platforms, names. A text in, what is wrong with it out.

Each function returns one sentence, or an empty text if the word is fine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

Check = Callable[[str], str]

MAX_NAME = 50
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?)*"
    r"(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?"
)
_TASK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,49}")
_POOL = re.compile(r"[a-z0-9][a-z0-9._\-]{0,49}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_VALUE = re.compile(r"[^=\s]{1,256}")
ARCHITECTURES = ("amd64", "arm64", "arm", "386")
_PLATFORM = re.compile(r"linux(?:/(?:amd64|arm64|386|arm))?(?:/v[678])?")


def shown(text: str) -> str:
    """Return a text for messages: quoted, cut to 80 characters."""
    return repr(text if len(text) <= 80 else text[:79] + "…")


def registry_problem(text: str) -> str:
    """``host`` or ``host:port``, no scheme and no path."""
    if len(text) <= 255 and _HOST.fullmatch(text):
        return ""
    return f"{shown(text)} is not a registry: give host or host:port, without https:// or a path"


def platform_problem(text: str) -> str:
    """``linux/ARCH[/VARIANT]``, normalised."""
    if _PLATFORM.fullmatch(text):
        return ""
    if text.lower().startswith("windows"):
        return "windows is not supported: runners are Linux machines"
    return (
        f"{shown(text)} is not a platform: give linux/ARCH with one of {', '.join(ARCHITECTURES)}"
    )


def task_name_problem(text: str) -> str:
    """Name of a stored task (L-07)."""
    if _TASK.fullmatch(text):
        return ""
    return (
        f"{shown(text)} is not a task name: 1 to {MAX_NAME} letters, digits, '-' and '_',"
        " beginning with a letter or digit"
    )


def pool_problem(text: str) -> str:
    """Name of a pool of workers."""
    if _POOL.fullmatch(text):
        return ""
    return (
        f"{shown(text)} is not a pool name: 1 to {MAX_NAME} lower-case letters, digits,"
        " '.', '-' and '_'"
    )


def word_problem(text: str) -> str:
    """Id of a build secret, a level, a stage."""
    return "" if _WORD.fullmatch(text) else f"{shown(text)} is not a name"


def argument_problem(name: str) -> str:
    """Name of a build argument."""
    return "" if _ARGUMENT.fullmatch(name) and len(name) <= 256 else f"{shown(name)} is not a name"


def value_problem(name: str) -> str:
    """Name of a value of a task file."""
    if _VALUE.fullmatch(name):
        return ""
    return f"{shown(name)} is not a name: no '=', no spaces, at most 256 characters"


def path_problem(text: str) -> str:
    """Path of a file in the source."""
    path = PurePosixPath(text)
    if len(text) > 1024:
        return "the path is longer than 1024 characters"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text) or "\\" in text:
        return f"{shown(text)} holds a character that paths here can't have"
    if path.is_absolute() or ".." in path.parts:
        return f"{shown(text)} leaves the source: give a path inside it"
    return ""
