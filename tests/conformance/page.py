"""Makes docs/compatibility.md of the rows and the tests that name them.

``python -m tests.conformance.page`` writes it; ``--check`` compares, and
fails for a row without a test that should have one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from pathlib import Path

from tests.conformance.rows import BETTER, DIFFERS, NOT_APPLICABLE, ROWS, SAME

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
_ROW = re.compile(r"\b[YWXVL]-\d{2,3}\b")
_SECTIONS = (
    ("Y-000", "The file and its top-level properties"),
    ("Y-060", "Kinds of steps"),
    ("Y-200", "Step properties"),
    ("W-00", "The graph"),
    ("X-00", "What every step's container gets"),
    ("L-00", "Limits"),
    ("V-00", "Run variables"),
    ("V-30", "Image aliases"),
    ("V-40", "The alias block"),
    ("V-60", "Values"),
    ("V-80", "Templates"),
)


def citations() -> dict[str, list[str]]:
    """Return the tests that name each row, as ``file::test``, sorted."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                lines = text.splitlines()[first - 1 : node.end_lineno]
                for row in set(_ROW.findall("\n".join(lines))):
                    found.setdefault(row, set()).add(
                        f"{path.relative_to(ROOT / 'tests')}::{node.name}"
                    )
    return {row: sorted(tests) for row, tests in found.items()}


def untested() -> list[str]:
    """Return the rows that should have a test and don't."""
    known = citations()
    return [
        row for row, entry in ROWS.items() if entry.verdict != NOT_APPLICABLE and row not in known
    ]


def page() -> str:
    """Return the page."""
    known = citations()
    counts = Counter(entry.verdict for entry in ROWS.values())
    lines = [
        "# Compatibility",
        "",
        "<!-- Made by `python -m tests.conformance.page` of the tests; don't edit. -->",
        "",
        "Every feature of the original task language, by the row of the reference that",
        "describes it, and how this service stands to it. The tests named, in `tests/conformance`,",
        "prove it.",
        "",
        "| verdict | rows |",
        "| --- | --- |",
        *(f"| {name} | {counts[name]} |" for name in (SAME, BETTER, DIFFERS, NOT_APPLICABLE)),
    ]
    section = ""
    for row, entry in ROWS.items():
        # The last section that starts at or before the row, of its letter.
        heading = [name for start, name in _SECTIONS if start[0] == row[0] and start <= row][-1]
        if heading != section:
            section = heading
            lines += ["", f"## {section}", "", "| row | feature | verdict | why | tests |",
                      "| --- | --- | --- | --- | --- |"]  # fmt: skip
        # Tests elsewhere count as proof, too; naming them here would let this
        # page go stale with every change there.
        tests = [test for test in known.get(row, []) if test.startswith("conformance/")]
        shown = ", ".join(f"`{test.partition('::')[2]}`" for test in tests)
        lines.append(f"| {row} | {entry.title} | {entry.verdict} | {entry.reason} | {shown} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    missing = untested()
    if missing:
        print(f"rows without a test: {', '.join(missing)}", file=sys.stderr)
    if "--check" in arguments:
        if missing:
            return 1
        if not PAGE.is_file() or PAGE.read_text() != page():
            print(
                "docs/compatibility.md is stale; run python -m tests.conformance.page",
                file=sys.stderr,
            )
            return 1
        return 0
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
