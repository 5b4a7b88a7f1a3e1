"""Floating point numbers as Go writes them: ``strconv`` formats and JSON.

In: a float. Out: text. Called by go_format.py and variables.py.
"""

from __future__ import annotations

import math
import re

_SIX = 6
_MANTISSA = 52


def float_text(value: float, form: str, precision: int) -> str:
    """Return ``strconv.FormatFloat``; a ``precision`` of -1 is the shortest exact one."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if form in "xX":
        text = _hexadecimal(value, precision)
    elif form == "b":
        mantissa, exponent = math.frexp(value)
        text = f"{int(mantissa * (1 << _MANTISSA + 1))}p{exponent - _MANTISSA - 1:+d}"
    elif precision >= 0:
        text = format(value, f".{precision}{form.lower()}")
    elif form in "gG":
        text = _shortest(value)
    else:
        digits = len(_scientific(value)[0])
        text = format(value, f".{digits - 1}e") if form in "eE" else _plain(value)
    return text.upper() if form in "EGX" else text


def json_float(value: float) -> str:
    """Return the number as Go's JSON encoder writes it."""
    if value and not 1e-6 <= abs(value) < 1e21:
        text = format(value, f".{len(_scientific(value)[0]) - 1}e")
        return re.sub(r"e-0(\d)$", r"e-\1", text)
    return _plain(value)


def sharp_float(text: str, form: str, precision: int) -> str:
    """Return a signed number's text as the ``#`` flag wants it: with a point, zeros kept."""
    digits = 0
    if form in "gGx":
        digits = _SIX if precision < 0 else precision
    marks = "pP" if form in "xX" else "pPeE"
    cut = next((i for i, c in enumerate(text) if c in marks), len(text))
    number, tail = text[:cut], text[cut:]
    seen = False
    for character in number[1:]:
        if character == ".":
            continue
        seen = seen or character != "0"
        digits -= seen
    if "." not in number:
        if number[1:] == "0":
            digits -= 1
        number += "."
    return number + "0" * max(0, digits) + tail


def _scientific(value: float) -> tuple[str, int]:
    """Return the shortest exact digits and the exponent of the first of them."""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    leading = (
        len(whole) - 1 if whole.strip("0") else -(len(fraction) - len(fraction.lstrip("0"))) - 1
    )
    return digits.rstrip("0") or "0", leading + int(exponent or 0)


def _plain(value: float) -> str:
    digits, exponent = _scientific(value)
    sign = "-" if math.copysign(1, value) < 0 else ""
    if not value:
        return sign + "0"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    fraction = digits[exponent + 1 :]
    return sign + whole + (f".{fraction}" if fraction else "")


def _shortest(value: float) -> str:
    digits, exponent = _scientific(value)
    if value and (exponent < -4 or exponent >= _SIX):
        return format(value, f".{len(digits) - 1}e")
    return _plain(value)


def _hexadecimal(value: float, precision: int) -> str:
    sign = "-" if math.copysign(1, value) < 0 else ""
    mantissa, exponent = math.frexp(abs(value))
    bits = int(mantissa * (1 << _MANTISSA + 1))
    exponent = exponent - 1 if bits else 0
    if 0 <= precision < _MANTISSA // 4:
        shift = _MANTISSA - 4 * precision
        half, rest = 1 << (shift - 1), bits & ((1 << shift) - 1)
        bits >>= shift
        if rest > half or (rest == half and bits & 1):
            bits += 1
        bits <<= shift
        if bits >> (_MANTISSA + 1):
            bits >>= 1
            exponent += 1
    fraction = f"{bits & ((1 << _MANTISSA) - 1):013x}"
    fraction = fraction.rstrip("0") if precision < 0 else fraction.ljust(precision, "0")[:precision]
    point = "." if fraction else ""
    return f"{sign}0x{bits >> _MANTISSA}{point}{fraction}p{exponent:+03d}"
