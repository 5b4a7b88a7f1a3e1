"""The vertex model: status replies in, complete states of the build's steps out.

Called by client.py with every reply of the Status stream, and read by
errors.py and by whoever shows progress. Vertices are known by digest within
one build; a reply holds their whole state, so it replaces and never adds.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from runners.clients.buildkit._pb import control_pb2
from runners.clients.buildkit._pb.control_pb2 import StatusResponse

_TAIL_LINES = 30
_CANCELED = ("context canceled", "context cancelled")


@dataclass(slots=True)
class Action:
    """A progress line inside a vertex, such as a transfer; bytes, total 0 is unknown."""

    name: str
    current: int = 0
    total: int = 0
    done: bool = False


@dataclass(slots=True)
class Vertex:
    """One step of the build graph.

    Attributes:
        state: ``pending``, ``running``, ``done``, ``cached``, ``error`` or
            ``canceled`` (stopped because another failed). An ``error`` here
            does not mean that the build fails.
        elapsed_s: Time it really ran; a vertex may be opened again after it
            was done, and the pauses do not count.
        group: Id of the progress group whose name stands for its members.
        tail: The last lines it wrote.
    """

    digest: str
    name: str
    inputs: tuple[str, ...] = ()
    state: str = "pending"
    cached: bool = False
    error: str = ""
    group: str = ""
    actions: dict[str, Action] = field(default_factory=dict)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    intervals: dict[float, float | None] = field(default_factory=dict)

    @property
    def elapsed_s(self) -> float:
        """See the class."""
        total, reached = 0.0, float("-inf")
        for start, end in sorted((s, e) for s, e in self.intervals.items() if e is not None):
            total += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        return total

    @property
    def current(self) -> int:
        """Bytes moved by its actions."""
        return sum(action.current for action in self.actions.values())

    @property
    def total(self) -> int:
        """Bytes its actions have to move, as far as known."""
        return sum(action.total for action in self.actions.values())


@dataclass(frozen=True, slots=True)
class Group:
    """Vertices shown as one line (a multi-step internal operation)."""

    id: str
    name: str
    state: str
    visible: bool
    """False until a member has started that is more than a weak one."""


class Progress(Protocol):
    """What a caller of ``solve`` may listen to. Called from one thread; must not raise."""

    def vertex(self, vertex: Vertex) -> None:
        """Take a vertex whose state changed; complete each time."""
        ...

    def log(self, vertex: Vertex, stream: str, data: bytes) -> None:
        """Take output of a vertex, cut anywhere; stream is ``stdout`` or ``stderr``."""
        ...

    def warning(self, vertex: Vertex | None, text: str, url: str) -> None:
        """Take a warning, for instance of the Dockerfile linter."""
        ...


class BuildState:
    """All vertices of one build, in the order of their announcement."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.vertices: dict[str, Vertex] = {}
        self.warnings: list[str] = []
        self._progress = progress
        self._groups: dict[str, tuple[str, list[tuple[str, bool]]]] = {}
        self._partial: dict[tuple[str, int], tuple[codecs.IncrementalDecoder, str]] = {}

    def apply(self, reply: StatusResponse) -> None:
        """Take one reply of the Status stream."""
        for vertex in reply.vertexes:
            self._vertex(vertex)
        touched = {status.vertex: self._status(status) for status in reply.statuses}
        for log in reply.logs:
            self._log(log)
        for found in touched.values():
            self._tell(lambda p, v=found: v and p.vertex(v))  # type: ignore[misc]
        for warning in reply.warnings:
            self._warning(warning)

    def _tell(self, call: Callable[[Progress], object]) -> None:
        if self._progress is not None:
            call(self._progress)

    def _vertex(self, update: control_pb2.Vertex) -> None:
        vertex = self.vertices.get(update.digest)
        if vertex is None:
            vertex = self.vertices[update.digest] = Vertex(update.digest, update.name)
        if not update.HasField("started") and vertex.intervals:
            # A late announcement of what is running or over already.
            if update.cached:
                vertex.cached = True
            return
        vertex.name = update.name
        vertex.inputs = tuple(update.inputs)
        vertex.cached = update.cached
        vertex.error = update.error
        if update.HasField("started"):
            ended = _seconds(update.completed) if update.HasField("completed") else None
            vertex.intervals[_seconds(update.started)] = ended
        vertex.state = _state(update)
        if update.HasField("progressGroup"):
            self._join_group(vertex, update)
        self._tell(lambda progress: progress.vertex(vertex))

    def _join_group(self, vertex: Vertex, update: control_pb2.Vertex) -> None:
        group = update.progressGroup
        vertex.group = group.id
        members = self._groups.setdefault(group.id, (group.name, []))[1]
        if all(digest != vertex.digest for digest, _ in members):
            members.append((vertex.digest, group.weak))

    def groups(self) -> list[Group]:
        """Return the progress groups with the state that stands for their members."""
        return [self._group(key, name, members) for key, (name, members) in self._groups.items()]

    def _group(self, key: str, name: str, members: list[tuple[str, bool]]) -> Group:
        states = [self.vertices[digest].state for digest, _ in members]
        visible = any(self.vertices[digest].intervals and not weak for digest, weak in members)
        for state in ("error", "running"):
            if state in states:
                return Group(key, name, state, visible)
        if all(state == "cached" for state in states):
            return Group(key, name, "cached", visible)
        ended = all(state in ("done", "cached", "canceled") for state in states)
        return Group(key, name, "done" if ended else "pending", visible)

    def _status(self, status: control_pb2.VertexStatus) -> Vertex | None:
        vertex = self.vertices.get(status.vertex)
        if vertex is None:
            return None
        vertex.actions[status.ID] = Action(
            status.name or status.ID, status.current, status.total, status.HasField("completed")
        )
        return vertex

    def _log(self, log: control_pb2.VertexLog) -> None:
        vertex = self.vertices.get(log.vertex)
        if vertex is None:
            return
        self._remember(vertex, log.stream, log.msg)
        stream = "stderr" if log.stream == 2 else "stdout"
        self._tell(lambda progress: progress.log(vertex, stream, log.msg))

    def _remember(self, vertex: Vertex, stream: int, data: bytes) -> None:
        key = (vertex.digest, stream)
        decoder, line = self._partial.get(key) or (
            codecs.getincrementaldecoder("utf-8")("replace"), ""
        )  # fmt: skip
        *lines, rest = (line + decoder.decode(data)).split("\n")
        # A single endless line must not fill the memory.
        self._partial[key] = (decoder, rest[-4096:])
        vertex.tail.extend(text.rstrip("\r") for text in lines)

    def last_lines(self, vertex: Vertex) -> list[str]:
        """Return the last lines a vertex wrote, unfinished ones included."""
        rests = [
            rest for (digest, _), (_, rest) in self._partial.items() if digest == vertex.digest
        ]
        return [*vertex.tail, *(rest for rest in rests if rest)][-_TAIL_LINES:]

    def _warning(self, warning: control_pb2.VertexWarning) -> None:
        text = warning.short.decode("utf-8", "replace")
        if warning.ranges and warning.info.filename:
            text = f"{warning.info.filename}:{warning.ranges[0].start.line}: {text}"
        if text in self.warnings:
            return
        self.warnings.append(text)
        vertex = self.vertices.get(warning.vertex)
        self._tell(lambda progress: progress.warning(vertex, text, warning.url))


def _state(update: control_pb2.Vertex) -> str:
    if update.error:
        return "canceled" if update.error.endswith(_CANCELED) else "error"
    if update.cached:
        return "cached"
    if update.HasField("completed"):
        return "done"
    return "running" if update.HasField("started") else "pending"


def _seconds(time: object) -> float:
    return float(time.seconds) + time.nanos / 1e9  # type: ignore[attr-defined, no-any-return]
