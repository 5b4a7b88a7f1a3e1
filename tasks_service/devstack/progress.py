"""Tell a person what is being done, how long it has taken, and what went wrong.

Standard library only: ``bootstrap`` uses it before any package is installed.
Lines go to stderr. On a terminal the line of the step at hand is rewritten;
elsewhere a long step says every few seconds that it is still alive.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from runners.model.errors import Unavailable

_TAIL_LINES = 30


class Step:
    """One piece of work that is being shown."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._began = time.monotonic()
        self._detail = ""
        self._done = threading.Event()
        self._live = stream.isatty()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        if not self._live:
            self._write(f"==> {title}\n")
        self._thread.start()

    def update(self, detail: str) -> None:
        """Say where the work is; the last word wins."""
        self._detail = detail.strip().rpartition("\n")[2]

    def close(self, outcome: str) -> None:
        """End the line with ``outcome`` and the time it took."""
        self._done.set()
        self._thread.join()
        took = time.monotonic() - self._began
        if self._live:
            self._write(f"\r\x1b[K{outcome:>6}  {self._title} ({took:.1f} s)\n")
        elif took >= 1 or outcome != "ok":
            self._write(f"    {outcome} after {took:.1f} s\n")

    def _tick(self) -> None:
        pause = 0.2 if self._live else 10
        while not self._done.wait(pause):
            took = time.monotonic() - self._began
            if self._live:
                width = os.get_terminal_size(self._stream.fileno()).columns or 80
                line = f"{took:5.0f}s  {self._title}  {self._detail}"
                self._write(f"\r\x1b[K{line[: max(width - 1, 20)]}")
            else:
                self._write(f"    {took:.0f} s  {self._detail[:120]}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Show ``title`` while the block works; failure is shown, then raised on."""
    shown = Step(title, sys.stderr)
    try:
        yield shown
    except BaseException:
        shown.close("FAILED")
        raise
    shown.close("ok")


def note(text: str) -> None:
    """Say one thing."""
    sys.stderr.write(f"    {text}\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Say one thing that a person should not miss."""
    sys.stderr.write(f"    warning: {text}\n")
    sys.stderr.flush()


def run(
    shown: Step,
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    hint: str = "",
) -> None:
    """Run a program to its end and show its lines as the step's detail.

    Raises:
        Unavailable: it is missing or failed; the error's detail holds the
            last lines it wrote.
    """
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    try:
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=directory,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None  # noqa: S101 - PIPE was asked for
            try:
                for line in process.stdout:
                    if line.strip():
                        tail.append(line.rstrip())
                        shown.update(line)
            except BaseException:
                process.kill()
                raise
    except OSError as error:
        raise Unavailable(f"cannot run {argv[0]}: {error.strerror}", hint=hint) from error
    if process.returncode != 0:
        raise Unavailable(
            f"{' '.join(argv[:3])} ended with exit code {process.returncode}",
            hint=hint,
            detail="\n".join(tail),
        )
