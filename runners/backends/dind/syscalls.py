"""Kernel calls the standard library lacks: openat2 and setns.

Called by ``dialer`` and ``relay``. Linux only; errors come as OSError.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache
from typing import Any

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
STRICT = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
"""Nothing but real directories below the given one, whoever writes there."""

CLONE_NEWNET = 0x40000000

# The number is the same on every architecture that got it after the tables
# were unified (Linux 5.6).
_NR_OPENAT2 = 437


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def openat2(directory_fd: int, path: str, flags: int, *, resolve: int) -> int:
    """Open ``path`` relative to ``directory_fd`` under ``resolve`` rules.

    Returns:
        A new descriptor, close-on-exec.
    """
    how = ctypes.create_string_buffer(struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, resolve))
    fd = _libc().syscall(_NR_OPENAT2, directory_fd, os.fsencode(path), how, ctypes.sizeof(how) - 1)
    if fd < 0:
        raise _error(path)
    return int(fd)


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into the namespace of ``fd``."""
    if _libc().setns(fd, kind) != 0:
        raise _error("setns")


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
