"""Every fault the service must survive has a line in ``make test-faults`` and in the docs."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.rows import DONE, MUST, PROVED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "service" / "faults.md").read_text()


def test_every_row_is_done_and_told() -> None:
    done = {word for name in (*DONE, *PROVED) for word in name.split()}
    told = set(re.findall(r"^\| (F\d+)", PAGE, re.MULTILINE))
    assert set(MUST) <= done
    assert set(MUST) <= told


def test_what_the_rows_name_is_there() -> None:
    named = {test.partition("::")[0] for tests in PROVED.values() for test in tests}
    named |= set(re.findall(r"`(tests/[\w/.]+)`", PAGE))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
    for tests in PROVED.values():
        for test in tests:
            path, _, name = test.partition("::")
            assert not name or f"def {name}(" in (ROOT / path).read_text()
