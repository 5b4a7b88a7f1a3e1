"""``schemas/openapi.json``: the API's own description, generated and committed.

``python -m tasks_service.api.document`` writes it, ``--check`` fails when it
differs from what the routes say.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tasks_service.api.app import create_app
from tasks_service.blobs import LOGS, UPLOADS, open_blobs
from tasks_service.config import Settings
from tasks_service.runs.logs import RunLogs
from tasks_service.store import open_store
from tasks_service.store.envelope import Envelope

TARGET = Path(__file__).resolve().parents[2] / "schemas" / "openapi.json"


class _Nobody:
    def wake(self, pool: str) -> None:
        """Tell nobody: this application serves no request."""


def document() -> dict[str, Any]:
    """Return the OpenAPI document; nothing is connected or stored for it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=Path(folder))
        store = open_store(settings.database, Envelope({"none": bytes(32)}))
        logs = RunLogs(store, open_blobs(settings, LOGS))
        app = create_app(settings, store, open_blobs(settings, UPLOADS), logs, _Nobody())
        found = app.openapi()
        store.close()
    return found


def text() -> str:
    """Return the file's content."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main(argv: list[str]) -> int:
    """Write the file, or compare it."""
    content = text()
    if "--check" in argv:
        same = TARGET.is_file() and TARGET.read_text() == content
        if not same:
            sys.stderr.write(f"{TARGET.name} is not what the routes say; run `make schemas`\n")
        return 0 if same else 1
    TARGET.write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
