from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from runners.model.errors import InvalidInput
from tasks_service.config import Settings
from tasks_service.daemons import administration
from tasks_service.daemons.parts import SchemaBehind, only_one, open_parts, prepare_state
from tasks_service.errors import Conflict
from tasks_service.model.run import NewRun, RunRequest, RunSecrets
from tasks_service.store import schema


def test_a_first_start_makes_a_folder_for_us_only(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "a" / "state")
    parts = open_parts(settings, migrate=False)
    parts.close()
    assert stat.S_IMODE(settings.state_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.keys.stat().st_mode) == 0o600
    assert administration.schema_versions(settings) == (schema.head(), schema.head())


def test_what_was_there_is_there_again(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    secrets = RunSecrets(values=("a=canary",))
    for _ in range(2):
        parts = open_parts(settings, migrate=False)
        parts.store.runs.accept(NewRun(RunRequest(command="x"), secrets), run_id="r1")
        assert parts.store.runs.secrets("r1") == secrets
        parts.close()


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(InvalidInput, match="others may write"):
        prepare_state(Settings(state_dir=tmp_path))


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="state folder"):
        prepare_state(Settings(state_dir=tmp_path / "file" / "state"))


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(InvalidInput, match="belongs to another user"):
        prepare_state(Settings(state_dir=tmp_path))


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    holder = f"process {os.getpid()}"
    with only_one(tmp_path, "up"), pytest.raises(Conflict, match=holder), only_one(tmp_path, "up"):
        pass
    with only_one(tmp_path, "up"):
        pass


def test_an_older_schema_is_upgraded_only_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state_dir=tmp_path)
    open_parts(settings, migrate=False).close()
    monkeypatch.setattr("tasks_service.daemons.parts.head", lambda: "9999")
    with pytest.raises(SchemaBehind, match=r"schema is at \d{4}"):
        open_parts(settings, migrate=False)


def test_keys_are_rotated_and_old_ones_dropped(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    parts = open_parts(settings, migrate=False)
    secrets = RunSecrets(values=("a=canary",))
    parts.store.runs.accept(NewRun(RunRequest(command="x"), secrets), run_id="r1")
    parts.close()
    before = settings.keys.read_text()
    assert administration.rotate_keys(settings) == 1
    assert settings.keys.read_text() != before
    parts = open_parts(settings, migrate=False)
    assert parts.store.runs.secrets("r1") == secrets
    parts.close()


def test_keys_are_not_rotated_under_a_running_service(tmp_path: Path) -> None:
    with only_one(tmp_path, "up"), pytest.raises(Conflict):
        administration.rotate_keys(Settings(state_dir=tmp_path))


def test_who_lost_the_token_gets_another(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    made = administration.new_admin_token(settings)
    parts = open_parts(settings, migrate=False)
    assert [token.id for token in parts.store.tokens.list()] == [made.token.id]
    assert made.text not in (tmp_path / "tasks.db").read_bytes().decode(errors="replace")
    parts.close()


def test_a_schema_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    parts = open_parts(settings, migrate=False)
    parts.store.database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num='9999'"))
    )
    parts.close()
    for attempt in (
        lambda: open_parts(settings, migrate=True),
        lambda: open_parts(settings, migrate=False),
        lambda: administration.upgrade_schema(settings),
    ):
        with pytest.raises(schema.SchemaTooNew, match="9999") as caught:
            attempt()
        assert "newer version" in caught.value.hint
    assert administration.schema_versions(settings) == ("9999", schema.head())
