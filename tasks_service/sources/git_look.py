"""A look at a repository in the throw-away process: where its refs stand.

In: the request of ``child.py``. Out: the default branch, and branches and tags.
Called by ``fetch_child.py`` after the rights are gone; nothing is fetched.
"""

from __future__ import annotations

from tasks_service.sources.confine import Answer, Refusal, Request
from tasks_service.sources.git_fetch import Git

MAX_REFS = 50_000
MAX_REF = 500
_PEELED = "^{}"


def look(request: Request) -> Answer:
    """List the refs of ``url``.

    Returns:
        ``default`` (a whole ref, or empty) and ``refs``: by whole ref its object
        and, for an annotated tag, the commit behind it. Names that no delivery
        may hold are left out.
    """
    git = Git(request)
    git.prepare()
    listed = git.run(
        "ls-remote", "--symref", "--", request["url"], "HEAD", "refs/heads/*", "refs/tags/*"
    )
    default, refs = parse(listed.decode(errors="replace"))
    if len(refs) > MAX_REFS:
        raise Refusal("too_many_refs", limit=MAX_REFS)
    return {"ok": True, "default": default, "refs": refs}


def parse(text: str) -> tuple[str, dict[str, list[str]]]:
    """Return the default branch and the refs of what ``git ls-remote --symref`` printed."""
    default = ""
    refs: dict[str, list[str]] = {}
    # Only "\n" ends a line: a name may hold what Unicode calls a line's end.
    for line in text.split("\n"):
        first, _, name = line.partition("\t")
        if first.startswith("ref: "):
            default = first.removeprefix("ref: ") if name == "HEAD" else default
        elif name.startswith("refs/"):
            refs.setdefault(name.removesuffix(_PEELED), []).append(first)
    return default, {name: ids for name, ids in refs.items() if _is_plain(name)}


def _is_plain(name: str) -> bool:
    return len(name) <= MAX_REF and name.isprintable() and "\ufffd" not in name
