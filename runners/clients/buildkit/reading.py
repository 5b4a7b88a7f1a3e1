"""The Dockerfile of a build from local files: options in, its text and what it names out.

Called by solve.py, and before a build by docker_build.py.
"""

from __future__ import annotations

from runners.clients.buildkit.contextfs import ContextFS, FileUnreadable
from runners.clients.buildkit.daemon import DaemonFacts
from runners.clients.buildkit.dockerfile import Reading, read_uses
from runners.clients.buildkit.excerpt import Source
from runners.clients.buildkit.options import SolveOptions

_LIMIT = 1 << 20


def read_dockerfile(options: SolveOptions) -> Source | None:
    """Return the Dockerfile of a build from local files; None when it cannot be had."""
    fs = options.dockerfile_fs or options.context
    if not isinstance(fs, ContextFS):
        return None
    text = b""
    try:
        for part in fs.read(options.dockerfile.encode(), 1 << 16):
            text += part
            if len(text) > _LIMIT:
                return None
    except FileUnreadable:
        return None
    return Source(options.dockerfile, text.decode("utf-8", "replace"))


def read_all(options: SolveOptions, facts: DaemonFacts) -> list[Reading]:
    """Return what the Dockerfile says for each platform; nothing where it is not at hand."""
    source = read_dockerfile(options)
    if source is None:
        return []
    own = [platform for worker in facts.workers for platform in worker.platforms]
    contexts = {
        name: place if isinstance(place, str) else "local"
        for name, place in options.named_contexts.items()
    }
    return [
        read_uses(
            source.text,
            arguments=options.build_args,
            target=options.target or "",
            contexts=contexts,
            platform=platform,
            builder=own[0] if own else "linux/amd64",
        )
        for platform in options.platforms or ("",)
    ]
