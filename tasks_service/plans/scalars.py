"""Scalars as the original's YAML reader (YAML 1.1, Go's number forms) sees them.

In: a scalar Node. Out: None, bool, int, float or str. Called by task_file.py
for typed fields and by values.py for untyped data.
"""

from __future__ import annotations

import re
from typing import Any

from tasks_service.plans.yaml_nodes import Node

_TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
_FALSE = frozenset(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_SPECIAL = {
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"),
    "+.inf": float("inf"), "+.Inf": float("inf"), "+.INF": float("inf"),
    "-.inf": float("-inf"), "-.Inf": float("-inf"), "-.INF": float("-inf"),
}  # fmt: skip
_INT = re.compile(
    r"[-+]?(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)"
    r"|(?P<dec>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LIMIT = 1 << 63
_MAX_NUMBER = 400  # characters; longer texts stay text


def is_null(node: Node) -> bool:
    """Tell whether the scalar is null (``~``, ``null``, nothing)."""
    return node.tag == "null" or (node.plain and not node.tag and node.value in _NULL)


def resolve(node: Node) -> Any:
    """Return the scalar's value: None, bool, int, float, or its text."""
    text = node.value
    if node.tag:
        return _tagged(node)
    if not node.plain:
        return text
    if text in _NULL:
        return None
    first = text[0]
    if first in "yYnNtTfFoO":
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        return text
    if first in "+-.0123456789" and len(text) <= _MAX_NUMBER:
        return _number(text)
    return text


def _number(text: str) -> Any:
    if text in _SPECIAL:
        return _SPECIAL[text]
    plain = text.replace("_", "")
    match = _INT.fullmatch(plain)
    if match:
        value = _integer(match)
        if plain.startswith("-"):
            value = -value
        if -_LIMIT <= value < 2 * _LIMIT:
            return value
    if _FLOAT.fullmatch(plain):
        return float(plain)
    return text


def _integer(match: re.Match[str]) -> int:
    for name, base in (("hex", 16), ("bin", 2), ("oct", 8)):
        if match[name]:
            return int(match[name], base)
    return int(match["dec"])


def _tagged(node: Node) -> Any:
    text = node.value
    if node.tag in {"str", "binary"}:
        return text
    if node.tag == "null":
        return None
    bare = Node("scalar", text, node.start, node.end)
    bare.plain = True
    value = resolve(bare)
    if node.tag == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
