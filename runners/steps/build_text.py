"""The text of a ``build`` step: the flags of ``docker build`` in, a BuildSpec out.

Pure; called by steps/build.py.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runners.model.errors import InvalidInput
from runners.model.image import ImageRef
from runners.sandbox import BuildSecret
from runners.steps.base import Parsed, SpecProblem
from runners.steps.build_flags import FLAGS
from runners.steps.flags import Flags, read_flags, read_size
from runners.steps.words import Split, split

_PLATFORM_PARTS = (2, 3)
_OUTPUTS = ("image", "docker", "registry")


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """What a ``build`` text means; ``env`` entries stand for values of the step's env.

    ``build_args`` without a value take the step's env, or are left out;
    ``secret_env`` maps a secret's id to a variable of the step's env.
    """

    context: str
    dockerfile: str | None = None
    tags: tuple[str, ...] = ()
    build_args: tuple[tuple[str, str | None], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    target: str | None = None
    platforms: tuple[str, ...] = ()
    named_contexts: tuple[tuple[str, str], ...] = ()
    secrets: tuple[BuildSecret, ...] = ()
    secret_env: tuple[tuple[str, str], ...] = ()
    ssh: tuple[str, ...] = ()
    network: str | None = None
    pull: bool = False
    no_cache: tuple[str, ...] | None = None
    add_hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int | None = None
    ulimits: tuple[str, ...] = ()
    cache_from: tuple[Mapping[str, str], ...] = ()
    cache_to: tuple[Mapping[str, str], ...] = ()
    provenance: str | None = "mode=max"
    sbom: str | None = None
    push: bool = False


def read_build(value: Any) -> Parsed:
    """Make the BuildSpec of a text; see StepKind.parse."""
    if not isinstance(value, str):
        return Parsed(None, (SpecProblem("bad-type", "build takes a text"),))
    words = split(value)
    reader = _Reader(read_flags(words.words, FLAGS, command="build (docker build)"))
    reader.problems = [*words.problems, *_no_shell(words), *reader.problems]
    spec = reader.spec()
    errors = any(problem.severity == "error" for problem in reader.problems)
    return Parsed(None if errors else spec, tuple(reader.problems))


@dataclass(slots=True)
class _Attestations:
    provenance: str | None = "mode=max"
    sbom: str | None = None


@dataclass(slots=True)
class _Reader:
    """Makes a BuildSpec of flags; collects problems on the way."""

    flags: Flags
    problems: list[SpecProblem] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.problems = list(self.flags.problems)

    def spec(self) -> BuildSpec:
        flags = self.flags
        attestations = self._attestations()
        secrets, secret_env = self._secrets()
        return BuildSpec(
            context=self._context(),
            dockerfile=self._dockerfile(),
            tags=self._tags(),
            build_args=tuple(self._pair("build-arg")),
            labels=tuple((name, value or "") for name, value in self._pair("label")),
            target=flags.last("target"),
            platforms=self._platforms(),
            named_contexts=self._named_contexts(),
            secrets=secrets,
            secret_env=secret_env,
            ssh=flags.values("ssh"),
            network=self._network(),
            pull=flags.on("pull"),
            no_cache=self._no_cache(),
            add_hosts=tuple(self._add_hosts()),
            shm_size=self._shm_size(),
            ulimits=flags.values("ulimit"),
            cache_from=self._entries("cache-from"),
            cache_to=self._entries("cache-to"),
            provenance=attestations.provenance,
            sbom=attestations.sbom,
            push=self._push(),
        )

    def _problem(self, code: str, message: str, token: str = "", suggestion: str = "") -> None:
        self.problems.append(SpecProblem(code, message, token, suggestion))

    def _context(self) -> str:
        rest = self.flags.rest
        if not rest:
            self._problem(
                "missing-context",
                "build names no context; write the directory, '.' for the working directory",
            )
            return "."
        for word in rest[1:]:
            self._problem(
                "extra-word",
                f"build takes one context, {rest[0].text!r}; what is {word.text!r}?",
                word.text,
            )
        if rest[0].text == "-":
            self._problem("unsupported-flag", "a step has no input to read a context from", "-")
        return rest[0].text

    def _dockerfile(self) -> str | None:
        name = self.flags.last("f")
        if name == "-":
            self._problem("unsupported-flag", "a step has no input to read a Dockerfile from", "-")
        return name

    def _tags(self) -> tuple[str, ...]:
        tags = []
        for text in self.flags.values("t"):
            try:
                reference = ImageRef.parse(text)
            except InvalidInput as error:
                hint = f"; {error.hint}" if error.hint else ""
                self._problem("bad-image-reference", f"{error.message}{hint}", text)
                continue
            if reference.digest:
                self._problem("bad-image-reference", f"a tag has no digest: {text!r}", text)
            tags.append(str(reference.with_default_tag()))
        return tuple(dict.fromkeys(tags))

    def _pair(self, name: str) -> list[tuple[str, str | None]]:
        pairs: list[tuple[str, str | None]] = []
        for text in self.flags.values(name):
            key, equals, value = text.partition("=")
            if not key:
                self._problem("bad-value", f"--{name} takes NAME=VALUE, not {text!r}", text)
            pairs.append((key, value if equals else None))
        return pairs

    def _platforms(self) -> tuple[str, ...]:
        platforms = [p.strip() for v in self.flags.values("platform") for p in v.split(",")]
        for text in platforms:
            if len(text.split("/")) not in _PLATFORM_PARTS or not all(text.split("/")):
                self._problem(
                    "bad-value",
                    f"--platform takes OS/ARCHITECTURE, not {text!r}",
                    text,
                    "linux/amd64",
                )
        return tuple(platforms)

    def _named_contexts(self) -> tuple[tuple[str, str], ...]:
        pairs = []
        for name, value in self._pair("build-context"):
            if not value:
                self._problem("bad-value", f"--build-context {name}: write NAME=SOURCE", name)
            pairs.append((name, value or ""))
        return tuple(pairs)

    def _secrets(self) -> tuple[tuple[BuildSecret, ...], tuple[tuple[str, str], ...]]:
        secrets: list[BuildSecret] = []
        from_env: list[tuple[str, str]] = []
        for text in self.flags.values("secret"):
            entry = self._csv(text, "--secret")
            name = entry.pop("id", "")
            kind = entry.pop("type", "")
            path = entry.pop("src", "") or entry.pop("source", "")
            variable = entry.pop("env", "")
            if kind == "env" and not variable:
                path, variable = "", path or name
            if not name or entry or (path and variable):
                self._problem(
                    "bad-value", f"--secret takes id=ID[,src=FILE|,env=NAME], not {text!r}", text
                )
            elif variable:
                from_env.append((name, variable))
            else:
                secrets.append(BuildSecret(name, path=path))
        return tuple(secrets), tuple(from_env)

    def _network(self) -> str | None:
        mode = self.flags.last("network")
        if mode not in (None, "default", "none", "host"):
            self._problem(
                "bad-value", f"--network takes default, none or host, not {mode!r}", str(mode)
            )
        return mode

    def _no_cache(self) -> tuple[str, ...] | None:
        if self.flags.on("no-cache"):
            return ()
        stages = [s.strip() for v in self.flags.values("no-cache-filter") for s in v.split(",")]
        return tuple(filter(None, stages)) or None

    def _add_hosts(self) -> list[tuple[str, str]]:
        hosts = []
        for text in self.flags.values("add-host"):
            separator = "=" if "=" in text else ":"
            host, _, address = text.partition(separator)
            if not host or not address:
                self._problem("bad-value", f"--add-host takes HOST:ADDRESS, not {text!r}", text)
            hosts.append((host, address.strip("[]")))
        return hosts

    def _shm_size(self) -> int | None:
        text = self.flags.last("shm-size")
        if text is None:
            return None
        size = read_size(text)
        if size is None:
            self._problem("bad-value", f"--shm-size takes a size such as 64m, not {text!r}", text)
        return size

    def _entries(self, name: str) -> tuple[Mapping[str, str], ...]:
        entries = []
        for text in self.flags.values(name):
            if "=" not in text:
                entry = {"type": "registry", "ref": text}
            else:
                entry = self._csv(text, f"--{name}")
            if entry.get("type") not in ("registry", "inline"):
                self._problem(
                    "unsupported-flag",
                    f"unsupported value {text!r} of '--{name}': a run's runner is thrown away, so a"
                    " cache lives in a registry: type=registry,ref=REFERENCE (or type=inline)",
                    text,
                )
            elif entry["type"] == "registry":
                self._check_ref(entry.get("ref", ""), text)
            entries.append(entry)
        return tuple(entries)

    def _check_ref(self, reference: str, text: str) -> None:
        try:
            ImageRef.parse(reference)
        except InvalidInput as error:
            self._problem("bad-image-reference", error.message, text)

    def _attestations(self) -> _Attestations:
        found = _Attestations()
        for given in self.flags.given:
            name, value = given.flag.name, given.value
            if name == "attest":
                entry = self._csv(value, "--attest")
                name = entry.pop("type", "")
                value = ",".join(f"{key}={text}" for key, text in entry.items())
                if name not in ("provenance", "sbom"):
                    self._problem(
                        "bad-value", "--attest takes type=provenance or type=sbom", given.value
                    )
            if name == "provenance":
                found.provenance = _attestation(value, default="mode=max")
            elif name == "sbom":
                found.sbom = _attestation(value, default="")
        return found

    def _push(self) -> bool:
        push = self.flags.on("push")
        for text in self.flags.values("o"):
            entry = self._csv(text, "--output")
            kind = entry.get("type", "")
            if kind not in _OUTPUTS:
                self._problem(
                    "unsupported-flag",
                    f"unsupported value {text!r} of '--output': a step's result is an image; "
                    "to get files, run the image in a cmd step that copies them to /workspace",
                    text,
                )
            push |= kind == "registry" or entry.get("push") == "true"
        if push and not self.flags.values("t"):
            self._problem("missing-tag", "--push needs a tag to push to (-t)", "--push")
        return push

    def _csv(self, text: str, word: str) -> dict[str, str]:
        entry = {}
        for part in next(csv.reader([text]), []):
            key, equals, value = part.partition("=")
            if not equals:
                self._problem("bad-value", f"{word} takes NAME=VALUE,..., not {text!r}", text)
            entry[key.strip().lower()] = value
        return entry


def _attestation(value: str, *, default: str) -> str | None:
    if value.lower() in ("false", "0", "disabled=true"):
        return None
    return default if value.lower() in ("true", "1", "") else value


def _no_shell(words: Split) -> list[SpecProblem]:
    if not words.operator:
        return []
    message = (
        f"'{words.operator}' is shell syntax, but no shell reads this text; quote it if it belongs"
        " to a value, or use one step for each command"
    )
    return [SpecProblem("shell-syntax", message, words.operator)]
