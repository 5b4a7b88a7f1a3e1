"""What ``tasks explain`` says: properties, step kinds, variables, codes.

In: a name. Out: text. Everything comes from the tables that the parser uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from runners.steps import KINDS
from tasks_service.plans.aliases import RUN_ALIASES
from tasks_service.plans.codes import CODES
from tasks_service.plans.model import SECTIONS, Property
from tasks_service.plans.source import near_miss
from tasks_service.plans.variables import RUN_NAMES, VARIABLE_TEXTS

_PATHS = {
    "task": "",
    "step": "steps.",
    "secret": "secrets.",
    "network": "networks.",
    "volume": "volumes.",
    "mount": "steps.volumeMounts.",
    "alias": "alias.",
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
KIND_TEXTS = {
    "build": "Builds an image: the text takes what `docker build` takes, options and the context. "
    "Nothing is pushed unless it says so.",
    "cmd": "Runs a container: the first word is the image, the rest its arguments. No shell of the "
    "host reads it.",
    "push": "Pushes images, one after another; `:latest` is added where there is no tag.",
}


def _properties() -> Iterator[tuple[str, Property]]:
    for section, properties in SECTIONS.items():
        for item in properties:
            yield _PATHS[section] + item.name, item


@cache
def _texts() -> dict[str, str]:
    texts = {path: _property_text(path, item) for path, item in _properties()}
    for kind in KINDS:
        texts[f"steps.{kind}"] = (
            f"steps.{kind} (kind of step)\n  {KIND_TEXTS.get(kind, 'A kind of step.')}\n"
            f"  Properties: {', '.join(sorted(KINDS[kind].properties))}"
        )
    for name in RUN_NAMES:
        alias = f", alias ${name}" if name in RUN_ALIASES else ""
        texts[f"Run.{name}"] = (
            f"Run.{name} (run variable, {{{{.Run.{name}}}}}{alias})\n  {VARIABLE_TEXTS[name]}"
        )
    for code, entry in CODES.items():
        texts[code] = f"{code} ({entry.severity}): {entry.title}\n  {entry.help}"
    return texts


def _property_text(path: str, item: Property) -> str:
    kind = _TYPES.get(item.type, "list")
    lines = [f"{path} ({kind}{', required' if item.required else ''})", f"  {item.text}"]
    if item.default:
        lines.append(f"  Default: {item.default}")
    if item.enum:
        lines.append(f"  One of: {', '.join(item.enum)}")
    if item.minimum is not None:
        lines.append(f"  At least: {item.minimum}")
    if item.deprecated:
        lines.append(f"  Deprecated: {item.deprecated}")
    used = [key for key, kind in KINDS.items() if item.name in kind.properties]
    if path.startswith("steps.") and path.count(".") == 1 and 0 < len(used) < len(KINDS):
        lines.append(f"  Used by: {', '.join(used)}")
    if item.rows:
        lines.append(f"  Source: {', '.join(item.rows)}")
    return "\n".join(lines)


def names() -> tuple[str, ...]:
    """Return every name that can be explained."""
    return tuple(_texts())


def explain(name: str) -> str | None:
    """Return the text about a name; short forms (``timeout``) work; else None."""
    texts = _texts()
    wanted = name.strip().strip("{}").lstrip(".$")
    folded = {key.lower(): key for key in texts}
    for candidate in (wanted, f"steps.{wanted}", f"Run.{wanted}", wanted.replace("task.", "", 1)):
        key = folded.get(candidate.lower())
        if key is not None:
            return texts[key]
    return None


def suggestion(name: str) -> str:
    """Return the known name that was likely meant, or ''."""
    last = {key.rpartition(".")[2]: key for key in reversed(names())}
    return near_miss(name, names()) or last.get(near_miss(name.rpartition(".")[2], last), "")
