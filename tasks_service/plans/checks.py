"""Rules on a TaskFile that need no graph: secrets, volumes, networks, steps.

In: a TaskFile. Out: problems at the reporter, decoded volumes, parsed steps.
Called by compile.py.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from urllib.parse import urlsplit

from runners.model.plan import Volume
from tasks_service.plans.model import (
    FILE_NAME_PATTERN,
    STEP_ID_PATTERN,
    VOLUME_NAME_PATTERN,
    Item,
    SecretItem,
    TaskFile,
    VolumeItem,
)
from tasks_service.plans.scalars import is_null
from tasks_service.plans.source import Reporter, shown
from tasks_service.plans.version import VERSIONS
from tasks_service.plans.yaml_nodes import SCALAR, SEQUENCE, Node

SECRET_SCHEMES = ("https", "vault", "env", "file", "store")
"""URL schemes of ``keyvault`` that a provider serves."""

ID = re.compile(STEP_ID_PATTERN)
_VOLUME_NAME = re.compile(VOLUME_NAME_PATTERN)
_FILE_NAME = re.compile(FILE_NAME_PATTERN)


class Check:
    """What every check has: the file, the reporter, and where things stand.

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


class TaskCheck(Check):
    """Checks what belongs to the whole file. Every method reports and goes on."""

    def check(self) -> None:
        """Check everything but the steps' kinds and the graph."""
        task = self._task
        self._version()
        self.check_secrets()
        self._networks()
        self._env()
        if "steps" not in task.keys and self._reporter.text:
            self._reporter.report("TF501", "the file has no steps", task.node.start)

    def _version(self) -> None:
        version = self._task.version
        if version and version.lower() not in VERSIONS:
            said = f"the version must be one of {', '.join(VERSIONS)}, not '{shown(version)}'"
            self._report(
                "TF502",
                said,
                self._value(self._task, "version"),
                self._reporter.did_you_mean(version, VERSIONS),
            )

    def check_secrets(self) -> None:
        """Check the ``secrets`` list alone, which is read before all else."""
        seen: set[str] = set()
        for secret in self._task.secrets:
            if not secret.id:
                self._report("TF503", "a secret needs an id", head(secret))
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
            self._report("TF505", f"the secret '{shown(secret.id)}' needs a keyvault", head(secret))
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
                self._report("TF507", "a network needs a name", head(network))
            elif not ID.fullmatch(network.name):
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
        for node, text in zip(entries(self._task, "env"), self._task.env, strict=False):
            if not has_name(text):
                self._report("TF508", f"the env entry '{shown(text)}' must be NAME=value", node)

    def volumes(self) -> tuple[Volume, ...]:
        """Check the volumes and return those that are right, decoded."""
        found = []
        seen: set[str] = set()
        for volume in self._task.volumes:
            if not volume.name:
                self._report("TF509", "a volume needs a name", head(volume))
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
            self._report("TF510", f"the volume '{name}' needs a secret map of files", head(volume))
        elif not volume.secret and self._value(volume, "secret").kind != SEQUENCE:
            self._report(
                "TF510", f"the secret map of volume '{name}' is empty", self._key(volume, "secret")
            )
        files = {}
        for file, (key, node) in volume.secret.items():
            if file in {".", ".."}:
                self._report("TF511", f"a file can't be called '{file}'", key)
                continue
            if not _FILE_NAME.fullmatch(file):
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


def entries(item: Item, name: str) -> list[Node]:
    """Return the nodes of a list that became values, in order."""
    node = item.nodes.get(name)
    if node is None or node.kind != SEQUENCE:
        return []
    return [entry for entry in node.value if entry.kind == SCALAR and not is_null(entry)]


def head(item: Item) -> Node:
    """Return where an entry starts, one character wide."""
    head = Node(item.node.kind, None, item.node.start, item.node.start + 1)
    return next(iter(item.keys.values()), head)


def has_name(entry: str) -> bool:
    """Tell whether an environment entry is ``NAME=…``."""
    return entry.find("=") > 0
