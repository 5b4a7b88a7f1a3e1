"""Make a bare Git repository out of a folder: the demo's and the tests' input.

The same files, times and message give the same commit id on every machine, so
a demo that runs twice clones the same commit twice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_IDENTITY = "Tasks Demo"
_EMAIL = "demo@tasks.invalid"
_TIME = "2026-01-01T00:00:00+00:00"


def publish(
    source: Path, bare: Path, *, tags: tuple[str, ...] = (), branch: str = "main", message: str = ""
) -> str:
    """Commit the content of ``source`` into the bare repository ``bare``.

    ``bare`` is made if missing; otherwise the commit goes on top of
    ``branch``, and nothing happens if nothing changed. ``tags`` (annotated)
    are moved to the commit. File modes and symlinks are kept.

    Returns:
        The id of the commit that ``branch`` now names.

    Raises:
        OSError: ``git`` is missing or failed; the text holds its words.
    """
    if not (bare / "HEAD").exists():
        partial = bare.with_name(bare.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        bare.parent.mkdir(parents=True, exist_ok=True)
        _git(bare.parent, "init", "--quiet", "--bare", f"--initial-branch={branch}", str(partial))
        partial.rename(bare)
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        where = ("--git-dir", str(bare), "--work-tree", str(source))
        _git(source, *where, "add", "--all", "--force", ".", extra=index)
        tree = _git(source, *where, "write-tree", extra=index)
    head = _head(bare, branch)
    if head is None or _git(bare, "rev-parse", f"{head}^{{tree}}") != tree:
        parent = ("-p", head) if head else ()
        text = message or f"Publish {source.name}"
        head = _git(bare, "commit-tree", tree, *parent, "-m", text)
        _git(bare, "update-ref", f"refs/heads/{branch}", head)
    for tag in tags:
        _git(bare, "tag", "--annotate", "--force", "-m", tag, tag, head)
    return head


def _head(bare: Path, branch: str) -> str | None:
    try:
        return _git(bare, "rev-parse", "--quiet", "--verify", f"refs/heads/{branch}")
    except OSError:
        return None


def _git(folder: Path, *words: str, extra: dict[str, str] | None = None) -> str:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_AUTHOR_NAME": _IDENTITY,
        "GIT_AUTHOR_EMAIL": _EMAIL,
        "GIT_AUTHOR_DATE": _TIME,
        "GIT_COMMITTER_NAME": _IDENTITY,
        "GIT_COMMITTER_EMAIL": _EMAIL,
        "GIT_COMMITTER_DATE": _TIME,
        **(extra or {}),
    }
    done = subprocess.run(
        ["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(f"git {words[0]} in {folder} failed: {done.stderr.strip()}")
    return done.stdout.strip()
