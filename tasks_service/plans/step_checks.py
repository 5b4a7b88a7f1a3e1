"""Rules on single steps: ids, numbers, ports, mounts, environment, kind.

In: a TaskFile. Out: problems at the reporter, the parsed text of each step.
Called by compile.py.
"""

from __future__ import annotations

import re
from typing import Any

from runners.steps import KINDS
from tasks_service.plans.checks import ID, Check, entries, has_name, head
from tasks_service.plans.graph import RESERVED_ID
from tasks_service.plans.model import MAX_ID, StepItem, TaskFile
from tasks_service.plans.source import Reporter, shown
from tasks_service.plans.yaml_nodes import Node

_PORT = re.compile(
    r"(?:(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):)?"
    r"(?:(?P<host>\d{0,5}(?:-\d{1,5})?):)?(?P<inner>\d{1,5}(?:-\d{1,5})?)(?:/(?:tcp|udp|sctp))?"
)
_EXPOSE = re.compile(r"(?P<inner>\d{1,5}(?:-\d{1,5})?)(?:/(?:tcp|udp|sctp))?")
_CPUS = re.compile(r"\d*\.?\d+|\d+\.")
_MAX_PORT = 65535


class StepCheck(Check):
    """Checks steps. Every method reports and goes on.

    ``env`` tells that every step gets entries from outside its own list.
    """

    def __init__(
        self, task: TaskFile, reporter: Reporter, placeholder: str, *, env: bool = False
    ) -> None:
        super().__init__(task, reporter, placeholder)
        self._env = env or bool(task.env)

    def check(self) -> None:
        """Check every step but its kind and its place in the graph."""
        for step in self._task.steps:
            self._step(step)

    def _step(self, step: StepItem) -> None:
        self._id(step)
        for name, value in (("retries", step.retries), ("repeat", step.repeat)):
            if value < 0:
                self._report("TF520", f"{name} can't be negative", self._value(step, name))
        for name, value in (
            ("startDelay", step.start_delay),
            ("retryDelay", step.retry_delay),
            ("cmdDownloadRetries", step.cmd_download_retries),
            ("cmdDownloadRetryDelay", step.cmd_download_retry_delay),
        ):
            if value < 0:
                self._report(
                    "TF521", f"a negative {name} counts as not written", self._value(step, name)
                )
        self._step_texts(step)
        self._mounts(step)
        self._step_env(step)
        if "volumeMount" in step.keys:
            self._report(
                "TF522",
                "volumeMount is the documents' name; it is read as volumeMounts",
                self._key(step, "volumeMount"),
                "write volumeMounts, a list",
            )

    def _id(self, step: StepItem) -> None:
        if not step.id:
            return
        node = self._value(step, "id")
        if step.id == RESERVED_ID:
            self._report("TF523", f"the id '{RESERVED_ID}' is reserved", node)
        elif re.search(r"\s", step.id):
            self._report("TF523", f"the id '{shown(step.id)}' can't have white space", node)
        elif not ID.fullmatch(step.id) or len(step.id) > MAX_ID:
            self._report(
                "TF523",
                f"the id '{shown(step.id)}' must be letters, digits, '_', '.' or '-', start with a "
                f"letter or digit and have at most {MAX_ID} characters",
                node,
            )

    def _step_texts(self, step: StepItem) -> None:
        if step.cache.lower() not in {"", "enabled", "disabled"}:
            self._report(
                "TF524",
                f"cache must be enabled or disabled, not '{shown(step.cache)}'",
                self._value(step, "cache"),
                self._reporter.did_you_mean(step.cache, ("enabled", "disabled")),
            )
        if step.isolation.lower() not in {"", "default"}:
            self._report(
                "TF525",
                f"isolation '{shown(step.isolation)}' means nothing on Linux; it is ignored",
                self._value(step, "isolation"),
            )
        if step.cpus and not _CPUS.fullmatch(step.cpus):
            self._report(
                "TF526",
                f"cpus must be a number, 0 for no limit, not '{shown(step.cpus)}'",
                self._value(step, "cpus"),
            )
        for name, pattern, values in (
            ("ports", _PORT, step.ports),
            ("expose", _EXPOSE, step.expose),
        ):
            for node, text in zip(entries(step, name), values, strict=False):
                if not _is_port(pattern, text):
                    self._report("TF527", f"'{shown(text)}' is not a port for {name}", node)

    def _mounts(self, step: StepItem) -> None:
        names = [volume.name for volume in self._task.volumes]
        paths: set[str] = set()
        for mount in step.mounts:
            if not mount.name or not mount.mount_path:
                missing = "mountPath" if mount.name else "name"
                self._report("TF528", f"a volume mount needs a {missing}", head(mount))
                continue
            if mount.name not in names:
                self._report(
                    "TF529",
                    f"there is no volume '{shown(mount.name)}' in this file",
                    self._value(mount, "name"),
                    self._reporter.did_you_mean(mount.name, names),
                )
            node = self._value(mount, "mountPath")
            if not mount.mount_path.startswith("/"):
                self._report("TF528", "mountPath must be an absolute path", node)
            elif mount.mount_path in paths:
                self._report("TF528", f"'{shown(mount.mount_path)}' is mounted twice", node)
            paths.add(mount.mount_path)

    def _step_env(self, step: StepItem) -> None:
        for node, text in zip(entries(step, "env"), step.env, strict=False):
            if has_name(text):
                continue
            if self._env or text.startswith("="):
                self._report("TF508", f"the env entry '{shown(text)}' must be NAME=value", node)
            else:
                self._report(
                    "TF530",
                    f"the env entry '{shown(text)}' has no value; it sets nothing",
                    node,
                    f"write {shown(text)}=value",
                )

    def parse_kind(self, step: StepItem, value: Any) -> tuple[str, Any] | None:
        """Check that a step is of one kind and parse its text.

        Returns:
            The kind's key and its spec, or None if there is none.
        """
        if not step.kinds:
            self._report("TF531", f"a step needs one of {', '.join(KINDS)}", head(step))
            return None
        if len(step.kinds) > 1:
            keys = list(step.kinds)
            self._report(
                "TF532",
                f"a step can be only one of {' and '.join(keys)}",
                self._key(step, keys[1]),
            )
            return None
        ((key, text),) = step.kinds.items()
        if not text:
            return None
        node = step.nodes[key]
        parsed = KINDS[key].parse(text if value is None else value)
        for problem in parsed.problems:
            offset, width = self.locate(node, problem.token)
            self._reporter.report_foreign(
                problem.severity, problem.code, problem.message, offset, width,
                f"did you mean '{problem.suggestion}'?" if problem.suggestion else "",
            )  # fmt: skip
        self._unused(step, key)
        return (key, parsed.spec) if parsed.spec is not None else None

    def _unused(self, step: StepItem, key: str) -> None:
        useful = KINDS[key].properties
        for name, node in step.keys.items():
            if name in KINDS or name in useful:
                continue
            if name in {"retries", "repeat"}:
                self._report("TF903", f"a {key} tries again by itself; {name} is ignored", node)
            elif name in {"volumeMounts", "volumeMount"}:
                if step.mounts:
                    self._mounts_without_use(key, useful, node)
            elif name not in {"id", "when"}:
                self._report("TF534", f"{name} means nothing in a {key} step", node)

    def _mounts_without_use(self, key: str, useful: frozenset[str], node: Node) -> None:
        """Report mounts where nothing can be mounted (Y-055)."""
        if "volumeMounts" in useful:
            return
        if "workingDirectory" in useful:
            self._report("TF534", f"volumes can't be seen by what a {key} step runs", node)
        else:
            self._report("TF533", f"a {key} step can't mount volumes", node)


def _is_port(pattern: re.Pattern[str], text: str) -> bool:
    match = pattern.fullmatch(text)
    if match is None:
        return False
    numbers = [n for part in match.groupdict().values() if part for n in part.split("-") if n]
    return all(0 <= int(number) <= _MAX_PORT for number in numbers)
