"""Looking for what must not be there: secrets, and leftovers of runs.

Reads databases as files and dumps, Redis, folders and the process list.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import redis

Find = Callable[[bytes], object]


def in_files(folder: Path, find: Find, since: float = 0) -> list[str]:
    """Return the files below a folder, changed since then, in which something is found."""
    found = []
    for directory, _, names in os.walk(folder):
        for name in names:
            path = Path(directory, name)
            try:
                status = path.lstat()
                if max(status.st_mtime, status.st_ctime) < since or not path.is_file():
                    continue
                if any(find(data) for data in pieces(path)):
                    found.append(str(path))
            except FileNotFoundError:
                continue
            except OSError as error:
                # In the disk of a live runner some files stand for namespaces: they hold nothing.
                if error.errno not in (errno.EINVAL, errno.ESPIPE):
                    raise
    return found


def pieces(path: Path) -> Iterator[bytes]:
    """Yield what a file holds, without its holes: a runner's disk is 20 GiB of them."""
    with path.open("rb", buffering=0) as stream:
        end = 0
        while True:
            try:
                start = os.lseek(stream.fileno(), end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            end = os.lseek(stream.fileno(), start, os.SEEK_HOLE)
            os.lseek(stream.fileno(), start, os.SEEK_SET)
            while start < end and (data := stream.read(min(8 << 20, end - start))):
                yield data
                start += len(data)


def postgres_dump(url: str) -> bytes:
    """Return all that a database holds, as ``pg_dump`` says it."""
    parts = urlsplit(url)
    program = shutil.which("pg_dump")
    assert program is not None
    done = subprocess.run(
        [program, "-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username),
         parts.path.lstrip("/")],
        env=os.environ | {"PGPASSWORD": parts.password or ""},
        capture_output=True,
        check=True,
    )  # fmt: skip
    assert b"COPY public.runs" in done.stdout
    return done.stdout


def redis_dump(url: str) -> bytes:
    """Return every key of a Redis and what it holds."""
    found = []
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter():
            found += [key, client.dump(key) or b""]
    return b"\n".join(found)


def command_lines() -> Iterator[bytes]:
    """Yield the command lines of all processes: ours and those of runners.

    Not those of containers inside runners, which are told by their depth of PID namespaces:
    what a task file says is such a container's command line.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            numbers = (process / "status").read_text().partition("\nNSpid:")[2].partition("\n")[0]
        except OSError:
            continue
        if len(numbers.split()) <= 2:
            yield line.replace(b"\0", b" ")


def environments(pids: set[int]) -> Iterator[bytes]:
    """Yield the environments of all descendants of processes, without their own."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    below = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    for pid in below - pids:
        process = Path(f"/proc/{pid}")
        try:
            words, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
            own = Path(f"/proc/{parents[pid]}/cmdline").read_bytes()
        except OSError:
            continue
        # Between fork and exec a child is its parent still.
        if words != own:
            yield words + environment
