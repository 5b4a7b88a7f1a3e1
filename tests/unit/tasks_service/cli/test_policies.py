"""``tasks policies lint``: what it says, and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks_service.cli.main import main


def test_all_problems_are_shown_and_the_exit_code_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policies.toml"
    path.write_text('[[policy]]\nname = "a"\nsoak = "1h"\n')
    assert main(["policies", "lint", str(path)]) == 0
    assert "1 policies, no problems" in capsys.readouterr().err
    path.write_text('[[policy]]\nsoak = "x"\ncolour = 1\n')
    assert main(["policies", "lint", str(path)]) == 2
    said = capsys.readouterr().err
    assert "soak" in said
    assert "colour" in said
    assert "'name' is missing" in said
