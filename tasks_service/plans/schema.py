"""The JSON Schema of the task file, made from the tables that the parser uses.

``python -m tasks_service.plans.schema`` writes schemas/task.schema.json,
``--check`` only compares. What the schema refuses, the parser reports at
least as a warning; what the parser calls an error of form, the schema refuses
(tests prove both). It describes a file after templates.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from runners.steps import KINDS
from tasks_service.plans.checks import SECRET_SCHEMES
from tasks_service.plans.explain import KIND_TEXTS
from tasks_service.plans.model import MAX_ID, SECTIONS, STEP_ID_PATTERN, Property

PATH = "schemas/task.schema.json"
SCHEMA_ID = "urn:tasks-service:task.schema.json"
_INT64 = (1 << 63) - 1
_SCALAR = ["string", "number", "boolean", "null"]
_PORT = r"^[0-9A-Fa-f.:\[\]]*\d{1,5}(-\d{1,5})?(/(tcp|udp|sctp))?$"


def _any_case(words: tuple[str, ...]) -> str:
    """Return a pattern for words without case, which JSON Schema lacks."""
    patterns = []
    for word in words:
        letters = []
        for letter in word:
            if letter.isalpha():
                letters.append(f"[{letter.lower()}{letter.upper()}]")
            else:
                letters.append("\\" + letter if letter in ".*+?" else letter)
        patterns.append("".join(letters))
    return f"^({'|'.join(patterns)})$"


def _string(item: Property) -> dict[str, Any]:
    if item.enum:
        return {"type": ["string", "null"], "pattern": _any_case(("", *item.enum)),
                "examples": list(item.enum)}  # fmt: skip
    if item.name == "cpus":
        return {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^(|(\d*\.?\d+|\d+\.))$"},
                {"type": "null"},
            ]
        }
    if item.name == "keyvault":
        schemes = _any_case(SECRET_SCHEMES)[:-1]
        return {"type": "string", "pattern": schemes + ":"}
    if item.pattern:
        optional = "" if item.required else "|"
        # A number counts as the text that was written, so dots must be allowed.
        number = "number" if re.fullmatch(item.pattern, "1.5") else "integer"
        schema: dict[str, Any] = {
            "type": ["string", number, "boolean"] + ([] if item.required else ["null"]),
            "pattern": f"^({optional}{item.pattern})$",
        }
        if not re.fullmatch(item.pattern, "-1"):
            schema["minimum"] = 0
        if item.pattern == STEP_ID_PATTERN:
            schema["maxLength"] = MAX_ID
        return schema
    if item.name == "mountPath":
        return {"type": "string", "pattern": "^/"}
    if item.required:
        return {"type": ["string", "number", "boolean"], "minLength": 1}
    return {"type": _SCALAR}


def _strings(item: Property) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": ["string", "number", "boolean"]}
    if item.pattern:
        entry = {"type": "string", "pattern": f"^{item.pattern}"}
    schema: dict[str, Any] = {"type": ["array", "null"], "items": entry}
    if item.name in {"ports", "expose"}:
        schema["items"] = {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 65535},
                {"type": "string", "pattern": _PORT},
            ]
        }
    if item.name == "when":
        schema["uniqueItems"] = True
        schema["if"] = {"type": "array", "contains": {"const": "-"}}
        schema["then"] = {"maxItems": 1}
    return schema


def _integer(item: Property) -> dict[str, Any]:
    lowest = -_INT64 - 1
    if item.minimum is not None or "Delay" in item.name or "Retries" in item.name:
        lowest = 0
    return {"type": ["integer", "null"], "minimum": lowest, "maximum": _INT64}


def _texts(item: Property) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object" if item.required else ["object", "null"],
        "additionalProperties": {"type": _SCALAR},
        "propertyNames": {"pattern": f"^{item.pattern}$"},
    }
    if item.required:
        schema["minProperties"] = 1
    return schema


def _property(item: Property) -> dict[str, Any]:
    if item.type == "string":
        schema = _string(item)
    elif item.type == "strings":
        schema = _strings(item)
    elif item.type == "texts":
        schema = _texts(item)
    elif item.type == "integer":
        schema = _integer(item)
    elif item.type == "integers":
        schema = {"type": ["array", "null"], "items": {"type": "integer"}}
    elif item.type == "boolean":
        schema = {"type": ["boolean", "null"]}
    elif item.type == "alias":
        schema = {"anyOf": [{"$ref": "#/$defs/alias"}, {"type": "null"}]}
    else:
        entries: dict[str, Any] = {
            "type": ["array", "null"], "items": {"$ref": f"#/$defs/{item.type}"}
        }  # fmt: skip
        schema = entries
    described: dict[str, Any] = {"description": _description(item), **schema}
    default = _default(item)
    if default is not None:
        described["default"] = default
    if item.deprecated:
        described["deprecated"] = True
    return described


def _description(item: Property) -> str:
    text = item.text
    if item.default:
        text += f" Default: {item.default}."
    if item.deprecated:
        text += f" Deprecated: {item.deprecated}."
    return text


def _default(item: Property) -> Any:
    """Return the default as a value, where it is one."""
    if item.type == "boolean":
        return item.default == "true"
    if item.type == "integer":
        return int(item.default) if item.default.isdigit() else None
    if item.type == "string" and item.default and " " not in item.default:
        return item.default
    return None


def _section(name: str) -> dict[str, Any]:
    properties = SECTIONS[name]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {item.name: _property(item) for item in properties},
        "additionalProperties": False,
    }
    required = [item.name for item in properties if item.required]
    if required:
        schema["required"] = required
    return schema


def _kind(key: str) -> dict[str, Any]:
    schema = {"description": KIND_TEXTS.get(key, "A kind of step."), **KINDS[key].value_schema}
    if schema.get("type") == "string":
        schema["type"] = ["string", "number", "boolean"]
        schema.setdefault("minLength", 1)
    else:
        schema.setdefault("minItems", 1)
    return schema


def _step() -> dict[str, Any]:
    schema = _section("step")
    schema["properties"] = {**{key: _kind(key) for key in KINDS}, **schema["properties"]}
    schema["oneOf"] = [{"required": [key]} for key in KINDS]
    mounts = [item.name for item in SECTIONS["step"] if item.type == "mount"]
    refusing = [key for key, kind in KINDS.items() if "workingDirectory" not in kind.properties]
    if refusing:
        schema["not"] = {
            "anyOf": [{"required": [key, mount]} for key in refusing for mount in mounts]
        }
    return schema


def task_schema() -> dict[str, Any]:
    """Return the schema."""
    task = _section("task")
    definitions = {
        name: _step() if name == "step" else _section(name)
        for name in ("step", "secret", "network", "volume", "mount", "alias")
    }
    mount = next(item for item in SECTIONS["step"] if item.name == "volumeMount")
    definitions["step"]["properties"]["volumeMount"] = {
        "description": _description(mount),
        "anyOf": [
            {"$ref": "#/$defs/mount"},
            {"type": ["array", "null"], "items": {"$ref": "#/$defs/mount"}},
        ],
        "deprecated": True,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Task file",
        "description": "A multi-step task: build, push and run container images.",
        **task,
        "patternProperties": {"^x-": {}},
        "required": ["steps"],
        "$defs": definitions,
    }


def schema_text() -> str:
    """Return the schema as it is committed."""
    return json.dumps(task_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the schema, or compare with ``--check``."""
    path = Path(PATH)
    if "--check" in arguments:
        if path.is_file() and path.read_text() == schema_text():
            return 0
        sys.stderr.write(f"{PATH} is stale; run python -m tasks_service.plans.schema\n")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(schema_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
