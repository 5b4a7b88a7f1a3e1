from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runners.model.errors import InvalidInput
from tasks_service.store.envelope import (
    Envelope,
    SealBroken,
    add_key,
    drop_old_keys,
    load_keys,
)

OLD = Envelope({"k1": bytes(32)})
BOTH = Envelope({"k1": bytes(32), "k2": bytes(range(32))})


def test_what_is_sealed_opens_in_its_place_only() -> None:
    sealed = OLD.seal(b"canary", "runs/a")
    assert "canary" not in sealed
    assert OLD.open(sealed, "runs/a") == b"canary"
    with pytest.raises(SealBroken):
        OLD.open(sealed, "runs/b")


def test_the_same_secret_is_never_sealed_alike() -> None:
    assert OLD.seal(b"x", "p") != OLD.seal(b"x", "p")


@pytest.mark.parametrize(
    "damage", ["", "k1", "k1.a", "k1..", "k9.AAAA.AAAA", "k1.AAAA.AAAA", "a.b.c.d"]
)
def test_damaged_text_is_told_as_such(damage: str) -> None:
    with pytest.raises(SealBroken):
        OLD.open(damage, "p")


def test_every_flipped_character_is_noticed() -> None:
    sealed = OLD.seal(b"canary", "p")
    for index in range(len("k1."), len(sealed), 7):
        if sealed[index] == ".":
            continue
        other = "A" if sealed[index] != "A" else "B"
        with pytest.raises(SealBroken):
            OLD.open(sealed[:index] + other + sealed[index + 1 :], "p")


def test_rewrapped_secrets_need_the_new_key_only() -> None:
    sealed = OLD.seal(b"canary", "p")
    again = BOTH.rewrap(sealed, "p")
    assert Envelope({"k2": bytes(range(32))}).open(again, "p") == b"canary"
    assert BOTH.rewrap(again, "p") == again


def test_the_key_file_is_made_once_and_only_for_us(tmp_path: Path) -> None:
    path = tmp_path / "state" / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: load_keys(path, create=True), range(8)))
    assert all(envelope == made[0] for envelope in made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_keys_rotate(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    sealed = load_keys(path, create=True).seal(b"canary", "p")
    both = add_key(path)
    again = both.rewrap(sealed, "p")
    newest = drop_old_keys(path)
    assert newest.open(again, "p") == b"canary"
    with pytest.raises(SealBroken):
        newest.open(sealed, "p")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"k": 5}', '{"k": "AAAA"}', "{", '{"k": "%%"}'])
def test_a_damaged_key_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InvalidInput):
        load_keys(path)


def test_a_key_file_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    load_keys(path, create=True)
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="can be read by others"):
        load_keys(path)
