"""Traps: files that are right and likely don't mean what they say.

In: a TaskFile, ids and needs. Out: warnings TF306, TF9xx. Called by compile.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tasks_service.plans.aliases import RUN_ALIASES, Aliases
from tasks_service.plans.model import StepItem, TaskFile
from tasks_service.plans.source import Reporter, shown
from tasks_service.plans.variables import RUN_NAMES
from tasks_service.plans.version import aliases_on
from tasks_service.plans.words import option_values, words_of

_CALL = re.compile(
    r"(?<!\$)\$(" + "|".join(sorted(RUN_ALIASES, key=len, reverse=True)) + r")(?![A-Za-z0-9])"
)
_BLOCK = re.compile(r"^alias[ \t]*:", re.MULTILINE)
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_RUN = re.compile(r"\.Run\.(?<![\w)\]]\.Run\.)([A-Za-z_]\w*)")
_VALUE = re.compile(r"\.Values\.(?<![\w)\]]\.Values\.)([A-Za-z_]\w*)")
_SECRET_NAME = re.compile(r"passw|secret|token|credential|api_?key|private_?key", re.IGNORECASE)
_OTHER_BUILDERS = re.compile(
    r"\b(?:docker|buildx|buildctl|podman|buildah|pack|kaniko|oras|crane|skopeo)\b"
)
_KNOWN_RUN = frozenset(RUN_NAMES)
_STANDARD_NETWORKS = frozenset(("host", "none", "bridge", "default"))
_MIN_SECRET = 3


def check_unknown_aliases(
    unknown: Sequence[tuple[str, int]], aliases: Aliases, reporter: Reporter
) -> None:
    """Warn about ``$name`` that is close to a known alias of some length."""
    known = [name for name in aliases.values if len(name) > 3]
    for name, offset in unknown:
        close = reporter.near_miss(name, known) if len(name) > 3 else ""
        if close and (close[0] == name[0] or close.lower() == name.lower()):
            sign = aliases.directive
            reporter.report(
                "TF206",
                f"there is no alias '{sign}{shown(name)}'; the text stays as it is",
                offset,
                width=len(name) + 1,
                suggestion=f"did you mean '{sign}{close}'?",
            )


def check_variables(text: str, data: Mapping[str, Any], reporter: Reporter) -> None:
    """Warn about names under ``.Run`` that don't exist, and mistyped values."""
    if "{{" not in text:
        return
    values = data["Values"]
    if set(_RUN.findall(text)) <= _KNOWN_RUN and set(_VALUE.findall(text)) <= values.keys():
        return
    for action in _ACTION.finditer(text):
        for found in _RUN.finditer(action[0]):
            if found[1] not in RUN_NAMES:
                reporter.report(
                    "TF306",
                    f".Run has no variable '{shown(found[1])}'; it renders as nothing",
                    action.start() + found.start(),
                    width=found.end() - found.start(),
                    suggestion=reporter.did_you_mean(found[1], RUN_NAMES),
                )
        for found in _VALUE.finditer(action[0]):
            close = "" if found[1] in values else reporter.near_miss(found[1], values)
            if close:
                reporter.report(
                    "TF909",
                    f"there is no value '{shown(found[1])}'",
                    action.start() + found.start(),
                    width=found.end() - found.start(),
                    suggestion=f"did you mean '{close}'?",
                )


class Traps:
    """Looks for the classic traps in one file."""

    def __init__(
        self,
        task: TaskFile,
        reporter: Reporter,
        ids: Sequence[str],
        needs: Sequence[tuple[str, ...]],
        secrets: Sequence[str],
        network: str,
    ) -> None:
        self._task = task
        self._reporter = reporter
        self._ids = ids
        self._needs = needs
        self._secrets = [text for text in secrets if len(text) >= _MIN_SECRET]
        self._network = network

    @staticmethod
    def aliases_off(text: str, reporter: Reporter, version: str) -> None:
        """Warn about aliases in a file whose version turns them off (Y-005)."""
        found = _CALL.search(text)
        block = _BLOCK.search(text)
        written = f"version '{shown(version)}'" if version else "no version"
        fix = "write version: v1.1.0"
        if version and aliases_on(version.lower()):
            fix += " in lower case"
        if found:
            reporter.report(
                "TF902",
                f"'{found[0]}' stays as it is: with {written} aliases are off",
                found.start(),
                width=len(found[0]),
                suggestion=fix,
            )
        elif block:
            reporter.report(
                "TF902",
                f"the alias block does nothing: with {written} aliases are off",
                block.start(),
                width=5,
                suggestion=fix,
            )

    def check(self) -> None:
        """Report every trap."""
        if not self._reporter.reported("TF601", "TF602", "TF604", "TF605", "TF606"):
            self._parallel()
        declared = {network.name for network in self._task.networks} | _STANDARD_NETWORKS
        declared.add(self._network)
        for step in self._task.steps:
            self._step(step, declared)
        self._images()

    def _parallel(self) -> None:
        """W-13: a step that waits for one of several parallel steps."""
        if not any(step.when for step in self._task.steps):
            return
        # Sets of steps as bits of one number: files may have thousands.
        bits = {name: 1 << index for index, name in enumerate(self._ids)}
        above: dict[str, int] = {}
        awaited = 0
        for index, step in enumerate(self._task.steps):
            reached = 0
            for name in self._needs[index]:
                reached |= bits[name] | above[name]
            above[self._ids[index]] = reached
            alone = index > 1 and not step.when and self._task.steps[index - 1].when
            if alone:
                earlier = (1 << (index - 1)) - 1
                loose = earlier & ~reached & ~awaited
                if loose:
                    names = [name for name in self._ids[: index - 1] if bits[name] & loose]
                    self._warn_parallel(step, index, names)
            for name in self._needs[index]:
                awaited |= bits[name]

    def _warn_parallel(self, step: StepItem, index: int, loose: list[str]) -> None:
        previous = self._ids[index - 1]
        named = ", ".join(f"'{shown(name)}'" for name in loose[:5])
        everyone = ", ".join([*loose, previous])
        self._reporter.report(
            "TF901",
            f"without when this step waits only for '{shown(previous)}', not for {named}",
            next(iter(step.keys.values()), step.node).start,
            width=1,
            suggestion=f"when: [{everyone}]" if len(loose) <= 5 else "",
        )

    def _step(self, step: StepItem, declared: set[str]) -> None:
        if step.privileged:
            key = step.keys["privileged"]
            self._reporter.report(
                "TF906",
                "a privileged step can do anything in its runner",
                key.start,
                width=len(key.value),
            )
        if step.network and step.network not in declared:
            node = step.nodes["network"]
            self._reporter.report(
                "TF908",
                f"the file declares no network '{shown(step.network)}'",
                node.start,
                width=max(1, node.end - node.start),
                suggestion=self._reporter.did_you_mean(step.network, declared),
            )

    def _images(self) -> None:
        """Compare what is built with what is pushed."""
        built: dict[str, tuple[StepItem, str]] = {}
        pushed: dict[str, tuple[StepItem, str]] = {}
        builds: list[str] = []
        commands: list[str] = []
        for step in self._task.steps:
            text = step.kinds.get("build")
            if isinstance(text, str) and len(step.kinds) == 1:
                self._build(step, text, built, pushed)
                builds.append(text)
            for image in _list(step.kinds.get("push")):
                pushed.setdefault(_full_name(image), (step, image))
            command = step.kinds.get("cmd")
            if isinstance(command, str):
                commands.append(command)
        # A cmd step that can build or push by itself makes every guess wrong.
        if any(_OTHER_BUILDERS.search(command) for command in commands):
            return
        all_commands = "\n".join(commands)
        all_builds = "\n".join(builds)
        for name in built.keys() - pushed.keys():
            step, tag = built[name]
            own = str(step.kinds["build"])
            if _has_registry(name) or not (
                tag in all_commands or all_builds.count(tag) > own.count(tag)
            ):
                self._at(step, "build", "TF904", f"'{shown(tag)}' is built but never pushed", tag)
        for name in pushed.keys() - built.keys():
            step, image = pushed[name]
            if image not in all_commands:
                close = self._reporter.did_you_mean(name, built)
                self._at(step, "push", "TF905", f"no step builds '{shown(image)}'", image, close)

    def _build(
        self,
        step: StepItem,
        text: str,
        built: dict[str, tuple[StepItem, str]],
        pushed: dict[str, tuple[StepItem, str]],
    ) -> None:
        words = words_of(text)
        for word in words:
            if "github" in word and ".git" not in word and "/" in word:
                self._at(
                    step,
                    "build",
                    "TF911",
                    f"'{shown(word)}' is no Git context: those end with .git",
                    word,
                    f"write {shown(word.partition('#')[0].rstrip('/'))}.git",
                )
        tags = option_values(words, ("-t", "--tag", "--image"))
        for tag in tags:
            built.setdefault(_full_name(tag), (step, tag))
            if "--push" in words:
                pushed.setdefault(_full_name(tag), (step, tag))
        for argument in option_values(words, ("--build-arg",)):
            name, _, value = argument.partition("=")
            if any(secret in value for secret in self._secrets) or (
                value and _SECRET_NAME.search(name)
            ):
                self._at(
                    step,
                    "build",
                    "TF907",
                    f"the build argument '{shown(name)}' keeps its value in the image's history",
                    name,
                    f"use --secret id={name}",
                )

    def _at(
        self, step: StepItem, key: str, code: str, message: str, token: str, hint: str = ""
    ) -> None:
        node = step.nodes[key]
        offset, width = self._reporter.locate(node.start, node.end, token)
        self._reporter.report(code, message, offset, width=width, suggestion=hint)


def _list(value: str | list[str] | None) -> list[str]:
    return value if isinstance(value, list) else []


def _full_name(image: str) -> str:
    name = image.strip()
    last = name.rpartition("/")[2]
    return name if "@" in name or ":" in last else name + ":latest"


def _has_registry(image: str) -> bool:
    head, separator, _ = image.partition("/")
    return bool(separator) and ("." in head or ":" in head or head == "localhost")
