"""Git in the throw-away process: one fetch into an empty folder, one checkout.

In: the request of ``child.py``. Out: the commit and what it is called. Called
by ``fetch_child.py`` after the rights are gone. No file of the repository is
obeyed: no hook, no filter, no submodule, no configuration but ours (G3, G4).
GitPython starts the commands and reads the commit.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from git import Repo
from git.cmd import Git as GitCommand
from git.exc import ODBError

from tasks_service.sources.confine import Answer, Refusal, Request, die_with_parent

_ERROR_BYTES = 16 * 1024
_SUBJECT = 200

# Answers with the login only for the one scheme and host it belongs to (G5).
# It reads the login from a file of its own folder: neither an argument list
# nor an environment ever holds it.
_HELPER = """\
[ "$1" = get ] || exit 0
while IFS='=' read -r key value; do
  case "$key" in protocol) protocol=$value ;; host) host=$value ;; esac
done
IFS= read -r want <"$HOME/credential-for"
[ "$protocol://$host" = "$want" ] && cat "$HOME/credential"
exit 0
"""


class Git:
    """Runs Git in the request's folders, with nobody's configuration."""

    def __init__(self, request: Request) -> None:
        self._request = request
        here = Path.cwd()
        self.tree = here / "tree"
        self._dir = here / "git"
        self._home = here / "home"
        self._pack = self._dir / "objects" / "pack"
        self._command = GitCommand(str(here))
        self._environment = {
            **request["environment"],
            "HOME": str(self._home),
            "GIT_DIR": str(self._dir),
            "GIT_WORK_TREE": str(self.tree),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS_REQUIRE": "never",
            "GIT_ALLOW_PROTOCOL": request["protocol"],
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_COMMITTER_NAME": "tasks",
            "GIT_COMMITTER_EMAIL": "tasks@localhost",
            "GIT_SSH_COMMAND": self._ssh(),
            "GIT_SSH_VARIANT": "ssh",
            "LC_ALL": "C",
        }
        self._command.update_environment(**self._environment)
        self.lent = bool(request.get("lent"))

    def _settings(self) -> dict[str, str]:
        return {
            "core.hooksPath": os.devnull,
            "core.fsmonitor": "false",
            "core.logAllRefUpdates": "false",
            "core.attributesFile": os.devnull,
            "protocol.file.allow": "never",
            "protocol.ext.allow": "never",
            "http.followRedirects": "false",
            "http.lowSpeedLimit": "1000",
            "http.lowSpeedTime": str(self._request["stall_s"]),
            "submodule.recurse": "false",
            "fetch.recurseSubmodules": "false",
            # Everything arrives as one pack: the limit on a file's size is
            # then the limit on the transfer.
            "fetch.unpackLimit": "1",
            "gc.auto": "0",
            "maintenance.auto": "false",
            "credential.helper": "",
            **self._pinned(),
        }

    def _pinned(self) -> dict[str, str]:
        # The addresses that were checked, so that a second answer of the
        # resolver leads nowhere; a proxy would resolve by itself (N3).
        resolve = self._request.get("resolve")
        if resolve is None:
            return {}
        return {"http.proxy": "", **({"http.curloptResolve": resolve} if resolve else {})}

    def _ssh(self) -> str:
        words = [
            "ssh", "-F", os.devnull, "-oBatchMode=yes", "-oStrictHostKeyChecking=yes",
            f"-oConnectTimeout={self._request['stall_s']}", "-oIdentitiesOnly=no",
            "-oGlobalKnownHostsFile=/etc/ssh/ssh_known_hosts",
            f"-oUserKnownHostsFile={self._home}/known_hosts",
        ]  # fmt: skip
        words += [f"-o{word}" for word in self._request.get("ssh_options", ())]
        if self._request.get("ssh_key"):
            words.append(f"-oIdentityFile={self._home}/key")
        return " ".join(words)

    def prepare(self) -> None:
        """Write the login's files and make the empty repository."""
        credential = self._request.get("credential")
        if credential:
            self._write("credential-helper", _HELPER)
            self._write("credential-for", f"{credential['scheme']}://{credential['host']}\n")
            login = f"username={credential['username']}\npassword={credential['password']}\n"
            self._write("credential", login)
        if self._request.get("ssh_key"):
            self._write("key", self._request["ssh_key"])
        self._write("known_hosts", self._request.get("known_hosts") or "")
        self.run("init", "--quiet", "--template=", stdout=False)

    @contextmanager
    def repository(self) -> Iterator[Repo]:
        """Yield the repository for reading, with our environment and settings."""
        with Repo(self._dir) as repository:
            repository.git.update_environment(**self._environment)
            repository.git.set_persistent_git_options(c=list(self._options()))
            yield repository

    def _write(self, name: str, text: str) -> None:
        path = self._home / name
        path.touch(mode=0o600)
        path.write_text(text)

    def _options(self) -> Iterator[str]:
        yield from (f"{name}={value}" for name, value in self._settings().items())
        if self._request.get("credential"):
            yield 'credential.helper=!sh "$HOME/credential-helper"'

    def run(self, *words: str, stdout: bool = True) -> bytes:
        """Run one command to its end and return its output.

        Raises:
            Refusal: it failed (``git``) or wrote too much (``too_large``).
        """
        with self.start(*words) as process:
            output, errors = _collect(process, self._too_large if not stdout else lambda: False)
        if process.returncode:
            # What the kernel stopped at the limit on a file's size died silently.
            if self._too_large():
                raise Refusal("too_large")
            raise Refusal("git", command=words[0], status=process.returncode, error=errors)
        return output

    @contextmanager
    def start(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start one command that dies with this process; wait for it at the end."""
        options = (word for option in self._options() for word in ("-c", option))
        # Held until the end: the command is killed when this one goes.
        held = self._command.execute(
            ["git", *options, *words], as_process=True, preexec_fn=die_with_parent
        )
        process = held.proc
        if process is None:
            raise Refusal("git", command=words[0], status=-1, error="it did not start")
        with process:
            yield process

    def _too_large(self) -> bool:
        try:
            sizes = [entry.stat().st_size for entry in os.scandir(self._pack)]
        except OSError:
            return False
        return sum(sizes) - int(self._request.get("lent", 0)) >= int(self._request["max_bytes"])


def _collect(process: subprocess.Popen[bytes], too_large: Callable[[], bool]) -> tuple[bytes, str]:
    while True:
        try:
            output, errors = process.communicate(timeout=0.2)
        except subprocess.TimeoutExpired:
            if too_large():
                process.kill()
                process.communicate()
                raise Refusal("too_large") from None
            continue
        return output, errors[-_ERROR_BYTES:].decode(errors="replace")


def fetch_git(request: Request) -> Answer:
    """Fetch one commit, check it out into ``tree`` and say what it is."""
    git = Git(request)
    git.prepare()
    ref = request["ref"]
    if request["is_commit"]:
        _fetch_commit(git, request["url"], ref)
        name = {"branch": "", "tag": ""}
        commit = _commit(git, ref)
    else:
        name = _find(git, request, ref)
        commit = name.pop("commit", "") or _commit(git, "FETCH_HEAD")
    entries, total, links = _measure(git, commit, request)
    git.run("checkout", "--quiet", "--force", "--detach", commit, stdout=False)
    return {
        "ok": True, "commit": commit, "subject": _subject(git, commit), **name,
        "entries": entries, "bytes": total, "submodules": len(links),
        "links": submodule_links(git, commit, links) if request["submodules"] else [],
    }  # fmt: skip


def _find(git: Git, request: Request, ref: str) -> dict[str, str]:
    url = request["url"]
    wanted = _candidates(ref)
    listed = git.run("ls-remote", "--symref", "--", url, *wanted).decode(errors="replace")
    head, refs = _parse_listing(listed)
    if not ref:
        if not refs:
            raise Refusal("empty")
        _fetch(git, url, "HEAD", depth=1)
        return {"branch": head.removeprefix("refs/heads/"), "tag": ""}
    found = [name for name in wanted if name in refs]
    if len(found) > 1:
        raise Refusal("ambiguous", names=found)
    if found:
        _fetch(git, url, found[0], depth=1)
        return {
            "branch": found[0].removeprefix("refs/heads/")
            if found[0].startswith("refs/heads/")
            else "",
            "tag": found[0].removeprefix("refs/tags/") if found[0].startswith("refs/tags/") else "",
        }
    if request["is_short_commit"]:
        _fetch_everything(git, url)
        return {"branch": "", "tag": "", "commit": _revision(git, ref)}
    raise Refusal("no_ref")


def _candidates(ref: str) -> list[str]:
    if not ref:
        return ["HEAD"]
    if ref.startswith("refs/"):
        return [ref]
    return [f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/{ref}"]


def _parse_listing(text: str) -> tuple[str, set[str]]:
    head, refs = "", set()
    for line in text.splitlines():
        first, _, name = line.partition("\t")
        if first.startswith("ref: "):
            head = first.removeprefix("ref: ")
        else:
            refs.add(name)
    return head, refs


def _fetch(git: Git, url: str, *refs: str, depth: int | None) -> None:
    words = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"]
    # What a mirror lent is shallow, and stays so unless told otherwise.
    words += [f"--depth={depth}"] if depth else ["--unshallow"] if git.lent else []
    git.run(*words, "--", url, *refs, stdout=False)


def _fetch_everything(git: Git, url: str) -> None:
    _fetch(git, url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", depth=None)


def _fetch_commit(git: Git, url: str, commit: str) -> None:
    try:
        _fetch(git, url, commit, depth=1)
    except Refusal as refusal:
        # Some servers hand out named refs only; then all of them must come.
        error = refusal.answer.get("error", "")
        if not any(text in error for text in ("not our ref", "unadvertised object", "remote ref")):
            raise
        _fetch_everything(git, url)


def _commit(git: Git, name: str) -> str:
    """Return the id of the commit that a full id or a ref is, or a tag points to."""
    with git.repository() as repository:
        try:
            found = repository.commit(name)
            # GitPython believes that a commit of zeros is there; Git does not.
            repository.odb.info(found.binsha)
        except (ODBError, ValueError, LookupError):
            raise Refusal("no_commit") from None
    return found.hexsha


def _subject(git: Git, commit: str) -> str:
    """Return the first line of the commit's message; empty if it can't be read."""
    with git.repository() as repository:
        try:
            return str(repository.commit(commit).summary)[:_SUBJECT]
        except (ODBError, ValueError, LookupError, OSError):
            # Foreign bytes: a message in a coding nobody knows is no reason to fail.
            return ""


def _revision(git: Git, name: str) -> str:
    """Return the id of the commit that some digits mean."""
    try:
        found = git.run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )
    except Refusal as refusal:
        if "ambiguous" in str(refusal.answer.get("error")):
            raise Refusal("ambiguous", names=[]) from None
        raise Refusal("no_commit") from None
    return found.decode().strip()


def _measure(git: Git, commit: str, request: Request) -> tuple[int, int, dict[bytes, str]]:
    # Before a byte is unpacked: a small pack may hold a tree of any size (G8).
    entries = total = 0
    links: dict[bytes, str] = {}
    with git.start("ls-tree", "-r", "-l", "-z", "--full-tree", commit) as process:
        for line in _split_nul(process):
            words, _, path = line.partition(b"\t")
            meta = words.split()
            entries += 1
            if meta[1] == b"commit":
                links[path] = meta[2].decode("ascii", "replace")
            total += int(meta[3]) if meta[3].isdigit() else 0
            if total > request["max_bytes"] or entries > request["max_entries"]:
                process.kill()
                raise Refusal("too_large" if total > request["max_bytes"] else "too_many")
    if process.returncode:
        raise Refusal("git", command="ls-tree", status=process.returncode, error="")
    return entries, total, links


def _split_nul(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    if process.stdout is None:
        return
    rest = b""
    while block := process.stdout.read(65536):
        *lines, rest = (rest + block).split(b"\0")
        yield from lines


def submodule_links(git: Git, commit: str, links: dict[bytes, str]) -> list[dict[str, str]]:
    """Return path, commit and URL of every link; the URL is empty if nobody wrote one."""
    if not links:
        return []
    urls = _module_urls(git, commit)
    found = ((os.fsdecode(path), target) for path, target in links.items())
    # Half a character of a path can't be told as JSON; nobody's URL is missed.
    return [
        {
            "path": path.encode(errors="replace").decode(),
            "commit": target,
            "url": urls.get(path, ""),
        }
        for path, target in found
    ]


def _module_urls(git: Git, commit: str) -> dict[str, str]:
    try:
        listed = git.run("config", "--list", "-z", f"--blob={commit}:.gitmodules")
    except Refusal:
        # There is none, or it is no configuration: then there is no URL.
        return {}
    values: dict[str, dict[str, str]] = {}
    for entry in listed.decode(errors="replace").split("\0"):
        name, _, value = entry.partition("\n")
        section, _, variable = name.rpartition(".")
        if section.startswith("submodule.") and variable in ("path", "url"):
            values.setdefault(section, {})[variable] = value
    return {one["path"]: one["url"] for one in values.values() if "path" in one and "url" in one}
