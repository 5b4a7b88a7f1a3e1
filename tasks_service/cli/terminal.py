"""What a terminal may be shown: colours by the user's wish, foreign text made harmless.

Pure but for the look at the environment. Used by every view and message.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TextIO

from runners.model.status import StepStatus

# CSI, OSC/DCS/APC/PM/SOS strings with their end, and two-byte escapes.
_SEQUENCE = re.compile(
    r"\x1b\[(?P<csi>[0-?]*[ -/]*)(?P<final>[@-~])"
    r"|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)"
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]?",
    re.DOTALL,
)
_SGR = re.compile(r"[0-9;:]*")
# C0 but tab and newline, DEL, C1, and the marks that reverse reading order.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
RESET = "\x1b[0m"
SHOW_CURSOR = "\x1b[?25h\n"


def clean_line(text: str, *, colour: bool) -> str:
    """Return one line of foreign output that can do nothing to a terminal.

    Control sequences go, but colours stay if ``colour``; text overwritten by
    carriage returns is dropped as a terminal would show it.
    """
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part), "")
    if "\x1b" not in text and "\x9b" not in text:
        return _CONTROL.sub("", text)
    kept: list[str] = []
    end = 0
    coloured = False
    for match in _SEQUENCE.finditer(text):
        kept.append(_CONTROL.sub("", text[end : match.start()]))
        end = match.end()
        if colour and match["final"] == "m" and _SGR.fullmatch(match["csi"]):
            kept.append(match[0])
            coloured = True
    kept.append(_CONTROL.sub("", text[end:]))
    if coloured:
        kept.append(RESET)
    return "".join(kept)


def clean_text(text: str) -> str:
    """Return text of several lines without any control sequence."""
    return "\n".join(clean_line(line, colour=False) for line in text.split("\n"))


def wants_colour(stream: TextIO, choice: str = "auto") -> bool:
    """Return whether to colour what goes to ``stream``.

    ``choice`` is ``auto``, ``always`` or ``never``; auto asks NO_COLOR,
    CLICOLOR_FORCE, FORCE_COLOR and TERM, then whether it is a terminal.
    """
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if _forced("CLICOLOR_FORCE") or _forced("FORCE_COLOR"):
        return True
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def _forced(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


def is_terminal(stream: TextIO) -> bool:
    """Return whether ``stream`` is a terminal (a closed stream is not)."""
    try:
        return stream.isatty()
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours text, or leaves it."""

    on: bool

    @classmethod
    def of(cls, stream: TextIO, choice: str = "auto") -> Paint:
        """Return the paint for what goes to ``stream``."""
        return cls(wants_colour(stream, choice))

    def style(self, codes: str, text: str) -> str:
        """Return ``text`` in the SGR ``codes``."""
        return f"\x1b[{codes}m{text}{RESET}" if self.on and text else text

    def bold(self, text: str) -> str:
        """Return bold text."""
        return self.style("1", text)

    def bold_red(self, text: str) -> str:
        """Return bold red text."""
        return self.style("1;31", text)

    def dim(self, text: str) -> str:
        """Return faint text."""
        return self.style("2", text)


@dataclass(frozen=True, slots=True)
class Mark:
    """How a status looks: an icon for UTF-8, one for ASCII, a word, a colour."""

    icon: str
    ascii: str
    word: str
    codes: str


MARKS = {
    StepStatus.PENDING: Mark("○", ".", "waiting", "2"),
    StepStatus.RUNNING: Mark("●", ">", "running", "36"),
    StepStatus.SUCCEEDED: Mark("✔", "+", "succeeded", "32"),
    StepStatus.FAILED: Mark("✘", "x", "failed", "31"),
    StepStatus.TIMEOUT: Mark("✘", "x", "timed out", "31"),
    StepStatus.CANCELED: Mark("■", "-", "canceled", "33"),
    StepStatus.STOPPED: Mark("■", "-", "stopped", "33"),
    StepStatus.SKIPPED: Mark("·", "-", "skipped", "2"),
    StepStatus.ERROR: Mark("✘", "!", "error", "31"),
}
"""The status is never told by colour alone."""


def unicode_ok(stream: TextIO) -> bool:
    """Return whether ``stream`` can show the icons."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    try:
        "✔●○·└".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def duration(seconds: float) -> str:
    """Return a time for people: ``0.4s``, ``12.3s``, ``3m05s``, ``2h03m``."""
    if seconds < 60:
        return f"{max(seconds, 0):.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


def size(count: float) -> str:
    """Return bytes for people: ``512 B``, ``3.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
