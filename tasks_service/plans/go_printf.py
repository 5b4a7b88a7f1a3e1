"""The directives of a ``printf`` pattern, and the printer that they steer.

In: a pattern and values. Out: text written by a Printer. Called by
template_gotpl.py through go_functions.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks_service.plans.go_format import Printer, State, type_name

_LARGEST = 1_000_000
"""Widths and precisions above it are none."""
_FLAGS = {"#": "sharp", "0": "zero", "+": "plus", "-": "minus", " ": "space"}


def sprintf(pattern: str, values: Sequence[Any], limit: int) -> str:
    """Format values as Go does.

    Raises:
        OverflowError: the text would have more than ``limit`` characters.
    """
    printer = Printer(limit)
    reader = _Directives(pattern, values)
    position = 0
    while (found := pattern.find("%", position)) >= 0:
        printer.write(pattern[position:found])
        printer.state = State()
        position = reader.read(found + 1, printer)
    printer.write(pattern[position:])
    reader.write_rest(printer)
    return printer.text


class _Directives:
    """Reads directives; ``_at`` is the number of the next value."""

    def __init__(self, pattern: str, values: Sequence[Any]) -> None:
        self._pattern = pattern
        self._values = list(values)
        self._at = 0
        self._reordered = False
        self._good = True

    def read(self, position: int, out: Printer) -> int:
        """Read one directive behind its ``%``, write it; return where it ends."""
        pattern, state = self._pattern, out.state
        self._good = True
        while pattern[position : position + 1] in _FLAGS and position < len(pattern):
            setattr(state, _FLAGS[pattern[position]], True)
            position += 1
        position, indexed = self._index(position)
        position, indexed = self._width(position, out, indexed=indexed)
        if pattern.startswith(".", position):
            position, indexed = self._precision(position + 1, out, indexed=indexed)
        if not indexed:
            position, indexed = self._index(position)
        if position >= len(pattern):
            out.write("%!(NOVERB)")
            return position
        self._verb(pattern[position], out)
        return position + 1

    def write_rest(self, out: Printer) -> None:
        """Write the values that no directive took."""
        rest = [] if self._reordered else self._values[self._at :]
        if not rest:
            return
        out.state = State()
        out.write("%!(EXTRA ")
        for index, value in enumerate(rest):
            if index:
                out.write(", ")
            if value is not None:
                out.write(type_name(value) + "=")
            out.value(value, "v")
        out.write(")")

    def _verb(self, verb: str, out: Printer) -> None:
        if verb == "%":
            out.write("%")
        elif not self._good:
            out.write(f"%!{verb}(BADINDEX)")
        elif self._at >= len(self._values):
            out.write(f"%!{verb}(MISSING)")
        else:
            if verb == "v":
                out.state.sharp_v, out.state.sharp = out.state.sharp, False
                out.state.plus = False
            self._at += 1
            out.value(self._values[self._at - 1], verb)

    def _width(self, position: int, out: Printer, *, indexed: bool) -> tuple[int, bool]:
        state = out.state
        if self._pattern.startswith("*", position):
            width = self._number_argument()
            if width is None:
                out.write("%!(BADWIDTH)")
            elif width < 0:
                state.minus, state.width = True, -width
            else:
                state.width = width
            return position + 1, False
        state.width, position = self._digits(position)
        if indexed and state.width is not None:
            self._good = False
        return position, indexed

    def _precision(self, position: int, out: Printer, *, indexed: bool) -> tuple[int, bool]:
        if indexed:
            self._good = False
        position, indexed = self._index(position)
        if self._pattern.startswith("*", position):
            precision = self._number_argument()
            if precision is None or precision < 0:
                out.write("%!(BADPREC)")
            else:
                out.state.precision = precision
            return position + 1, False
        precision, position = self._digits(position)
        out.state.precision = precision or 0
        return position, indexed

    def _index(self, position: int) -> tuple[int, bool]:
        """Read ``[n]`` if it is there; tell whether it was well-formed."""
        pattern = self._pattern
        if not pattern.startswith("[", position):
            return position, False
        self._reordered = True
        closing = pattern.find("]", position + 1)
        if len(pattern) - position < 3 or closing < 0:
            self._good = False
            return position + 1, False
        number, end = self._digits(position + 1)
        if number is None or end != closing:
            self._good = False
            return closing + 1, False
        if 1 <= number <= len(self._values):
            self._at = number - 1
        else:
            self._good = False
        return closing + 1, True

    def _digits(self, position: int) -> tuple[int | None, int]:
        end = position
        while end < len(self._pattern) and self._pattern[end] in "0123456789":
            end += 1
        text = self._pattern[position:end]
        if not text:
            return None, position
        if len(text.lstrip("0")) > 7 or int(text) > _LARGEST:
            # As there: the rest of the pattern is lost.
            return None, len(self._pattern)
        return int(text), end

    def _number_argument(self) -> int | None:
        if self._at >= len(self._values):
            return None
        value = self._values[self._at]
        self._at += 1
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST:
            return None
        return value
