"""Fetch a Git location into a folder, and say in plain words why it failed.

In: a checked GitLocation. Out: the checkout's folder and what it is. Git's
own messages are translated here and nowhere else; no login is ever in them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, InvalidInput, RunnerError, SystemFault, Unavailable
from tasks_service.sources.beneath import read_regular
from tasks_service.sources.child import run_child
from tasks_service.sources.confine import Answer
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.git_pin import pin
from tasks_service.sources.location import Credential, GitLocation
from tasks_service.sources.mirror import Lent
from tasks_service.sources.refs import is_commit, is_short_commit
from tasks_service.sources.settings import SourceSettings

_KEY_LIMIT = 64 * 1024
_KNOWN_HOSTS_LIMIT = 1 << 20


def fetch_git(
    location: GitLocation, folder: Path, settings: SourceSettings, cancel: Cancellation
) -> Answer:
    """Check the location out into ``folder/tree``.

    Returns:
        ``commit``, ``branch``, ``tag`` (either may be empty), ``submodules`` (how
        many), ``links`` (them, if ``settings.submodules``), ``bytes``, ``entries`` and
        ``subject`` of the commit as its author wrote it. With mirrors also
        ``received`` and ``lent``, in bytes.

    Raises:
        SourceNotFound: No such repository, branch, tag or commit.
        Denied: The server wants a login, or refuses the one it got.
        InvalidInput: The name is ambiguous, or the repository too large.
        Unavailable: The server can't be reached, is too slow or broken.
        Denied: The rules of ``settings.egress`` forbid its address.
    """
    request, settings, credential = _request("git", location, settings)
    ssh = location.scheme == "ssh"

    def attempt(lent: Lent) -> Answer:
        folders = ("git/objects", "git/objects/pack") if lent.names else ()
        whole = {**request, "lent": lent.size, "lent_folders": folders}
        return run_child(whole, folder=folder, settings=settings, cancel=cancel, shared_user=ssh)

    answer = _with_mirror(attempt, location.url, credential, folder, settings)
    if not answer["ok"]:
        raise _translate(answer, location, settings, logged_in=credential is not None)
    return answer


def ask_git(
    action: str,
    location: GitLocation,
    folder: Path,
    settings: SourceSettings,
    cancel: Cancellation,
) -> Answer:
    """Have the throw-away process do something else than fetch; ``folder`` is empty.

    Returns:
        Its answer; refusals of the action's own are left to the caller.

    Raises:
        RunnerError: What went wrong with Git, as ``fetch_git``.
    """
    request, settings, credential = _request(action, location, settings)
    ssh = location.scheme == "ssh"
    answer = run_child(request, folder=folder, settings=settings, cancel=cancel, shared_user=ssh)
    if not answer["ok"] and answer["reason"] in ("git", "system", "too_large"):
        raise _translate(answer, location, settings, logged_in=credential is not None)
    return answer


def _request(
    action: str, location: GitLocation, settings: SourceSettings
) -> tuple[Answer, SourceSettings, Credential | None]:
    """Return what the process is asked, the settings it runs under, and the login it has."""
    _require("git", "Git sources need git")
    ssh = location.scheme == "ssh"
    credential = None if ssh else _login(location, settings)
    request: Answer = {
        "action": action,
        "url": location.url,
        "ref": location.ref,
        "protocol": location.scheme,
        "submodules": settings.submodules,
        "is_commit": is_commit(location.ref),
        "is_short_commit": is_short_commit(location.ref),
        "credential": credential and {
            "scheme": credential.scheme,
            "host": credential.host,
            "username": credential.username,
            "password": credential.password,
        },
    }  # fmt: skip
    request |= pin(location, settings.egress)
    if ssh:
        request |= _ssh_files(settings)
        settings = _with_agent(settings)
    return request, settings, credential


def _with_mirror(
    attempt: Callable[[Lent], Answer],
    url: str,
    credential: Credential | None,
    folder: Path,
    settings: SourceSettings,
) -> Answer:
    """Fetch with what a mirror has, or without if that does not do; keep what came."""
    mirrors = settings.mirrors
    if mirrors is None:
        return attempt(Lent())
    key = mirrors.key(url, *((credential.username, credential.password) if credential else ()))
    lent = mirrors.lend(key, folder / "git")
    answer = attempt(lent)
    if lent.names and not answer["ok"] and answer["reason"] in ("git", "no_commit", "system"):
        for name in ("home", "git", "tree"):
            shutil.rmtree(folder / name)
        lent = Lent()
        answer = attempt(lent)
        if answer["ok"]:
            mirrors.drop(key)
    if answer["ok"]:
        answer["received"] = mirrors.keep(key, folder / "git", answer["commit"], lent)
        answer["lent"] = lent.size
    return answer


def _require(program: str, why: str) -> None:
    if shutil.which(program) is None:
        raise SystemFault(f"{why}, which is not installed", hint=f"install the package {program!r}")


def _login(location: GitLocation, settings: SourceSettings) -> Credential | None:
    stored = settings.login
    typed = location.credential
    belongs = stored is not None and (stored.scheme, stored.host) == (
        location.scheme,
        location.host.lower(),
    )
    if typed is not None and stored is not None and belongs and typed.username == "dummy":
        # ``https://name@host`` with a token from outside: the name is a name.
        return replace(stored, username=typed.password)
    return typed or (stored if belongs else None)


def _ssh_files(settings: SourceSettings) -> dict[str, str]:
    _require("ssh", "ssh sources need an ssh client")
    files = {}
    for name, path, limit in (
        ("ssh_key", settings.ssh_key, _KEY_LIMIT),
        ("known_hosts", settings.known_hosts, _KNOWN_HOSTS_LIMIT),
    ):
        if path is None:
            continue
        try:
            data = read_regular(path, limit=limit, what=f"file {path}", follow=True)
        except FileNotFoundError:
            raise InvalidInput(f"file {path} (for ssh) does not exist") from None
        files[name] = data.decode(errors="replace")
    return files


def _with_agent(settings: SourceSettings) -> SourceSettings:
    # An agent answers its own user only, and root's fetches run as another.
    if not settings.ssh_agent or os.geteuid() == 0:
        return settings
    environment = {**settings.environment, "SSH_AUTH_SOCK": settings.ssh_agent}
    return replace(settings, environment=environment)


def _translate(
    answer: Answer, location: GitLocation, settings: SourceSettings, *, logged_in: bool
) -> RunnerError:
    reason, where = answer["reason"], location.display
    size = f"{settings.max_bytes / (1 << 30):g} GiB"
    if reason == "no_ref":
        return SourceNotFound(
            f"{location.url} has no branch or tag {location.ref!r}",
            hint="`git ls-remote` lists what it has",
        )
    if reason == "no_commit":
        return SourceNotFound(f"commit {location.ref} is no longer in {location.url}")
    if reason == "empty":
        return SourceNotFound(f"{location.url} is an empty repository, or not a Git repository")
    if reason == "ambiguous":
        names = answer["names"]
        how = " or ".join(f"#{name}" for name in names) or "more digits"
        return InvalidInput(
            f"{location.ref!r} means more than one thing in {location.url}", hint=f"write {how}"
        )
    if reason == "too_large":
        return InvalidInput(f"source {where} is larger than {size}")
    if reason == "too_many":
        return InvalidInput(f"source {where} holds more than {settings.max_entries} files")
    if reason == "system":
        return SystemFault(f"source {where} could not be stored: {answer['error']}")
    return _translate_git(str(answer.get("error", "")), location, settings, logged_in=logged_in)


def _translate_git(
    error: str, location: GitLocation, settings: SourceSettings, *, logged_in: bool
) -> RunnerError:
    host, url = location.host, location.url
    needs_login = "set TASKS_GIT_TOKEN and TASKS_GIT_TOKEN_HOST if the repository is private"
    refused = "the server refused the login" if logged_in else "the server asks for a login"
    key = "the key may be missing: TASKS_GIT_SSH_KEY names its file"
    rules: tuple[tuple[tuple[str, ...], type[RunnerError], str, str], ...] = (
        (("could not read Username", "could not read Password", "Authentication failed",
          "error: 401"), Denied, f"{refused} for {url}, or there is no such repository",
         "check the token" if logged_in else needs_login),
        (("error: 403",), Denied, f"the server refuses access to {url} (403)", needs_login),
        (("Host key verification failed",), Denied,
         f"the ssh key of host {host} is not known",
         "add it to known_hosts after checking it; TASKS_GIT_SSH_KNOWN_HOSTS names the file"),
        (("Permission denied (",), Denied, f"host {host} refuses the ssh login", key),
        (("error: 30",), InvalidInput, f"{url} redirects to another address, which is not followed",
         "give the present address of the repository"),
        (("returned error: 5",), Unavailable, f"host {host} fails to serve {url} (HTTP 5xx)",
         "try again later"),
        (("Could not resolve host",), Unavailable, f"host {host} is not known",
         "check the spelling and the network"),
        (("not found", "error: 404", "does not appear to be a git repository",
          "Repository not found"), SourceNotFound, f"there is no Git repository at {url}", ""),
        (("not valid: is this a git repository", "invalid server response",
          "bad line length", "protocol error", "unable to parse"), SourceNotFound,
         f"{url} answers, but not as a Git repository", "check the address"),
        (("Operation too slow", "timed out", "Timeout"), Unavailable,
         f"host {host} is too slow or does not answer (no progress for {settings.stall_s} s)", ""),
        (("Failed to connect", "Connection refused", "Couldn't connect", "unreachable"),
         Unavailable, f"host {host} cannot be reached", "check that it is up, and the port"),
        (("SSL certificate", "certificate verif", "server certificate"), Unavailable,
         f"the certificate of host {host} is not trusted",
         "GIT_SSL_CAINFO names a file with your own authority"),
        (("died of signal 25", "File too large"), InvalidInput,
         f"source {location.display} is larger than {settings.max_bytes / (1 << 30):g} GiB", ""),
        (("No space left",), SystemFault, "the disk for sources is full", "TMPDIR names another"),
        (("shallow",), Unavailable, f"host {host} does not allow shallow fetches", ""),
    )  # fmt: skip
    for patterns, kind, message, hint in rules:
        if any(pattern in error for pattern in patterns):
            return kind(message, hint=hint)
    lines = [line for line in error.splitlines() if line.strip()][-5:]
    return Unavailable(f"Git could not fetch {location.display}", detail="\n".join(lines))
