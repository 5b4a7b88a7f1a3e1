"""Folders of the stack, and the lock that one command holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runners.model.errors import Unavailable
from tasks_service.devstack.layout import Layout, exclusive, load, save


def test_sockets_leave_a_deep_checkout(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 80)
    deep.mkdir()
    where = Layout(deep)
    assert where.state == deep / ".tasks"
    assert deep not in where.run.parents
    assert len(str(where.run)) < 70


def test_two_checkouts_never_share_a_folder(tmp_path: Path) -> None:
    one, two = Layout(tmp_path / "a"), Layout(tmp_path / "b")
    assert {one.state, one.run}.isdisjoint({two.state, two.run})


def test_a_second_command_is_told_who_is_at_work(tmp_path: Path) -> None:
    where = Layout(tmp_path)
    with exclusive(where, "make demo"):
        code = (
            "import sys; from pathlib import Path\n"
            "from tasks_service.devstack.layout import Layout, exclusive\n"
            "with exclusive(Layout(Path(sys.argv[1])), 'other'): pass"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
        )
        assert "make demo" in done.stderr
        assert done.returncode != 0
        with pytest.raises(Unavailable, match="make demo"), exclusive(where, "third"):
            pass
    with exclusive(where, "afterwards"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_damaged_state_reads_as_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    assert load(path) == {}


def test_state_comes_back_as_saved(tmp_path: Path) -> None:
    save(tmp_path / "new" / "state.json", {"port": 1})
    assert load(tmp_path / "new" / "state.json") == {"port": 1}
