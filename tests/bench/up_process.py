"""The whole service in one process, as ``tasks up`` is, on runners that do nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from runners.backends.fake import FakeBackend
from tasks_service.config import Settings
from tasks_service.daemons.processes import run_up
from tests.faults.process import script
from tests.faults.service import OneBackend


def main(words: Sequence[str]) -> int:
    """Run it with the settings of a JSON object until told to stop."""
    told = json.loads(words[0])
    settings = Settings(**told | {"state_dir": Path(told["state_dir"])})
    run_up(settings, lambda ready: None, backends=OneBackend(FakeBackend(script)))  # type: ignore[arg-type]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
