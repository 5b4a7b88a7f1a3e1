"""Values as Go's ``fmt`` prints them, verb by verb.

In: plain Python values (None, bool, int, float, str, list, dict).
Out: text. Bounded: what would be longer than the limit raises OverflowError.
Called by go_printf.py and go_functions.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks_service.plans.go_numbers import float_text, sharp_float
from tasks_service.plans.go_quote import can_backquote, quote_rune, quote_text, rune

_BASES = {"v": 10, "d": 10, "b": 2, "o": 8, "O": 8, "x": 16, "X": 16}
_DIGITS = {2: "b", 8: "o", 10: "d", 16: "x"}
_FLOATS = {"v": ("g", -1), "b": ("b", -1), "g": ("g", -1), "G": ("G", -1), "x": ("x", -1),
           "X": ("X", -1), "f": ("f", 6), "F": ("f", 6), "e": ("e", 6), "E": ("E", 6)}  # fmt: skip


def sprint(values: Sequence[Any], limit: int) -> str:
    """Return values one after another, with a blank between two that are no texts."""
    printer = Printer(limit)
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            printer.write(" ")
        printer.value(value, "v")
    return printer.text


def sprintln(values: Sequence[Any], limit: int) -> str:
    """Return values with blanks between them and a line end behind."""
    printer = Printer(limit)
    for index, value in enumerate(values):
        if index:
            printer.write(" ")
        printer.value(value, "v")
    return printer.text + "\n"


def type_name(value: Any) -> str:
    """Return the Go type of a value, as ``%T`` prints it."""
    for kind, name in (
        (bool, "bool"),
        (int, "int"),
        (float, "float64"),
        (str, "string"),
        (bytes, "[]uint8"),
        (Mapping, "map[string]interface {}"),
        ((list, tuple), "[]interface {}"),
    ):
        if isinstance(value, kind):
            return name
    return "<nil>" if value is None else str(getattr(value, "go_type", type(value).__name__))


@dataclass(slots=True)
class State:
    """Flags, width and precision of one directive."""

    sharp: bool = False
    zero: bool = False
    plus: bool = False
    minus: bool = False
    space: bool = False
    sharp_v: bool = False
    width: int | None = None
    precision: int | None = None


class Printer:
    """Writes one text; ``state`` belongs to the directive in work."""

    def __init__(self, limit: int) -> None:
        self._parts: list[str] = []
        self.state = State()
        self._room = limit

    @property
    def text(self) -> str:
        """All that was written."""
        return "".join(self._parts)

    def write(self, text: str) -> None:
        """Append text; raise OverflowError at the limit."""
        self._room -= len(text)
        if self._room < 0:
            raise OverflowError
        self._parts.append(text)

    def _pad(self, text: str, *, zeros: bool = True) -> None:
        state = self.state
        missing = (state.width or 0) - len(text)
        if missing <= 0:
            self.write(text)
        elif state.minus:
            self.write(text)
            self.write(" " * missing)
        else:
            self.write(("0" if state.zero and zeros else " ") * missing)
            self.write(text)

    def value(self, value: Any, verb: str, *, nested: bool = False) -> None:
        """Write one value under a verb."""
        if value is None:
            self._nil(verb, nested=nested)
        elif verb == "T" and not nested:
            self._text(type_name(value), "s")
        elif verb == "p":
            self._bad(value, verb)
        elif isinstance(value, bool):
            if verb in "tv":
                self._pad("true" if value else "false")
            else:
                self._bad(value, verb)
        elif isinstance(value, int):
            self._integer(value, verb)
        elif isinstance(value, float):
            self._float(value, verb)
        elif isinstance(value, (str, bytes)):
            self._text(value, verb)
        elif isinstance(value, (Mapping, list, tuple)):
            self._container(value, verb)
        else:
            self._text(str(value), verb)

    def _nil(self, verb: str, *, nested: bool) -> None:
        if nested:
            self.write("interface {}(nil)" if self.state.sharp_v else "<nil>")
        elif verb in "Tv":
            self._pad("<nil>")
        else:
            self._bad(None, verb)

    def _bad(self, value: Any, verb: str) -> None:
        self.write(f"%!{verb}(")
        if value is None:
            self.write("<nil>")
        else:
            self.write(type_name(value) + "=")
            self.value(value, "v")
        self.write(")")

    def _integer(self, value: int, verb: str) -> None:
        if verb in "cq":
            point = value if 0 <= value <= 0x10FFFF else 0xFFFD
            self._pad(rune(point) if verb == "c" else quote_rune(point, ascii_only=self.state.plus))
        elif verb == "U":
            self._unicode(value)
        elif verb in _BASES:
            self._number(value, verb, _BASES[verb])
        else:
            self._bad(value, verb)

    def _unicode(self, value: int) -> None:
        state = self.state
        text = f"U+{value % (1 << 64):0{max(4, state.precision or 0)}X}"
        if state.sharp and 0 <= value <= 0x10FFFF and chr(value).isprintable():
            text += f" '{chr(value)}'"
        self._pad(text, zeros=False)

    def _number(self, value: int, verb: str, base: int) -> None:
        state = self.state
        if state.precision == 0 and value == 0:
            self.write(" " * (state.width or 0))
            return
        least = state.precision
        if least is None and state.zero and not state.minus and state.width is not None:
            least = state.width - (value < 0 or state.plus or state.space)
        digits = format(abs(value), _DIGITS[base])
        if least is not None and least > len(digits):
            self._room -= least
            if self._room < 0:
                raise OverflowError
            digits = digits.rjust(least, "0")
        if state.sharp:
            octal = "" if digits.startswith("0") else "0"
            digits = {2: "0b", 8: octal, 16: "0x"}.get(base, "") + digits
        if verb == "X":
            digits = digits.upper()
        if verb == "O":
            digits = "0o" + digits
        sign = "-" if value < 0 else "+" if state.plus else " " if state.space else ""
        self._pad(sign + digits, zeros=False)

    def _float(self, value: float, verb: str) -> None:
        if verb not in _FLOATS:
            self._bad(value, verb)
            return
        state = self.state
        form, precision = _FLOATS[verb]
        if state.precision is not None:
            precision = state.precision
        text = float_text(value, form, precision)
        if text[0] not in "+-":
            text = "+" + text
        if state.space and text[0] == "+" and not state.plus:
            text = " " + text[1:]
        if not math.isfinite(value):
            hide = text[1] == "N" and not state.space and not state.plus
            self._pad(text[1:] if hide else text, zeros=False)
            return
        if state.sharp and form != "b":
            text = sharp_float(text, form, precision)
        if not state.plus and text[0] == "+":
            self._pad(text[1:])
        elif state.zero and not state.minus and (state.width or 0) > len(text):
            self.write(text[0])
            self.write("0" * ((state.width or 0) - len(text)))
            self.write(text[1:])
        else:
            self._pad(text)

    def _text(self, value: str | bytes, verb: str) -> None:
        state = self.state
        if isinstance(value, bytes) and verb in "vd":
            self._container(list(value), verb)
            return
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        if verb in "xX":
            self._hex(value.encode() if isinstance(value, str) else value, verb)
            return
        if verb not in "vsq":
            self._bad(value, verb)
            return
        if state.precision is not None:
            text = text[: state.precision]
        if verb == "q" or (verb == "v" and state.sharp_v):
            if state.sharp and can_backquote(text):
                text = f"`{text}`"
            else:
                text = quote_text(text, ascii_only=state.plus)
        self._pad(text)

    def _hex(self, data: bytes, verb: str) -> None:
        state = self.state
        if state.precision is not None:
            data = data[: state.precision]
        prefix = "0x" if state.sharp and data else ""
        text = prefix + data.hex()
        if state.space:
            text = " ".join(f"{prefix}{byte:02x}" for byte in data)
        self._pad(text.upper() if verb == "X" else text)

    def _container(self, value: Any, verb: str) -> None:
        sharp = self.state.sharp_v
        between = ", " if sharp else " "
        mapping = isinstance(value, Mapping)
        if sharp:
            self.write(type_name(value) + "{")
        else:
            self.write("map[" if mapping else "[")
        for index, item in enumerate(sorted(value, key=str) if mapping else value):
            if index:
                self.write(between)
            self.value(item, verb, nested=True)
            if mapping:
                self.write(":")
                self.value(value[item], verb, nested=True)
        self.write("}" if sharp else "]")
