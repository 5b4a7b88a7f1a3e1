"""The registry's settings and ports; the real one is in tests/integration."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from runners.model.errors import Unavailable
from tasks_service.devstack import registry
from tasks_service.devstack.layout import layout, load


def test_a_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    where = layout(tmp_path)
    assert registry.free_port(where, "registry") == registry.free_port(where, "registry")


def test_a_port_somebody_took_is_given_up(tmp_path: Path) -> None:
    where = layout(tmp_path)
    port = registry.free_port(where, "registry")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        moved = registry.free_port(where, "registry")
    assert moved != port
    assert load(where.state / "ports.json") == {"registry": moved}


def test_a_missing_program_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "program", lambda: None)
    with pytest.raises(Unavailable) as raised:
        registry.start(layout(tmp_path))
    assert "docker-registry" in raised.value.hint


def test_a_registry_that_dies_at_once_shows_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "docker-registry"
    broken.write_text("#!/bin/sh\necho no disk left >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(registry, "program", lambda: str(broken))
    with pytest.raises(Unavailable) as raised:
        registry.start(layout(tmp_path))
    assert "no disk left" in raised.value.detail
