"""Open a file strictly beneath a directory, following no link.

A directory descriptor and a relative path in, a descriptor out; called by
localfs.py. With openat2 the kernel itself keeps the promise in one call;
without it the path is walked name by name, which keeps it as well.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Callable

_SYS_OPENAT2 = 437  # the same number on every architecture
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


@functools.cache
def _syscall() -> Callable[..., int]:
    function: Callable[..., int] = ctypes.CDLL(None, use_errno=True).syscall
    return function


def openat2(root: int, path: bytes, flags: int) -> int:
    """Open with the kernel's promise that nothing outside ``root`` is reached."""
    how = _OpenHow(flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    number = ctypes.c_long(_SYS_OPENAT2)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    while True:
        result = _syscall()(number, ctypes.c_int(root), path, ctypes.byref(how), size)
        if result >= 0:
            return result
        code = ctypes.get_errno()
        # EAGAIN: a rename elsewhere made the kernel unsure; it says to ask again.
        if code not in (errno.EAGAIN, errno.EINTR):
            raise OSError(code, os.strerror(code), os.fsdecode(path))


def open_stepwise(root: int, path: bytes, flags: int) -> int:
    """Open ``path`` one name at a time; for kernels and filters without openat2."""
    *parents, name = path.split(b"/")
    current = root
    try:
        for part in parents:
            following = os.open(part, _DIRECTORY, dir_fd=current)
            if current != root:
                os.close(current)
            current = following
        return os.open(name, flags, dir_fd=current)
    finally:
        if current != root:
            os.close(current)


@functools.cache
def has_openat2() -> bool:
    """Return whether the kernel, and whatever filters its calls, knows openat2."""
    probe = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(openat2(probe, b".", _DIRECTORY))
    except OSError:
        return False
    finally:
        os.close(probe)
    return True


def best_open() -> Callable[[int, bytes, int], int]:
    """Return the better of the two ways that works here: (root, path, flags) → descriptor.

    ``flags`` must hold O_NOFOLLOW. Both raise OSError.
    """
    return openat2 if has_openat2() else open_stepwise
