"""The registry's settings and ports; the real one is in tests/integration."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from runners.backends.dind import places
from runners.model.errors import Unavailable
from tasks_service.devstack import registry
from tasks_service.devstack.layout import Layout, load


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(places, "run_root", lambda state: tmp_path)
    return Layout(tmp_path)


def test_a_port_is_kept_while_it_is_free(where: Layout) -> None:
    assert registry.free_port(where, "registry") == registry.free_port(where, "registry")


def test_a_port_somebody_took_is_given_up(where: Layout) -> None:
    port = registry.free_port(where, "registry")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        moved = registry.free_port(where, "registry")
    assert moved != port
    assert load(where.state / "ports.json") == {"registry": moved}


def test_a_missing_program_says_what_to_install(
    where: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "program", lambda: None)
    with pytest.raises(Unavailable) as raised:
        registry.start(where)
    assert "docker-registry" in raised.value.hint


def test_a_registry_that_dies_at_once_shows_its_last_words(
    tmp_path: Path, where: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "docker-registry"
    broken.write_text("#!/bin/sh\necho no disk left >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(registry, "program", lambda: str(broken))
    with pytest.raises(Unavailable) as raised:
        registry.start(where)
    assert "no disk left" in raised.value.detail
