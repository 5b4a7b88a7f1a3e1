"""The runner image's base: a minimal Debian as a tar file, made of Debian's packages.

Used where Docker Hub can't be reached. Takes about a minute; the file is kept
for a week, then made again so that it holds the newest packages.
"""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

from runners.model.errors import Unavailable
from tasks_service.devstack import packages
from tasks_service.devstack.layout import Layout
from tasks_service.devstack.progress import Step, run

SUITE = "trixie"
_NEEDED = ("debootstrap", "unshare", "setpriv", "tar")
# What a running system or the next `apt-get update` fills again.
_LEFT_OUT = ("./proc/*", "./sys/*", "./dev/*", "./var/cache/apt/*", "./var/lib/apt/lists/*")


def debian_tar(where: Layout, shown: Step) -> Path:
    """Return the tar file of a minimal Debian, made now or this week.

    A file of an earlier week serves when a new one can't be made.

    Raises:
        Unavailable: debootstrap failed; the error shows its last lines.
    """
    year, week, _ = datetime.datetime.now(datetime.UTC).isocalendar()
    wanted = where.cache / f"debian-{SUITE}-{year}w{week:02}.tar"
    if wanted.exists():
        return wanted
    earlier = sorted(where.cache.glob(f"debian-{SUITE}-*.tar"))
    try:
        _make(where.cache, wanted, shown)
    except Unavailable:
        if not earlier:
            raise
        return earlier[-1]
    for old in earlier:
        old.unlink()
    return wanted


def _make(cache: Path, wanted: Path, shown: Step) -> None:
    if any(shutil.which(name) is None for name in _NEEDED):
        # The keyring comes along because an old one does not know the suite.
        packages.install(["debootstrap", "debian-archive-keyring", "util-linux", "tar"], shown)
    root = cache / "debootstrap"
    partial = wanted.with_suffix(".partial")
    _remove(root)
    # Without a mirror of apt's debootstrap takes its own default.
    mirror = packages.mirror()
    hint = "does this machine reach its Debian mirror? try: apt-get update"
    words = ["debootstrap", "--variant=minbase", SUITE, str(root), *([mirror] if mirror else [])]
    run(shown, [*_contained(), *words], environment=packages.proxies(), hint=hint)
    shown.update("packing")
    excluded = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
    run(shown, ["tar", "-C", str(root), "--numeric-owner", *excluded, "-cf", str(partial), "."])
    partial.replace(wanted)
    _remove(root)


def _contained() -> list[str]:
    """Return the words that keep a killed bootstrap from leaving mounts or processes."""
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--propagation", "private"),
        *("--pid", "--fork", "--kill-child=KILL"),
    ]


def _remove(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        raise Unavailable(
            f"cannot remove {root}", hint=f"is something mounted there? see: findmnt -R {root}"
        )
