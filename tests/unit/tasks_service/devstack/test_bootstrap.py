"""The virtual environment: made once, made again when it must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks_service.devstack import bootstrap


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose set-up makes a Python that only says where pip is."""
    (tmp_path / "requirements.lock").write_text("")
    (tmp_path / "pyproject.toml").write_text("")
    calls = tmp_path / "calls"

    def run(shown: object, argv: list[str], **more: object) -> None:
        with calls.open("a") as file:
            file.write(" ".join(argv) + "\n")
        if "venv" in argv:
            python = tmp_path / ".venv" / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.write_text(f"#!/bin/sh\necho pip from {tmp_path}/.venv\n")
            python.chmod(0o755)

    monkeypatch.setattr(bootstrap, "run", run)
    monkeypatch.setattr(bootstrap, "_has_ensurepip", lambda: True)
    return tmp_path


def calls(checkout: Path) -> list[str]:
    return (checkout / "calls").read_text().splitlines()


def test_packages_are_installed_by_hash_and_the_project_without_any(checkout: Path) -> None:
    bootstrap.ensure_environment(checkout)
    _, lock, project = calls(checkout)
    assert "--require-hashes" in lock
    assert "--no-deps --no-build-isolation -e" in project


def test_nothing_is_done_when_nothing_changed(checkout: Path) -> None:
    bootstrap.ensure_environment(checkout)
    before = calls(checkout)
    bootstrap.ensure_environment(checkout)
    assert calls(checkout) == before


def test_a_changed_lock_installs_again_into_the_same_environment(checkout: Path) -> None:
    bootstrap.ensure_environment(checkout)
    (checkout / "requirements.lock").write_text("# changed\n")
    bootstrap.ensure_environment(checkout)
    assert [" -m venv " in line for line in calls(checkout)] == [True, False, False, False, False]


def test_a_set_up_that_was_killed_is_done_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bootstrap.run

    def killed(shown: object, argv: list[str], **more: object) -> None:
        if "--require-hashes" in argv:
            raise KeyboardInterrupt
        whole(shown, argv, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(bootstrap, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        bootstrap.ensure_environment(checkout)
    monkeypatch.setattr(bootstrap, "run", whole)
    bootstrap.ensure_environment(checkout)
    assert "--require-hashes" in calls(checkout)[-2]


def test_a_copied_checkout_gets_an_environment_of_its_own(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap.ensure_environment(checkout)
    python = checkout / ".venv" / "bin" / "python"
    python.write_text("#!/bin/sh\necho pip from /elsewhere/.venv\n")
    (checkout / "requirements.lock").write_text("# changed\n")
    bootstrap.ensure_environment(checkout)
    assert " -m venv " in calls(checkout)[3]
