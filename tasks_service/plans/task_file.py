"""YAML nodes to a TaskFile: types checked, unknown and duplicate keys reported.

In: the root node. Out: a TaskFile with whatever could be read. Reads like the
original's YAML decoder (scalars become text as written, 1.9 becomes 1), and
reports all that is wrong. Called by compile.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from runners.steps import KINDS
from tasks_service.plans.model import (
    SECTIONS,
    Item,
    MountItem,
    NetworkItem,
    Property,
    SecretItem,
    StepItem,
    TaskFile,
    VolumeItem,
)
from tasks_service.plans.scalars import is_null, resolve
from tasks_service.plans.source import Reporter, shown
from tasks_service.plans.yaml_nodes import MAPPING, SCALAR, SEQUENCE, Node

_Any = TypeVar("_Any", bound=Item)

_TABLES: Mapping[str, Mapping[str, Property]] = {
    section: {item.name: item for item in properties} for section, properties in SECTIONS.items()
}
_CLASSES: Mapping[str, Callable[..., Any]] = {
    "step": StepItem,
    "secret": SecretItem,
    "network": NetworkItem,
    "volume": VolumeItem,
    "mount": MountItem,
}
_SAID: Mapping[str, str] = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "strings": "a list of texts",
    "integers": "a list of whole numbers",
    "texts": "a map of texts",
}
_NO_EFFECT: Mapping[str, str] = {
    "secret": "secrets are declared at the top of the file and used as {{.Secrets.<id>}}",
    "downloadRetries": "write cmdDownloadRetries",
    "downloadRetryDelay": "write cmdDownloadRetryDelay",
}
_INT64 = 1 << 63


class TaskFileReader:
    """Reads one file; every problem goes to the reporter."""

    def __init__(self, reporter: Reporter) -> None:
        self._report = reporter.report
        self._did_you_mean = reporter.did_you_mean
        self._position = reporter.position

    def read(self, root: Node | None) -> TaskFile | None:
        """Return the file's content; None if it isn't a map at all."""
        if root is None or (root.kind == SCALAR and is_null(root)):
            return TaskFile(Node(MAPPING, [], 0, 0))
        if root.kind != MAPPING:
            self._report(
                "TF410", f"a task file must be a map with steps, not {_kind_said(root)}", root.start
            )
            return None
        task = TaskFile(root)
        self._fill(task, root, "task", lambda name, *_: name == "alias" or name.startswith("x-"))
        for index, step in enumerate(task.steps):
            step.index = index
        return task

    def _fill(
        self, item: _Any, node: Node, section: str, other: Callable[[str, Node, _Any], bool]
    ) -> None:
        """Read the properties of a map; ``other`` takes keys no table has."""
        table = _TABLES[section]
        for key, value in self._pairs(node):
            name = key.value
            found = table.get(name)
            if found is None or found.type == "alias":
                if not other(name, value, item):
                    self._unknown(name, key, section)
                    continue
                item.keys[name] = key
                item.nodes[name] = value
                continue
            item.keys[name] = key
            item.nodes[name] = value
            if value.kind == SCALAR and is_null(value):
                continue
            read = self._value(found, value)
            if read is not None:
                setattr(item, found.attribute, read)

    def _pairs(self, node: Node) -> Iterator[tuple[Node, Node]]:
        """Yield key and value nodes in order, merge keys carried out.

        As in the original a merge counts where it stands: later keys win.
        """
        seen: dict[str, Node] = {}
        for key, value in node.value:
            if key.kind != SCALAR:
                self._report("TF409", "a key must be plain text", key.start)
                continue
            if key.plain and key.value == "<<":
                yield from self._merged(value, seen)
                continue
            if key.value in seen:
                first, _ = self._position(seen[key.value].start)
                self._report(
                    "TF407",
                    f"duplicate key '{shown(key.value)}' (first on line {first})",
                    key.start,
                    width=len(key.value),
                )
            seen[key.value] = key
            yield key, value

    def _merged(self, value: Node, seen: dict[str, Node]) -> Iterator[tuple[Node, Node]]:
        sources = [value] if value.kind == MAPPING else list(value.value or ())
        if value.kind == SCALAR or any(source.kind != MAPPING for source in sources):
            self._report("TF409", "<< can only merge a map or a list of maps", value.start)
            return
        # Of a list, earlier maps are stronger: read last, they win.
        for source in reversed(sources):
            for key, merged in self._pairs(source):
                if key.value in seen:
                    self._report(
                        "TF411",
                        f"this merge replaces '{shown(key.value)}' written above it",
                        seen[key.value].start,
                        width=len(key.value),
                    )
                yield key, merged

    def _unknown(self, name: str, key: Node, section: str) -> None:
        known = [p.name for p in SECTIONS[section] if not p.deprecated]
        if section == "step":
            known += KINDS
        suggestion = _NO_EFFECT.get(name, "") if section == "step" else ""
        self._report(
            "TF408",
            f"a {section} has no property '{shown(name)}'; it is ignored",
            key.start,
            width=max(1, len(name)),
            suggestion=suggestion or self._did_you_mean(name, known),
        )

    def _value(self, found: Property, node: Node) -> Any:
        if found.type in _CLASSES:
            return self._items(found, node)
        return getattr(self, f"_{found.type}")(found.name, node)

    def _wrong_type(self, name: str, kind: str, node: Node) -> None:
        hint = ""
        width = 1
        if node.kind == SCALAR:
            width = max(1, min(node.end - node.start, 200))
            if kind in {"strings", "integers"}:
                hint = f"write it as a list: [{shown(node.value)}]"
            elif not node.plain and type(resolve(_unquoted(node))) in {int, bool, float}:
                hint = f"write it without quotes: {shown(node.value)}"
        self._report(
            "TF412",
            f"{name} must be {_SAID[kind]}, not {_kind_said(node)}",
            node.start,
            width=width,
            suggestion=hint,
        )

    def _string(self, name: str, node: Node) -> str | None:
        if node.kind == SCALAR:
            return str(node.value)
        self._wrong_type(name, "string", node)
        return None

    def _integer(self, name: str, node: Node) -> int | None:
        value = resolve(node) if node.kind == SCALAR else None
        if isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64:
            return value
        if isinstance(value, float) and abs(value) < _INT64:
            if value == int(value):
                return int(value)
            self._report(
                "TF413",
                f"{name} takes whole numbers; {shown(node.value)} counts as {int(value)}",
                node.start,
                width=node.end - node.start,
            )
            return int(value)
        self._wrong_type(name, "integer", node)
        return None

    def _boolean(self, name: str, node: Node) -> bool | None:
        value = resolve(node) if node.kind == SCALAR else None
        if isinstance(value, bool):
            return value
        self._wrong_type(name, "boolean", node)
        return None

    def _strings(self, name: str, node: Node) -> list[str] | None:
        return self._list(name, node, "strings", self._string)

    def _integers(self, name: str, node: Node) -> list[int] | None:
        return self._list(name, node, "integers", self._integer)

    def _list(
        self, name: str, node: Node, kind: str, read: Callable[[str, Node], Any]
    ) -> list[Any] | None:
        if node.kind != SEQUENCE:
            self._wrong_type(name, kind, node)
            return None
        values = []
        for item in node.value:
            if item.kind == SCALAR and is_null(item):
                self._null_item(name, item)
                continue
            value = read(f"an entry of {name}", item)
            if value is not None:
                values.append(value)
        return values

    def _null_item(self, name: str, item: Node) -> None:
        self._report(
            "TF414",
            f"an entry of {name} is empty",
            item.start,
            width=max(1, item.end - item.start),
        )

    def _texts(self, name: str, node: Node) -> dict[str, tuple[Node, Node]] | None:
        if node.kind != MAPPING:
            self._wrong_type(name, "texts", node)
            return None
        found = {}
        for key, value in self._pairs(node):
            if value.kind != SCALAR:
                self._wrong_type(f"{name}.{shown(key.value)}", "string", value)
                continue
            found[str(key.value)] = (key, value)
        return found

    def _items(self, found: Property, node: Node) -> list[Any] | None:
        entries = node.value if node.kind == SEQUENCE else None
        if found.deprecated and node.kind == MAPPING:
            entries = [node]
        if entries is None:
            self._report(
                "TF412",
                f"{found.name} must be a list, not {_kind_said(node)}",
                node.start,
                suggestion="put '- ' before each entry" if node.kind == MAPPING else "",
            )
            return None
        make = _CLASSES[found.type]
        other = self._kind_value if found.type == "step" else _nothing
        items = []
        for entry in entries:
            if entry.kind == SCALAR and is_null(entry):
                self._null_item(found.name, entry)
            elif entry.kind != MAPPING:
                self._report(
                    "TF412",
                    f"an entry of {found.name} must be a map, not {_kind_said(entry)}",
                    entry.start,
                    width=max(1, entry.end - entry.start) if entry.kind == SCALAR else 1,
                )
            else:
                item = make(entry)
                self._fill(item, entry, found.type, other)
                items.append(item)
        return items

    def _kind_value(self, name: str, node: Node, step: StepItem) -> bool:
        """Take a step-kind key; an empty value is as good as none."""
        kind = KINDS.get(name)
        if kind is None:
            return False
        if node.kind == SCALAR and is_null(node):
            return True
        wants_list = kind.value_schema.get("type") == "array"
        value = self._strings(name, node) if wants_list else self._string(name, node)
        if value:
            step.kinds[name] = value
        elif value is None or node.value:
            # What is wrong is reported; it is not missing as well.
            step.kinds[name] = ""
        return True


def _nothing(_name: str, _node: Node, _item: Item) -> bool:
    return False


def _unquoted(node: Node) -> Node:
    bare = Node(SCALAR, node.value, node.start, node.end)
    bare.plain = True
    return bare


def _kind_said(node: Node) -> str:
    if node.kind == MAPPING:
        return "a map"
    if node.kind == SEQUENCE:
        return "a list"
    value = resolve(node)
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {node.value}"
    if isinstance(value, (int, float)):
        return f"the number {shown(node.value)}"
    return f"the text '{shown(node.value)}'"
