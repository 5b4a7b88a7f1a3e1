"""The virtual environment: a lock file with hashes in, ``.venv`` out.

Run by ``make`` with the machine's own Python, before anything is installed,
so it uses the standard library only: ``python3 -m
tasks_service.devstack.bootstrap``. Quick when nothing changed: a stamp,
written last, holds the hash of all it depends on, so a set-up that was
killed half-way is done again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from runners.model.errors import RunnerError, Unavailable
from tasks_service.devstack.packages import install
from tasks_service.devstack.progress import run, step

CHECKOUT = Path(__file__).resolve().parents[2]
_INPUTS = ("requirements.lock", "pyproject.toml")


def ensure_environment(checkout: Path = CHECKOUT) -> Path:
    """Make ``checkout/.venv`` hold exactly what the lock file says.

    Returns:
        The environment's Python.

    Raises:
        Unavailable: this Python is too old, or a package can't be had.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever python3 is here
        raise Unavailable(
            f"Python {sys.version.split()[0]} is too old, 3.11 or newer is needed",
            hint="name another one: make PYTHON=python3.12 …",
        )
    environment = checkout / ".venv"
    python = environment / "bin" / "python"
    stamp = environment / "tasks-stamp"
    wanted = _fingerprint(checkout)
    if stamp.is_file() and stamp.read_text() == wanted and python.exists():
        return python
    stamp.unlink(missing_ok=True)
    if not _works(python):
        with step("Virtual environment .venv") as shown:
            shutil.rmtree(environment, ignore_errors=True)
            if not _has_ensurepip():
                install(["python3-venv"], shown)
            run(shown, [sys.executable, "-m", "venv", str(environment)])
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    pip += ["--progress-bar", "off"]
    network = "check the network, or the index that pip is configured with (pip config list)"
    with step("Python packages of requirements.lock") as shown:
        lock = str(checkout / "requirements.lock")
        run(shown, [*pip, "--require-hashes", "--only-binary=:all:", "-r", lock], hint=network)
    with step("This project, editable") as shown:
        run(shown, [*pip, "--no-deps", "--no-build-isolation", "-e", str(checkout)])
    partial = stamp.with_suffix(".partial")
    partial.write_text(wanted)
    partial.replace(stamp)
    return python


def _fingerprint(checkout: Path) -> str:
    digest = hashlib.sha256()
    for name in _INPUTS:
        digest.update((checkout / name).read_bytes())
    # An environment that was copied or moved points to the old place.
    digest.update(f"{checkout}\0{sys.version_info[:2]}".encode())
    return digest.hexdigest()


def _works(python: Path) -> bool:
    try:
        done = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0 and os.fsencode(python.parents[1]) in done.stdout


def _has_ensurepip() -> bool:
    """Tell whether venv can put pip in; Debian splits that off."""
    done = subprocess.run(
        [sys.executable, "-m", "ensurepip", "--version"], capture_output=True, check=False
    )
    return done.returncode == 0


def main() -> int:
    """Set up, and print nothing when there is nothing to do."""
    try:
        ensure_environment()
    except RunnerError as error:
        parts = [f"error: {error.message}", error.detail, error.hint and f"hint: {error.hint}"]
        sys.stderr.write("\n".join(part for part in parts if part) + "\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
