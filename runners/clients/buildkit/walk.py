"""The filtered walk: a tree and the daemon's three filters in, entries to send out.

Called by filesync.py once for each transfer. Include patterns, followed paths
and exclude patterns come from the daemon (the parsed ``.dockerignore`` among
them); nothing is filtered here of our own will.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from runners.clients.buildkit.contextfs import ContextFS, Entry, parent_of
from runners.clients.buildkit.patterns import Matcher, State, clean, translate

_WILD = re.compile(r"[*?\[]")
_MAX_LINKS = 255


def filtered(
    fs: ContextFS,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    follow: Sequence[str] = (),
) -> Iterator[Entry]:
    """Yield the entries the daemon wants, in wire order, parents before children.

    Raises:
        BadPattern: a pattern is malformed.
        FileUnreadable: a directory cannot be listed.
    """
    wanted = list(include)
    if follow:
        wanted += follow_links(fs, follow) or ()
    if not wanted and not exclude:
        yield from fs.walk(lambda _: True)
        return
    walk = _Filter(Matcher(wanted), Matcher(exclude))
    yield from walk.run(fs)


class _Filter:
    def __init__(self, include: Matcher, exclude: Matcher) -> None:
        self._include = include
        self._exclude = exclude
        # Directory → its two states; of the directories on the way down only.
        self._states: dict[bytes, tuple[State, State]] = {b"": (include.initial, exclude.initial)}
        self._pending: list[Entry] = []
        self._descend = False

    def run(self, fs: ContextFS) -> Iterator[Entry]:
        for entry in fs.walk(lambda _: self._descend):
            # Directories held back for a child that never came.
            while self._pending and not entry.path.startswith(self._pending[-1].path + b"/"):
                self._pending.pop()
            if self._keep(entry):
                yield from self._pending
                self._pending.clear()
                yield entry
            elif entry.is_dir and self._descend:
                self._pending.append(entry)

    def _keep(self, entry: Entry) -> bool:
        path = entry.path.decode("utf-8", "surrogateescape")
        include_state, exclude_state = self._states[parent_of(entry.path)]
        wanted, left_out = True, False
        if self._include:
            wanted, include_state = self._include.match(path, include_state)
        if self._exclude:
            left_out, exclude_state = self._exclude.match(path, exclude_state)
        if entry.is_dir:
            self._states[entry.path] = (include_state, exclude_state)
            self._descend = (wanted or self._include.may_match_below(path, negative=False)) and (
                not left_out or self._exclude.may_match_below(path, negative=True)
            )
        return wanted and not left_out


def follow_links(fs: ContextFS, paths: Sequence[str]) -> list[str] | None:
    """Return include patterns for ``paths`` and every link on the way to their targets.

    Links resolve inside the root, absolute ones from the root. None means
    that a path is the root itself: everything is wanted. Missing files are
    no error.
    """
    found: dict[str, None] = {}
    for path in paths:
        _follow(fs, clean("/" + path).lstrip("/"), found)
    return None if "" in found else list(found)


def _follow(fs: ContextFS, path: str, found: dict[str, None]) -> None:
    current = ""
    rest = path
    while True:
        name, _, rest = rest.partition("/")
        current = f"{current}/{name}" if current else name
        targets = _targets(fs, current)
        if (not rest or targets) and (current in found or len(found) > _MAX_LINKS * 16):
            return
        if targets:
            found[current] = None
            for target in targets:
                _follow(fs, clean(f"/{target}/{rest}").lstrip("/"), found)
            return
        if not rest:
            found[current] = None
            return


def _targets(fs: ContextFS, path: str) -> list[str]:
    parent, _, name = path.rpartition("/")
    if not _WILD.search(name):
        return _target(fs, path)
    matching = re.compile(translate(name), re.DOTALL)
    targets = []
    for candidate in sorted(fs.names(os.fsencode(parent))):
        text = os.fsdecode(candidate)
        if matching.fullmatch(text):
            targets += _target(fs, f"{parent}/{text}" if parent else text)
    return targets


def _target(fs: ContextFS, path: str) -> list[str]:
    target = fs.readlink(path.encode("utf-8", "surrogateescape"))
    if target is None:
        return []
    text = target.decode("utf-8", "surrogateescape")
    if text.startswith("/"):
        return [clean(text)]
    return [clean("/" + path.rpartition("/")[0] + "/" + text)]
