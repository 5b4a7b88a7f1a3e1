"""Commands that the suite of sandboxes runs, and what a fake makes of each."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from runners.backends.fake import Scripted

SUCCEED = ("true",)
SPEAK_AND_FAIL = ("sh", "-c", "echo out; echo err >&2; printf last; exit 3")
SPEAK_MUCH = ("sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")
SLEEP = ("sleep", "1000")
STUBBORN = ("sh", "-c", "trap '' TERM; echo ready; while true; do sleep 1; done")
LISTEN = ("sh", "-c", "echo ready; while true; do sleep 1; done")

_MUCH = b"".join(b"line %d\n" % number for number in range(20000))

COMMANDS: Mapping[tuple[str, ...], Scripted] = {
    SUCCEED: Scripted(),
    SPEAK_AND_FAIL: Scripted(
        3, output=(("stdout", b"out\n"), ("stderr", b"err\n")), last_output=(("stdout", b"last"),)
    ),
    SPEAK_MUCH: Scripted(output=(("stdout", _MUCH),)),
    SLEEP: Scripted(delay_s=1000),
    STUBBORN: Scripted(output=(("stdout", b"ready\n"),), delay_s=1000),
    LISTEN: Scripted(output=(("stdout", b"ready\n"),), delay_s=1000),
}


@dataclass
class Recorder:
    """An Output that keeps everything; ``spoke`` is set by the first bytes."""

    streams: dict[str, bytes] = field(default_factory=dict)
    vertices: list[str] = field(default_factory=list)
    spoke: threading.Event = field(default_factory=threading.Event)

    def write(self, stream: str, data: bytes) -> None:
        self.streams[stream] = self.streams.get(stream, b"") + data
        self.spoke.set()

    def vertex(self, *, name: str, **_: object) -> None:
        self.vertices.append(name)
