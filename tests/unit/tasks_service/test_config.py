from __future__ import annotations

from pathlib import Path

import pytest

from runners.model.errors import InvalidInput
from tasks_service.config import load_settings


def origins(**kwargs: object) -> dict[str, tuple[str, str]]:
    loaded = load_settings(**kwargs)
    return {origin.name: (origin.value, origin.source) for origin in loaded.origins}


def test_the_stronger_place_wins(tmp_path: Path) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text('listen = "file:1"\npool = "file"\nregistry = "file"\n')
    found = origins(
        environ={"TASKSD_LISTEN": "env:1", "TASKSD_POOL": "env"},
        file=file,
        flags={"listen": "flag:1", "concurrency": None},
        defaults={"concurrency": 7},
    )
    assert found["listen"] == ("flag:1", "--listen")
    assert found["pool"] == ("env", "TASKSD_POOL")
    assert found["registry"] == ("file", str(file))
    assert found["concurrency"] == ("7", "default")
    assert found["log_level"] == ("info", "default")


def test_times_sizes_lists_and_flags_are_read() -> None:
    settings = load_settings(
        environ={
            "TASKSD_LEASE": "2m",
            "TASKSD_MAX_UPLOAD": "1.5g",
            "TASKSD_ALLOW_HOSTS": "a, b",
            "TASKSD_GIT_SUBMODULES": "yes",
        }
    ).settings
    assert settings.lease == 120
    assert settings.max_upload == 3 << 29
    assert settings.allow_hosts == ("a", "b")
    assert settings.git_submodules is True


def test_secrets_come_from_files_and_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("canary\n")
    environ = {"TASKSD_REGISTRY_PASSWORD_FILE": str(tmp_path / "password")}
    loaded = load_settings(environ=environ)
    assert loaded.settings.registry_password == "canary"
    assert "canary" not in repr(loaded)
    assert origins(environ=environ)["registry_password"][0] == "***"


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text('lisen = "x"\nlease = "soon"\n')
    environ = {
        "TASKSD_CONCURENCY": "3",
        "TASKSD_MAX_UPLOAD": "big",
        "TASKSD_REGISTRY_PASSWORD_FILE": str(tmp_path / "none"),
    }
    with pytest.raises(InvalidInput) as caught:
        load_settings(environ=environ, file=file)
    detail = caught.value.detail
    assert len(detail.splitlines()) == 5
    assert "did you mean 'listen'?" in detail
    assert "did you mean 'concurrency'?" in detail


@pytest.mark.parametrize("text", ["x = ", "\xff", "[table]\n"])
def test_a_broken_file_is_an_error_with_its_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(InvalidInput, match=r"tasks\.toml|table"):
        load_settings(environ={}, file=file)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        load_settings(environ={}, file=tmp_path / "none.toml")
