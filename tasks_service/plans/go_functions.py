"""Template functions where the engine's library does other than Go and Sprig do.

In: the library's functions by name. Out: the same with ours put in. Called by
template_gotpl.py, which fences all of them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial, wraps
from typing import Any

from gotpl.runtime.values import INVALID, UNTYPED_NIL

from tasks_service.plans.go_format import sprint, sprintln, type_name
from tasks_service.plans.go_printf import sprintf

Function = Callable[..., object]

_WHOLE_NUMBERS = (
    "add", "add1", "sub", "mul", "div", "mod", "max", "min", "biggest", "int", "int64", "until",
    "untilStep", "seq",
)  # fmt: skip
_TAKE_NIL = ("list", "tuple", "dict", "set", "append", "prepend", "toJson", "mustToJson",
             "toPrettyJson", "toRawJson")  # fmt: skip
_CONNECTORS = "_- \t\n\r\f\v"


class Moment(datetime):
    """A time that prints as Go's does."""

    go_type = "time.Time"

    @classmethod
    def of(cls, moment: datetime) -> Moment:
        """Return ``moment`` as one that prints so."""
        return cls(
            moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second,
            moment.microsecond, moment.tzinfo, fold=moment.fold,
        )  # fmt: skip

    def __str__(self) -> str:
        fraction = f".{self.microsecond:06d}".rstrip("0") if self.microsecond else ""
        zone = self.strftime("%z")[:5] or "+0000"
        name = self.tzname() or ""
        named = name if name[:1].isalpha() and ("+" not in name or name == "UTC") else zone
        utc = self.utcoffset() in (None, timedelta(0)) and name in ("", "UTC")
        return f"{self.year:04d}-{self:%m-%d %H:%M:%S}{fraction} {zone} {'UTC' if utc else named}"


def _plain(value: object) -> object:
    return None if value is UNTYPED_NIL or value is INVALID else value


def b64enc(*arguments: object) -> str:
    """Encode as the original's own ``b64enc``: null is empty (V-81).

    What is neither text nor null encodes its Go type name, as there.
    """
    value = _plain(arguments[0]) if arguments else None
    if value is None:
        return ""
    text = value if isinstance(value, str) else f"<{type_name(value)} Value>"
    return base64.b64encode(text.encode()).decode()


def _printf(limit: int, pattern: str, *values: object) -> str:
    return sprintf(pattern, [_plain(value) for value in values], limit)


def _printing(printer: Callable[[list[Any], int], str], limit: int, *values: object) -> str:
    return printer([_plain(value) for value in values], limit)


def _kind(value: object) -> str:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "" if value is None or isinstance(value, (Mapping, list, tuple)) else "other"


def _equal(left: object, right: object) -> bool:
    left, right = _plain(left), _plain(right)
    one, other = _kind(left), _kind(right)
    if left is None or right is None:
        # A missing value is equal to another one only, and never an error.
        return left is right
    if one != other:
        raise TypeError("incompatible types for comparison")
    if not one:
        raise TypeError("maps and lists can't be compared")
    return left == right


def _eq(first: object, *others: object) -> bool:
    if not others:
        raise TypeError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _ne(left: object, right: object) -> bool:
    return not _equal(left, right)


def _decimal(function: Function) -> Function:
    """Read texts as decimal numbers; what is none counts as 0."""

    def number(value: object) -> object:
        if not isinstance(value, str):
            return value
        digits = value[1:] if value[:1] in ("+", "-") else value
        whole = digits.isascii() and digits.isdigit() and len(digits) <= 19
        return int(value) if whole else 0

    @wraps(function)
    def call(*arguments: object) -> object:
        return function(*map(number, arguments))

    return call


def _taking_nil(function: Function) -> Function:
    @wraps(function)
    def call(*arguments: object) -> object:
        return function(*map(_plain, arguments))

    return call


def _list_for_none(function: Function) -> Function:
    @wraps(function)
    def call(*arguments: object) -> object:
        found = function(*arguments)
        return [] if found is None else found

    return call


def _round(value: object, places: int, half: float = 0.5) -> float:
    number = value if isinstance(value, (int, float)) else _float(str(value))
    power = math.pow(10, places)
    shifted = power * number
    rest, _ = math.modf(shifted)
    return float(math.ceil(shifted) if rest >= half else math.floor(shifted)) / power


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _camelcase(text: str) -> str:
    start = next((i for i, c in enumerate(text) if c not in _CONNECTORS), len(text))
    result = text[:start]
    above = True
    rest = text[start:]
    for index, character in enumerate(rest):
        if character in _CONNECTORS:
            # Only the first of several connectors goes.
            if above and index:
                result += rest[index - 1]
            above = True
            if index == len(rest) - 1:
                result += character
            continue
        result += character.upper() if above else character.lower()
        above = False
    return result


def corrected(functions: Mapping[str, Function], limit: int) -> dict[str, Function]:
    """Return the functions with ours put in; texts are bounded by ``limit``."""
    chosen = dict(functions)
    chosen.update({name: _decimal(chosen[name]) for name in _WHOLE_NUMBERS})
    chosen.update({name: _taking_nil(chosen[name]) for name in _TAKE_NIL})
    for name in ("regexFindAll", "mustRegexFindAll"):
        chosen[name] = _list_for_none(chosen[name])
    type_of = chosen["typeOf"]
    chosen["typeOf"] = lambda value: (
        Moment.go_type if isinstance(value, datetime) else type_of(value)
    )
    chosen.update(
        b64enc=b64enc,
        camelcase=_camelcase,
        eq=_eq,
        ne=_ne,
        printf=partial(_printf, limit),
        print=partial(_printing, sprint, limit),
        println=partial(_printing, sprintln, limit),
        round=_round,
    )
    return chosen
