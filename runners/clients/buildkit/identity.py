"""The id of this client: a random text that stays the same for a user of a machine.

Nothing in, the id out; called by ``__main__`` and by whoever builds from
local directories again and again. It is part of the key under which a daemon
keeps what it has received, so two machines with equal paths never meet.
"""

from __future__ import annotations

import os
from pathlib import Path


def client_id(directory: Path | None = None) -> str:
    """Return the id kept in ``directory`` (by default the user's cache), made when missing.

    Where nothing can be written the id is that of this process: builds work,
    they only send everything.
    """
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = (directory or Path(home) / "tasks-service") / "buildkit-client-id"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f"{path.name}.{os.getpid()}")
            fresh.write_text(os.urandom(8).hex())
            # Whoever comes first has made the id; a second one takes it over.
            try:
                os.link(fresh, path)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        return path.read_text().strip()
    except OSError:
        return os.urandom(8).hex()
