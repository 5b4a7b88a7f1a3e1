"""What docs/service/operate.md says of backups, done: a copy made under work is whole."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runners.model.status import RunStatus
from tasks_service.blobs import open_blobs
from tasks_service.blobs.open import LOGS
from tasks_service.config import Settings
from tasks_service.model.log import LogChunk
from tasks_service.model.run import NewRun, RunEnd, RunRequest, RunSecrets
from tasks_service.runs.logs import RunLogs
from tasks_service.store import open_store
from tasks_service.store.envelope import Envelope, SealBroken
from tasks_service.store.schema import head, upgrade
from tests.contract.stores import ENVELOPE, KINDS, database

SECRETS = RunSecrets(values=("token=canary",))
LINE = LogChunk("a", "stdout", 1.0, b"hello\n")


def _copy(kind: str, url: str, other: str, folder: Path) -> None:
    if kind == "sqlite":
        source, target = (sqlite3.connect(name.removeprefix("sqlite:///")) for name in (url, other))
        with closing(source), closing(target):
            source.backup(target)
        return
    environment = os.environ | {"PGPASSWORD": urlsplit(url).password or ""}
    for words, address in (
        (["pg_dump", "-Fc", "-f", str(folder / "dump"), "-d"], url),
        (["pg_restore", "--exit-on-error", "-d"], other),
    ):
        parts = urlsplit(address)
        plain = f"postgresql://{parts.username}@{parts.hostname}:{parts.port}{parts.path}"
        rest = [str(folder / "dump")] if words[0] == "pg_restore" else []
        subprocess.run([*words, plain, *rest], env=environment, check=True, timeout=60)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_backed_up_is_there_again(kind: str, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(database(kind, tmp_path))
        other = stack.enter_context(database(kind, tmp_path / "copy"))
        store = open_store(url, ENVELOPE)
        stack.callback(store.close)
        upgrade(store.database)
        for name in ("ended", "waits"):
            store.runs.accept(NewRun(RunRequest(command="x"), SECRETS), run_id=name)
        claim = store.leases.claim("default", owner="w", lease_s=60)
        assert claim is not None
        store.leases.finish(
            "ended", claim.fence, RunEnd(RunStatus.SUCCEEDED, {"steps": []}), chunks=[LINE]
        )
        store.runs.accept(NewRun(RunRequest(command="x"), SECRETS), run_id="waits too")
        under_way = store.leases.claim("default", owner="w", lease_s=60)
        assert under_way is not None
        _copy(kind, url, other, tmp_path)
        # What comes after the backup is not in it.
        store.runs.accept(NewRun(RunRequest(command="x")), run_id="later")

        again = open_store(other, ENVELOPE)
        stack.callback(again.close)
        assert upgrade(again.database) == (head(), head())
        assert again.runs.find("ended").status is RunStatus.SUCCEEDED
        assert again.runs.get("later") is None
        logs = RunLogs(again, open_blobs(Settings(state_dir=tmp_path), LOGS))
        assert b"hello\n" in [chunk.data for chunk in logs.read("ended")]
        assert again.runs.secrets("waits too") == SECRETS
        next_one = again.leases.claim("default", owner="w2", lease_s=60)
        assert next_one is not None
        assert next_one.run.id == "waits too"

        stranger = open_store(other, Envelope({"k1": bytes(32)}))
        stack.callback(stranger.close)
        with pytest.raises(SealBroken, match="waits too") as caught:
            stranger.runs.secrets("waits too")
        assert "restore it from the backup" in caught.value.hint
