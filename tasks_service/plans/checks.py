"""Rules on a TaskFile that need no graph: secrets, volumes, networks, steps.

In: a TaskFile. Out: problems at the reporter, decoded volumes, parsed steps.
Called by compile.py.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from typing import Any
from urllib.parse import urlsplit

from runners.model.plan import Volume
from runners.steps import KINDS
from tasks_service.plans.model import (
    FILE_NAME_PATTERN,
    MAX_ID,
    STEP_ID_PATTERN,
    VOLUME_NAME_PATTERN,
    Item,
    SecretItem,
    StepItem,
    TaskFile,
    VolumeItem,
)
from tasks_service.plans.scalars import is_null
from tasks_service.plans.source import Reporter, did_you_mean, shown
from tasks_service.plans.version import VERSIONS
from tasks_service.plans.yaml_nodes import Node

SECRET_SCHEMES = ("https", "vault", "env", "file", "store")
"""URL schemes of ``keyvault`` that a provider serves."""

RESERVED_ID = "acb_root"
_ID = re.compile(STEP_ID_PATTERN)
_VOLUME_NAME = re.compile(VOLUME_NAME_PATTERN)
_FILE_NAME = re.compile(FILE_NAME_PATTERN)
_PORT = re.compile(
    r"(?:(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):)?"
    r"(?:(?P<host>\d{0,5}(?:-\d{1,5})?):)?(?P<inner>\d{1,5}(?:-\d{1,5})?)(?:/(?:tcp|udp|sctp))?"
)
_EXPOSE = re.compile(r"(?P<inner>\d{1,5}(?:-\d{1,5})?)(?:/(?:tcp|udp|sctp))?")
_CPUS = re.compile(r"\d*\.?\d+|\d+\.")
_MAX_PORT = 65535


class Checker:
    """Checks one file. Every method reports and goes on.

    ``placeholder`` is the text that stands for a secret nobody resolved.
    """

    def __init__(self, task: TaskFile, reporter: Reporter, placeholder: str) -> None:
        self._task = task
        self._reporter = reporter
        self._placeholder = placeholder

    def _report(
        self, code: str, message: str, node: Node, suggestion: str = "", token: str = ""
    ) -> None:
        """Report at a node, or at a word inside it."""
        offset, width = node.start, max(1, node.end - node.start)
        if token:
            offset, width = self.locate(node, token)
        self._reporter.report(code, message, offset, width=width, suggestion=suggestion)

    def locate(self, node: Node, token: str) -> tuple[int, int]:
        """Return offset and width of ``token`` in the node's text, else of the node."""
        return self._reporter.locate(node.start, node.end, token)

    def _key(self, item: Item, name: str) -> Node:
        return item.keys.get(name, item.node)

    def _value(self, item: Item, name: str) -> Node:
        return item.nodes.get(name, item.node)

    def check(self) -> None:
        """Check everything but the steps' kinds and the graph."""
        task = self._task
        self._version()
        self.check_secrets()
        self._networks()
        self._env()
        if "steps" not in task.keys and task.keys:
            start = task.node.start
            self._reporter.report("TF501", "the file has no steps", start)
        for step in task.steps:
            self._step(step)

    def _version(self) -> None:
        version = self._task.version
        if version and version.lower() not in VERSIONS:
            said = f"the version must be one of {', '.join(VERSIONS)}, not '{shown(version)}'"
            self._report(
                "TF502",
                said,
                self._value(self._task, "version"),
                did_you_mean(version, VERSIONS),
            )

    def check_secrets(self) -> None:
        """Check the ``secrets`` list alone, which is read before all else."""
        seen: set[str] = set()
        for secret in self._task.secrets:
            if not secret.id:
                self._report("TF503", "a secret needs an id", _head(secret))
            elif re.search(r"\s", secret.id):
                self._report(
                    "TF503",
                    f"the secret id '{shown(secret.id)}' can't have white space",
                    self._value(secret, "id"),
                )
            elif secret.id in seen:
                self._report(
                    "TF504",
                    f"there is a secret '{shown(secret.id)}' above",
                    self._value(secret, "id"),
                )
            seen.add(secret.id)
            self._secret_source(secret)

    def _secret_source(self, secret: SecretItem) -> None:
        if not secret.keyvault:
            self._report(
                "TF505", f"the secret '{shown(secret.id)}' needs a keyvault", _head(secret)
            )
        elif self._placeholder not in secret.keyvault:
            problem = secret_url_problem(secret.keyvault)
            if problem:
                self._report("TF505", problem, self._value(secret, "keyvault"))
        if secret.client_id:
            try:
                uuid.UUID(secret.client_id)
            except ValueError:
                self._report(
                    "TF506",
                    f"clientID '{shown(secret.client_id)}' is not a UUID",
                    self._value(secret, "clientID"),
                )

    def _networks(self) -> None:
        seen: set[str] = set()
        for network in self._task.networks:
            if not network.name:
                self._report("TF507", "a network needs a name", _head(network))
            elif not _ID.fullmatch(network.name):
                self._report(
                    "TF507",
                    f"'{shown(network.name)}' can't be a network's name",
                    self._value(network, "name"),
                )
            elif network.name in seen:
                self._report(
                    "TF507",
                    f"there is a network '{shown(network.name)}' above",
                    self._value(network, "name"),
                )
            seen.add(network.name)

    def _env(self) -> None:
        for node, text in zip(_entries(self._task, "env"), self._task.env, strict=False):
            if not _has_name(text):
                self._report("TF508", f"the env entry '{shown(text)}' must be NAME=value", node)

    def volumes(self) -> tuple[Volume, ...]:
        """Check the volumes and return those that are right, decoded."""
        found = []
        seen: set[str] = set()
        for volume in self._task.volumes:
            if not volume.name:
                self._report("TF509", "a volume needs a name", _head(volume))
            elif not _VOLUME_NAME.fullmatch(volume.name):
                self._report(
                    "TF509",
                    f"the volume name '{shown(volume.name)}' may only have letters, digits, "
                    "'-' and '_'",
                    self._value(volume, "name"),
                )
            elif volume.name in seen:
                self._report(
                    "TF509",
                    f"there is a volume '{shown(volume.name)}' above",
                    self._value(volume, "name"),
                )
            seen.add(volume.name)
            found.append(Volume(volume.name, self._files(volume)))
        return tuple(found)

    def _files(self, volume: VolumeItem) -> dict[str, bytes]:
        name = shown(volume.name)
        if "secret" not in volume.keys:
            self._report("TF510", f"the volume '{name}' needs a secret map of files", _head(volume))
        elif not volume.secret and self._value(volume, "secret").kind != "sequence":
            self._report(
                "TF510", f"the secret map of volume '{name}' is empty", self._key(volume, "secret")
            )
        files = {}
        for file, (key, node) in volume.secret.items():
            if not _FILE_NAME.fullmatch(file) or file in {".", ".."}:
                self._report(
                    "TF511",
                    f"the file name '{shown(file)}' may only have letters, digits, '-', '_', '.'",
                    key,
                )
                continue
            text = node.value.replace("\n", "").replace("\r", "")
            if is_null(node):
                text = ""
            try:
                files[file] = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                # What stands for an unknown secret needn't be Base64 itself.
                if self._placeholder not in text:
                    self._report(
                        "TF512",
                        f"the content of '{shown(file)}' is not Base64",
                        node,
                        "put the text through `| b64enc`",
                    )
        return files

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
        elif not _ID.fullmatch(step.id) or len(step.id) > MAX_ID:
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
                did_you_mean(step.cache, ("enabled", "disabled")),
            )
        if step.isolation.lower() not in {"", "default"}:
            self._report(
                "TF525",
                f"isolation '{shown(step.isolation)}' means nothing on Linux; it is ignored",
                self._value(step, "isolation"),
            )
        if step.cpus and not (_CPUS.fullmatch(step.cpus) and float(step.cpus) > 0):
            self._report(
                "TF526",
                f"cpus must be a positive number, not '{shown(step.cpus)}'",
                self._value(step, "cpus"),
            )
        for name, pattern, values in (
            ("ports", _PORT, step.ports),
            ("expose", _EXPOSE, step.expose),
        ):
            for node, text in zip(_entries(step, name), values, strict=False):
                if not _is_port(pattern, text):
                    self._report("TF527", f"'{shown(text)}' is not a port for {name}", node)

    def _mounts(self, step: StepItem) -> None:
        names = [volume.name for volume in self._task.volumes]
        paths: set[str] = set()
        for mount in step.mounts:
            if not mount.name or not mount.mount_path:
                missing = "mountPath" if mount.name else "name"
                self._report("TF528", f"a volume mount needs a {missing}", _head(mount))
                continue
            if mount.name not in names:
                self._report(
                    "TF529",
                    f"there is no volume '{shown(mount.name)}' in this file",
                    self._value(mount, "name"),
                    did_you_mean(mount.name, names),
                )
            node = self._value(mount, "mountPath")
            if not mount.mount_path.startswith("/"):
                self._report("TF528", "mountPath must be an absolute path", node)
            elif mount.mount_path in paths:
                self._report("TF528", f"'{shown(mount.mount_path)}' is mounted twice", node)
            paths.add(mount.mount_path)

    def _step_env(self, step: StepItem) -> None:
        for node, text in zip(_entries(step, "env"), step.env, strict=False):
            if _has_name(text):
                continue
            if self._task.env or text.startswith("="):
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
            self._report("TF531", f"a step needs one of {', '.join(KINDS)}", _head(step))
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
            if name in {"volumeMounts", "volumeMount"}:
                if not {"volumeMounts", "volumeMount"} & useful:
                    self._report("TF533", f"a {key} step can't mount volumes", node)
            elif name not in {"id", "when"}:
                self._report("TF534", f"{name} means nothing in a {key} step", node)


def secret_url_problem(url: str) -> str:
    """Return what is wrong with a secret's URL, or ''."""
    scheme, separator, rest = url.partition(":")
    if not separator or scheme.lower() not in SECRET_SCHEMES:
        return (
            f"keyvault '{shown(url)}' is no URL that a secret provider serves "
            f"({', '.join(f'{s}:' for s in SECRET_SCHEMES)})"
        )
    if scheme.lower() != "https":
        return "" if rest.strip("/") else f"keyvault '{shown(url)}' names no secret"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return f"keyvault '{shown(url)}' is not a URL"
    path = [part for part in parts.path.split("/") if part]
    if "." not in host or len(path) not in {2, 3} or path[0].lower() != "secrets":
        return f"keyvault '{shown(url)}' must look like https://<vault>/secrets/<name>[/<version>]"
    return ""


def _entries(item: Item, name: str) -> list[Node]:
    """Return the nodes of a list that became values, in order."""
    node = item.nodes.get(name)
    if node is None or node.kind != "sequence":
        return []
    return [entry for entry in node.value if entry.kind == "scalar" and not is_null(entry)]


def _head(item: Item) -> Node:
    """Return where an entry starts, one character wide."""
    head = Node(item.node.kind, None, item.node.start, item.node.start + 1)
    return next(iter(item.keys.values()), head)


def _has_name(entry: str) -> bool:
    return entry.find("=") > 0


def _is_port(pattern: re.Pattern[str], text: str) -> bool:
    match = pattern.fullmatch(text)
    if match is None:
        return False
    numbers = [n for part in match.groupdict().values() if part for n in part.split("-") if n]
    return all(0 <= int(number) <= _MAX_PORT for number in numbers)
