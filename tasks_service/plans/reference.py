"""Pages made of the tables: docs/lint/ and the reference in docs/task-file.md.

``python -m tasks_service.plans.reference`` writes them, ``--check`` only
compares. What stands between the markers of task-file.md is replaced.
"""

from __future__ import annotations

import sys
from pathlib import Path

from runners.steps import KINDS
from tasks_service.plans.aliases import IMAGE_ALIASES, RUN_ALIASES
from tasks_service.plans.codes import CODES
from tasks_service.plans.explain import KIND_TEXTS
from tasks_service.plans.model import SECTIONS, Property
from tasks_service.plans.variables import RUN_NAMES, VARIABLE_TEXTS

LINT = Path("docs/lint")
PAGE = Path("docs/task-file.md")
_BEGIN = "<!-- reference: made by `python -m tasks_service.plans.reference`; don't edit -->"
_END = "<!-- end of reference -->"
_HEADINGS = {
    "task": "Top of the file",
    "step": "Steps",
    "secret": "`secrets`",
    "network": "`networks`",
    "volume": "`volumes`",
    "mount": "`volumeMounts` of a step",
    "alias": "`alias`",
}
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "boolean": "true or false",
    "strings": "list of texts",
    "integers": "list of whole numbers",
    "texts": "map of texts",
    "alias": "map",
}


def _row(section: str, item: Property) -> str:
    kind = _TYPES.get(item.type, "list")
    text = item.text + (" **Required.**" if item.required else "")
    if item.enum:
        text += " One of " + ", ".join(f"`{word}`" for word in item.enum) + "."
    if item.deprecated:
        text += f" Deprecated: {item.deprecated}."
    used = [key for key, kind_ in KINDS.items() if item.name in kind_.properties]
    where = ", ".join(used) if section == "step" else ""
    default = f"`{item.default}`" if item.default and " " not in item.default else item.default
    cells = [f"`{item.name}`", kind, default, text, *([where] if section == "step" else [])]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def reference() -> str:
    """Return the reference part of docs/task-file.md."""
    lines: list[str] = []
    for section, properties in SECTIONS.items():
        lines += [f"### {_HEADINGS[section]}", ""]
        if section == "step":
            lines += [f"- `{key}`: {KIND_TEXTS.get(key, '')}" for key in KINDS]
            lines += ["", "| property | type | default | meaning | used by |",
                      "| --- | --- | --- | --- | --- |"]  # fmt: skip
        else:
            lines += ["| property | type | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [_row(section, item) for item in properties]
        lines.append("")
    lines += ["### Run variables", "", "| variable | alias | meaning |", "| --- | --- | --- |"]
    lines += [
        f"| `{{{{.Run.{name}}}}}` | {f'`${name}`' if name in RUN_ALIASES else ''} | "
        f"{VARIABLE_TEXTS[name]} |"
        for name in RUN_NAMES
    ]
    lines += ["", "### Image aliases", "", "| first word of `cmd` | image |", "| --- | --- |"]
    lines += [f"| `{name}` | `{image}` |" for name, image in IMAGE_ALIASES.items()]
    return "\n".join(lines)


def lint_pages() -> dict[str, str]:
    """Return the pages of docs/lint by file name."""
    pages = {}
    index = [
        "# Problem codes",
        "",
        "What `tasks lint` and every other command says about a task file. Errors keep it from",
        "running; warnings don't. `tasks explain CODE` prints the same text.",
        "",
        "| code | severity | problem |",
        "| --- | --- | --- |",
    ]
    for code, entry in CODES.items():
        index.append(f"| [{code}]({code}.md) | {entry.severity} | {entry.title} |")
        pages[f"{code}.md"] = (
            f"# {code}: {entry.title}\n\nSeverity: {entry.severity}.\n\n{entry.help}\n"
        )
    pages["README.md"] = "\n".join(index) + "\n"
    return pages


def _with_reference(text: str) -> str:
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    return f"{before}{_BEGIN}\n\n{reference()}\n\n{_END}{after}"


def stale() -> list[str]:
    """Return the files that don't say what the tables say."""
    found = []
    pages = lint_pages()
    for name, text in pages.items():
        path = LINT / name
        if not path.is_file() or path.read_text() != text:
            found.append(str(path))
    found += [str(path) for path in LINT.glob("*.md") if path.name not in pages]
    if not PAGE.is_file() or PAGE.read_text() != _with_reference(PAGE.read_text()):
        found.append(str(PAGE))
    return found


def main(arguments: list[str]) -> int:
    """Write the pages, or compare with ``--check``."""
    if "--check" in arguments:
        wrong = stale()
        if wrong:
            sys.stderr.write(
                f"stale: {', '.join(wrong)}; run python -m tasks_service.plans.reference\n"
            )
        return 1 if wrong else 0
    LINT.mkdir(parents=True, exist_ok=True)
    pages = lint_pages()
    for path in LINT.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (LINT / name).write_text(text)
    PAGE.write_text(_with_reference(PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
