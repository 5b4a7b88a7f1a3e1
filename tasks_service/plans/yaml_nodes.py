"""YAML text to a tree of nodes with positions, within limits.

In: a text. Out: Node, or YamlProblem. Works on the parser's events, without
recursion, so that depth, size and alias expansion are bounded while reading
and not after (reliability 5.1). Called by task_file.py, aliases.py, values.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_NODES = 20_000

SCALAR = "scalar"
SEQUENCE = "sequence"
MAPPING = "mapping"

_CORE_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge", "binary")
}


class Node:
    """One YAML value.

    ``value`` is the scalar's text, a list of nodes, or a list of pairs of
    nodes, by ``kind``. ``plain`` is True for an unquoted scalar, the only one
    that can be a number, a truth value or null. ``start`` and ``end`` are
    offsets in the text. ``weight`` counts the nodes below, aliases included.
    """

    # Defaults of the class, not slots: most nodes never change them, and a
    # file has thousands of nodes.
    plain = False
    tag = ""
    weight = 1

    def __init__(self, kind: str, value: Any, start: int, end: int) -> None:
        self.kind = kind
        self.value = value
        self.start = start
        self.end = end

    def __repr__(self) -> str:
        return f"Node({self.kind}, {self.value!r})"


class YamlProblem(Exception):
    """The text is not YAML, or more of it than is allowed.

    ``code`` is a lint code; ``offset`` says where in the text.
    """

    def __init__(self, code: str, message: str, offset: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset


def _parser(text: str) -> Any:
    # Imported late: `tasks --help` must not pay for YAML.
    import yaml

    if yaml.__with_libyaml__:
        from yaml.cyaml import CParser  # type: ignore[attr-defined]

        return CParser(text)
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class PurePython(Reader, Scanner, Parser):
        def __init__(self, stream: str) -> None:
            Reader.__init__(self, stream)
            Scanner.__init__(self)
            Parser.__init__(self)

    return PurePython(text)


def parse_yaml(text: str) -> Node | None:
    """Return the root node of a one-document text, None if it holds nothing.

    Raises:
        YamlProblem: syntax, a refused tag, too deep, too many nodes, an
            unknown or self-containing anchor, a second document.
    """
    import yaml

    try:
        return _Builder(_parser(text)).document()
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, text) from None
    except yaml.reader.ReaderError as error:
        where = error.position if isinstance(error.position, int) else 0
        character = error.character
        number = character if isinstance(character, int) else ord(str(character)[:1] or "\0")
        raise YamlProblem(
            "TF401", f"the character U+{number:04X} is not allowed in YAML", min(where, len(text))
        ) from None
    except yaml.YAMLError as error:
        raise YamlProblem("TF401", f"not valid YAML: {error}", 0) from None


def _syntax(error: Any, text: str) -> YamlProblem:
    mark = error.problem_mark or error.context_mark
    offset = mark.index if mark is not None else len(text)
    what = " ".join(str(part) for part in (error.context, error.problem) if part)
    problem = str(error.problem or "")
    if (
        "found character '\\t'" in problem
        or "found a tab" in problem
        or ("cannot start any token" in problem and text[offset : offset + 1] == "\t")
    ):
        return YamlProblem("TF402", "a tab can't indent YAML; use spaces", offset)
    return YamlProblem("TF401", f"not valid YAML: {what}", offset)


class _Builder:
    """Turns a stream of parser events into nodes, iteratively."""

    def __init__(self, parser: Any) -> None:
        self._next: Callable[[], Any] = parser.get_event
        self._anchors: dict[str, Node | None] = {}
        self._stack: list[tuple[Node, str | None]] = []
        self._key: list[Node | None] = []
        self._root: Node | None = None
        self._count = 0

    def document(self) -> Node | None:
        from yaml import events

        take = self._next
        handlers: dict[type, Callable[[Any], None]] = {
            events.ScalarEvent: self._scalar,
            events.MappingStartEvent: self._mapping_start,
            events.MappingEndEvent: self._collection_end,
            events.SequenceStartEvent: self._sequence_start,
            events.SequenceEndEvent: self._collection_end,
            events.AliasEvent: self._alias,
        }
        documents = 0
        while True:
            event = take()
            kind = type(event)
            handler = handlers.get(kind)
            if handler is not None:
                if documents > 1:
                    if kind is events.ScalarEvent and event.implicit[0] and not event.value:
                        continue
                    raise YamlProblem(
                        "TF403",
                        "a second document starts here; there can be only one",
                        event.start_mark.index,
                    )
                handler(event)
            elif kind is events.DocumentStartEvent:
                documents += 1
            elif kind is events.StreamEndEvent:
                break
        root = self._root
        if root is not None and root.kind == SCALAR and root.plain and not root.value:
            return None
        return root

    def _scalar(self, event: Any) -> None:
        node = Node(SCALAR, event.value, event.start_mark.index, event.end_mark.index)
        if not event.style:
            node.plain = True
        if event.tag is not None:
            self._tag(node, event)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        keys = self._key
        if keys and keys[-1] is None and self._stack[-1][0].kind == MAPPING:
            # The key of a pair: the most frequent case, and never counted.
            self._stack[-1][0].weight += 1
            keys[-1] = node
            return
        self._place(node)

    def _mapping_start(self, event: Any) -> None:
        self._open(Node(MAPPING, [], event.start_mark.index, event.end_mark.index), event)

    def _sequence_start(self, event: Any) -> None:
        self._open(Node(SEQUENCE, [], event.start_mark.index, event.end_mark.index), event)

    def _open(self, node: Node, event: Any) -> None:
        if event.tag is not None:
            self._tag(node, event)
        if event.anchor is not None:
            # None until it is complete, so that it can't contain itself.
            self._anchors[event.anchor] = None
        if len(self._stack) >= MAX_DEPTH:
            raise YamlProblem("TF404", f"nested deeper than {MAX_DEPTH}", node.start)
        self._stack.append((node, event.anchor))
        self._key.append(None)

    def _collection_end(self, event: Any) -> None:
        node, anchor = self._stack.pop()
        self._key.pop()
        # A block collection's end event stands at the next token.
        node.end = event.end_mark.index
        if anchor is not None:
            self._anchors[anchor] = node
        self._place(node)

    def _alias(self, event: Any) -> None:
        where = event.start_mark.index
        if event.anchor not in self._anchors:
            raise YamlProblem("TF405", f"there is no anchor '&{event.anchor}' above", where)
        target = self._anchors[event.anchor]
        if target is None:
            raise YamlProblem("TF405", f"the anchor '&{event.anchor}' contains itself", where)
        self._place(target, where)

    def _place(self, node: Node, where: int | None = None) -> None:
        # Keys cost what their values cost; only values are counted.
        if not self._key or self._key[-1] is not None or self._stack[-1][0].kind == SEQUENCE:
            self._count += 1 if where is None else node.weight
        if self._count > MAX_NODES:
            raise YamlProblem(
                "TF404",
                f"more than {MAX_NODES} values (aliases and merges counted as often as used)",
                node.start if where is None else where,
            )
        if not self._stack:
            self._root = node
            return
        parent = self._stack[-1][0]
        parent.weight += node.weight
        if parent.kind == SEQUENCE:
            parent.value.append(node)
            return
        key = self._key[-1]
        if key is None:
            self._key[-1] = node
        else:
            parent.value.append((key, node))
            self._key[-1] = None

    def _tag(self, node: Node, event: Any) -> None:
        tag = str(event.tag)
        if tag == "!":
            node.plain = False
            return
        if tag not in _CORE_TAGS:
            _refuse_tag(tag, node.start)
        node.tag = tag.rpartition(":")[2]


def _refuse_tag(tag: str, offset: int) -> NoReturn:
    shown = tag.replace("tag:yaml.org,2002:", "!!")[:80]
    raise YamlProblem("TF406", f"the YAML tag {shown} is not allowed here", offset)
