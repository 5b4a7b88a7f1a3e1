"""Texts and characters in quotes, as Go's ``strconv`` writes them.

Called by go_format.py.
"""

from __future__ import annotations

_ESCAPES = {
    "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v",
    "\\": r"\\",
}  # fmt: skip
_SURROGATES = range(0xD800, 0xE000)
_REPLACEMENT = "\ufffd"


def rune(point: int) -> str:
    """Return the character of a code point; what is none becomes U+FFFD."""
    return _REPLACEMENT if point in _SURROGATES else chr(point)


def quote_text(text: str, *, ascii_only: bool) -> str:
    """Return the text in double quotes."""
    return '"' + "".join(_escaped(c, '"', ascii_only=ascii_only) for c in text) + '"'


def quote_rune(point: int, *, ascii_only: bool) -> str:
    """Return a character in single quotes."""
    return "'" + _escaped(rune(point), "'", ascii_only=ascii_only) + "'"


def can_backquote(text: str) -> bool:
    """Tell whether backquotes can hold the text unchanged."""
    return not any(c in "`\x7f\ufeff" or (c < " " and c != "\t") for c in text)


def _escaped(character: str, quote: str, *, ascii_only: bool) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character == quote:
        return "\\" + character
    point = ord(character)
    if character.isprintable() and (point < 0x80 or not ascii_only):
        return character
    if point < 0x80:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
