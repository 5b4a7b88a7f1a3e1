"""Every problem code in use is in the catalogue, has a page, and is said once."""

from __future__ import annotations

import ast
from pathlib import Path

import runners.steps
import tasks_service.plans
from tasks_service.plans.codes import CODES

ROOTS = [Path(next(iter(module.__path__))) for module in (tasks_service.plans, runners.steps)]
CALLS = {"report", "_report", "_at", "SpecProblem", "YamlProblem", "_problem", "refuse", "Problem"}


def used() -> set[str]:
    """Return every text that is given as a code to a call that reports."""
    found = set()
    for root in ROOTS:
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name not in CALLS:
                    continue
                for argument in node.args:
                    text = argument.value if isinstance(argument, ast.Constant) else None
                    if isinstance(text, str) and _is_code(text):
                        found.add(text)
    return found


def _is_code(text: str) -> bool:
    words = text.split("-")
    return text in CODES or (
        len(words) > 1 and all(word.isalpha() and word.islower() for word in words)
    )


def test_every_code_in_use_is_documented() -> None:
    assert used() - set(CODES) == set()


def test_codes_say_what_to_do() -> None:
    for code, entry in CODES.items():
        assert entry.severity in {"error", "warning"}, code
        assert entry.title, code
        assert entry.help.endswith((".", "`")), code
