"""Problems in the forms of ``tasks lint``: text, JSON, SARIF, GitHub.

In: problems. Out: text. Called by ``tasks lint``; text also by other commands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tasks_service.errors import ERROR, Problem
from tasks_service.plans.codes import CODES

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_text(problems: Sequence[Problem]) -> str:
    """Return headline, source line and caret of every problem, and the count."""
    if not problems:
        return ""
    errors = sum(problem.severity == ERROR for problem in problems)
    warnings = len(problems) - errors
    count = ", ".join(
        f"{number} {name}{'' if number == 1 else 's'}"
        for number, name in ((errors, "error"), (warnings, "warning"))
        if number
    )
    return "\n".join([problem.text() for problem in problems] + [count])


def as_json(problems: Sequence[Problem]) -> str:
    """Return a JSON list, one object a problem."""
    return json.dumps(
        [
            {
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "severity": problem.severity,
                "code": problem.code,
                "message": problem.message,
                "suggestion": problem.suggestion,
                "source": problem.source,
            }
            for problem in problems
        ],
        indent=2,
        ensure_ascii=False,
    )


def as_github(problems: Sequence[Problem]) -> str:
    """Return workflow commands that GitHub shows as annotations."""
    return "\n".join(
        f"::{problem.severity} file={_property(problem.file)},line={problem.line},"
        f"col={problem.column},title={_property(problem.code)}::{_data(_said(problem))}"
        for problem in problems
    )


def as_sarif(problems: Sequence[Problem]) -> str:
    """Return a SARIF 2.1.0 log with one run."""
    codes = sorted({problem.code for problem in problems})
    rules = [_rule(code) for code in codes]
    results = [
        {
            "ruleId": problem.code,
            "ruleIndex": codes.index(problem.code),
            "level": problem.severity,
            "message": {"text": _said(problem)},
            "locations": [{"physicalLocation": _location(problem)}],
        }
        for problem in problems
    ]
    driver = {"name": "tasks lint", "rules": rules}
    log = {
        "$schema": _SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints",
                  "results": results}],
    }  # fmt: skip
    return json.dumps(log, indent=2, ensure_ascii=False)


def _said(problem: Problem) -> str:
    return f"{problem.message} ({problem.suggestion})" if problem.suggestion else problem.message


def _rule(code: str) -> dict[str, Any]:
    known = CODES.get(code)
    rule: dict[str, Any] = {"id": code}
    if known is not None:
        rule["shortDescription"] = {"text": known.title}
        rule["help"] = {"text": known.help}
        rule["defaultConfiguration"] = {"level": known.severity}
    return rule


def _location(problem: Problem) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": problem.file},
        "region": {
            "startLine": problem.line,
            "startColumn": problem.column,
            "endColumn": problem.column + max(1, problem.width),
        },
    }


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


FORMATS = {"text": as_text, "json": as_json, "sarif": as_sarif, "github": as_github}
"""Every output form of ``tasks lint``."""
