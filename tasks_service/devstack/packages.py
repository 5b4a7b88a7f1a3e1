"""Debian packages: names in, installed packages out, and no service started.

Standard library only: ``bootstrap`` uses it before any package is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from runners.model.errors import Unavailable
from tasks_service.devstack.progress import Step, run

_POLICY = Path("/usr/sbin/policy-rc.d")
_MARK = "# tasks-service: keeps packages from starting services while apt runs"
_APT = (
    "apt-get",
    "-o=DPkg::Lock::Timeout=300",
    "-o=Acquire::Retries=3",
    "-o=Dpkg::Use-Pty=0",
)
_TARGET = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(ORIGIN)"
# Parts of a suite that make it complete; others (backports) change what it is.
_PARTS = ("", "-updates", "-security")
_PROXY_NAMES = ("http", "Acquire::http::Proxy", "https", "Acquire::https::Proxy")
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


def install(names: Sequence[str], shown: Step) -> None:
    """Install Debian packages without their recommendations.

    Services they bring are not started. Safe to call again after a kill.

    Raises:
        Unavailable: not root, no apt, or apt failed; says what to install.
    """
    wanted = " ".join(names)
    if shutil.which("apt-get") is None:
        raise Unavailable(
            f"needed here and missing: {wanted}",
            hint="this machine has no apt-get; install them with its own package manager",
        )
    if os.geteuid() != 0:
        raise Unavailable(
            f"needed here and missing: {wanted}",
            hint=f"run as root, or ask for: apt-get install {wanted}",
        )
    hint = f"see whether this works by hand: apt-get update && apt-get install {wanted}"
    with _no_services():
        # A kill during an earlier installation leaves packages half configured.
        run(shown, ["dpkg", "--configure", "-a"], environment=_ENVIRONMENT, hint=hint)
        run(shown, [*_APT, "update"], environment=_ENVIRONMENT, hint=hint)
        words = [*_APT, "install", "--yes", "--no-install-recommends", *names]
        run(shown, words, environment=_ENVIRONMENT, hint=hint)


def known(name: str) -> bool:
    """Tell whether apt's lists hold a package of that name."""
    try:
        done = subprocess.run(
            ["apt-cache", "show", "--no-all-versions", name], capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0 and bool(done.stdout)


def refresh(shown: Step) -> None:
    """Fetch apt's lists, so that ``known`` and ``mirror`` can tell."""
    run(shown, [*_APT, "update"], environment=_ENVIRONMENT)


def mirror() -> str | None:
    """Return the Debian mirror that this machine's apt uses, or None."""
    return next((uri for uri, part in _debian_mirrors() if not part), None)


def sources(suite: str) -> str | None:
    """Return a ``sources.list`` for ``suite`` at this machine's mirrors, or None."""
    parts = [(uri, part) for uri, part in _debian_mirrors() if part in _PARTS]
    if not any(not part for _, part in parts):
        return None
    return "".join(f"deb {uri} {suite}{part} main\n" for uri, part in dict.fromkeys(parts))


def _debian_mirrors() -> list[tuple[str, str]]:
    """Return the mirrors of Debian's main, each with the part of a suite it is for."""
    try:
        done = subprocess.run(
            ["apt-get", "indextargets", "--format", _TARGET, "Created-By: Packages"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return []
    found = []
    for line in done.stdout.splitlines():
        uri, codename, component, origin = line.split("|", 3)
        name, dash, part = codename.partition("-")
        ours = origin == "Debian" and component == "main" and name.isalpha()
        if ours and uri.startswith(("http://", "https://")):
            found.append((uri, dash + part))
    return found


def proxies() -> dict[str, str]:
    """Return apt's proxies as the environment that other programs read."""
    try:
        done = subprocess.run(
            ["apt-config", "shell", *_PROXY_NAMES],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return {}
    found = {}
    for line in done.stdout.splitlines():
        scheme, _, value = line.partition("=")
        value = value.strip("'\"")
        if value and value.upper() != "DIRECT":
            found[f"{scheme}_proxy"] = value
    return found


@contextmanager
def _no_services() -> Iterator[None]:
    """Forbid packages to start services, unless the machine has its own policy."""
    ours = not _POLICY.exists() or _MARK in _POLICY.read_text(errors="replace")
    if ours:
        # The policy asks whether we still live: after a kill it forbids nothing.
        _POLICY.write_text(
            f"#!/bin/sh\n{_MARK}\nif kill -0 {os.getpid()} 2>/dev/null; then exit 101; fi\nexit 0\n"
        )
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)
