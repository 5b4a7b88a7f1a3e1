"""The data disk of one runner: a file with a file system in it, of fixed size.

All that a run writes lands there, so a run can fill its own disk only (F21).
Made and removed by ``runner``; found again by its place under ``runs/``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runners.backends.dind.programs import environment
from runners.model.errors import SystemFault

_MKFS = ("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode")
# linux/fs/ext4: _IOR('X', 125, u32), and its flag that writes nothing more.
_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_FLUSH = 2
_EXTENDED = "lazy_itable_init=1,nodiscard,root_owner={}:{}"


@dataclass(frozen=True, slots=True)
class Disk:
    """Where the parts of a runner's disk are."""

    directory: Path

    @property
    def image(self) -> Path:
        """The file."""
        return self.directory / "disk.img"

    @property
    def point(self) -> Path:
        """Where it is mounted."""
        return self.directory / "disk"


def create(directory: Path, size: int, base: tuple[int, int]) -> Disk:
    """Make a sparse disk of ``size`` bytes owned by ``base`` and mount it.

    A journal would cost writes and protect a file that never survives its
    run, so there is none.

    Raises:
        SystemFault: a tool is missing or refused, for example because no loop
            device can be had.
    """
    disk = Disk(directory)
    disk.point.mkdir(mode=0o711)
    with disk.image.open("xb") as handle:
        handle.truncate(size)
    disk.image.chmod(0o600)
    _run(
        [*_MKFS, "-E", _EXTENDED.format(*base), str(disk.image)],
    )
    device = _attach(disk.image)
    _run(["mount", "-o", "nodev,noatime", device, str(disk.point)])
    # On a device in use this means: free it by itself when the mount ends.
    _run(["losetup", "-d", device])
    return disk


def _attach(image: Path) -> str:
    # Without the page cache in between, writing is four times as fast, and no
    # page is kept twice. File systems that can't do that take it the plain way.
    for way in ("--direct-io=on", "--direct-io=off"):
        with suppress(SystemFault):
            return _run(["losetup", "--find", "--show", way, str(image)])
        _detach(image)
    return _run(["losetup", "--find", "--show", str(image)])


def _detach(image: Path) -> None:
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if backing.read_text().strip().removesuffix(" (deleted)") == str(image):
                device = f"/dev/{backing.parts[3]}"
                subprocess.run(
                    ["losetup", "-d", device], capture_output=True, env=environment(), check=False
                )


def remove(disk: Disk) -> None:
    """Unmount the disk and remove its file. Idempotent, never raises."""
    forget(disk)
    for patience in (0.0, 0.02, 0.1, 0.5):
        time.sleep(patience)
        if not disk.point.is_mount():
            break
        subprocess.run(
            ["umount", str(disk.point)], capture_output=True, env=environment(), check=False
        )
    if disk.point.is_mount():
        # Something still holds it; detached, it goes when that goes.
        subprocess.run(
            ["umount", "-l", str(disk.point)], capture_output=True, env=environment(), check=False
        )
    # Still there only if its maker was killed between two commands.
    _detach(disk.image)
    disk.image.unlink(missing_ok=True)


def forget(disk: Disk) -> None:
    """Stop the disk for good: from now on every use of it fails. Idempotent.

    What is not written yet would be written only to be removed, for seconds
    after a large build; a file system that was shut down drops it.
    """
    if not disk.point.is_mount():
        return
    with suppress(OSError):
        fd = os.open(disk.point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_FLUSH))
        finally:
            os.close(fd)


def available() -> str:
    """Return why loop disks can't be had here, empty if they can."""
    for tool in ("mkfs.ext4", "losetup", "mount", "umount"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    if not Path("/dev/loop-control").exists():
        return "the kernel has no loop devices (/dev/loop-control)"
    return ""


def _run(words: list[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=False)
    except FileNotFoundError as exc:
        raise SystemFault(f"a runner's disk needs {words[0]}, which is not here") from exc
    if done.returncode != 0:
        raise SystemFault(f"a runner's disk can't be made: {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
