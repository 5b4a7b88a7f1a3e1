"""The ``cmd`` step: options of ``docker run``, an image and its arguments (Y-062, Y-101).

Text in, a container run and its exit code out. The text is argv: no shell of
the runner ever reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput
from runners.model.image import ImageRef
from runners.model.plan import PlannedStep, VolumeMount
from runners.model.record import StepOutcome
from runners.sandbox import ContainerRequest, Output, Sandbox
from runners.steps.base import Parsed, SpecProblem
from runners.steps.cmd_flags import FLAGS
from runners.steps.flags import Flags, read_flags, read_size
from runners.steps.words import shell_problem, split

_LISTS = {
    "add-host": "HostConfig.ExtraHosts",
    "dns": "HostConfig.Dns",
    "dns-search": "HostConfig.DnsSearch",
    "dns-option": "HostConfig.DnsOptions",
    "cap-drop": "HostConfig.CapDrop",
    "group-add": "HostConfig.GroupAdd",
    "network-alias": "NetworkAliases",
}
_TEXTS = {
    "h": "Hostname",
    "domainname": "Domainname",
    "cpuset-cpus": "HostConfig.CpusetCpus",
    "stop-signal": "StopSignal",
}
_SIZES = {
    "m": "HostConfig.Memory",
    "memory-swap": "HostConfig.MemorySwap",
    "memory-reservation": "HostConfig.MemoryReservation",
    "shm-size": "HostConfig.ShmSize",
}
_NUMBERS = {"c": "HostConfig.CpuShares", "pids-limit": "HostConfig.PidsLimit"}
_SWITCHES = {"read-only": "HostConfig.ReadonlyRootfs", "t": "Tty", "init": "HostConfig.Init"}


@dataclass(frozen=True, slots=True)
class CmdSpec:
    """What a ``cmd`` text means.

    ``given`` holds the fields of a ContainerRequest that the text's own
    options set; they win over the step's properties. ``env`` entries without
    a value take the step's own.
    """

    image: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str | None], ...] = ()
    ports: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    mounts: tuple[VolumeMount, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)


class CmdKind:
    """See StepKind."""

    key = "cmd"
    properties = frozenset(
        [
            *("id", "when", "timeout", "startDelay", "ignoreErrors", "env", "retries"),
            *("retryDelay", "retryOnErrors", "repeat", "detach", "keep", "workingDirectory"),
            *("disableWorkingDirectoryOverride", "entryPoint", "user", "network", "ports"),
            *("expose", "pull", "privileged", "cpus", "volumeMounts", "cmdDownloadRetries"),
            *("cmdDownloadRetryDelay", "exitedWith", "exitedWithout"),
        ]
    )
    value_schema: Mapping[str, Any] = {"type": "string", "minLength": 1}

    def parse(self, value: Any) -> Parsed:
        """See StepKind."""
        if not isinstance(value, str):
            return Parsed(None, (SpecProblem("bad-type", "cmd takes a text"),))
        words = split(value)
        problems = list(words.problems)
        if not words.words and not problems:
            problems.append(SpecProblem("empty-step", "cmd has no text; name an image"))
        flags = read_flags(words.words, FLAGS, command="cmd (docker run)", mixed=False)
        problems += flags.problems
        options = _options(flags, problems)
        if words.operator:
            cut = flags.rest[0].end if flags.rest else 0
            problems.insert(0, shell_problem(words.operator, value[:cut], value[cut:]))
        if flags.rest:
            _check_image(flags.rest[0].text, problems)
        elif words.words and not any(p.severity == "error" for p in problems):
            problems.append(SpecProblem("missing-image", "cmd names no image after its options"))
        if any(problem.severity == "error" for problem in problems):
            return Parsed(None, tuple(problems))
        image, *args = (word.text for word in flags.rest)
        spec = CmdSpec(
            image,
            tuple(args),
            env=tuple(_env(text) for text in flags.values("e")),
            ports=flags.values("p"),
            expose=flags.values("expose"),
            mounts=tuple(_mount(text) for text in flags.values("v")),
            given=_given(flags),
            options=options,
        )
        return Parsed(spec, tuple(problems))

    def prepare(self, step: PlannedStep, sandbox: Sandbox) -> None:
        """See StepKind."""
        sandbox.prepare_container(request_of(step))

    def execute(
        self, step: PlannedStep, sandbox: Sandbox, output: Output, cancel: Cancellation
    ) -> StepOutcome:
        """Run the container once."""
        return StepOutcome(sandbox.run_container(request_of(step), output, cancel))


def request_of(step: PlannedStep) -> ContainerRequest:
    """Return the container that the step asks for."""
    spec: CmdSpec = step.spec
    env = dict(step.env) | {name: value for name, value in spec.env if value is not None}
    request = ContainerRequest(
        name=step.id,
        image=spec.image,
        args=spec.args,
        entry_point=step.entry_point,
        env=tuple(env.items()),
        working_directory=step.working_directory,
        user=step.user,
        network=step.network,
        ports=step.ports + spec.ports,
        expose=step.expose + spec.expose,
        cpus=step.cpus,
        privileged=step.privileged,
        pull=step.pull,
        download_retries=step.download_retries,
        download_retry_delay_s=step.download_retry_delay_s,
        detach=step.detach,
        keep=step.keep,
        volume_mounts=step.volume_mounts + spec.mounts,
        options=spec.options,
    )
    return replace(request, **spec.given)


def _check_image(text: str, problems: list[SpecProblem]) -> None:
    try:
        ImageRef.parse(text)
    except InvalidInput as error:
        if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
            return
        hint = f"; {error.hint}" if error.hint else ""
        problems.append(SpecProblem("bad-image-reference", f"{error.message}{hint}", text))


def _env(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


def _mount(text: str) -> VolumeMount:
    source, _, rest = text.partition(":")
    return VolumeMount(source, rest.partition(":")[0], rest.endswith(":ro"))


def _given(flags: Flags) -> dict[str, Any]:
    fields = {
        "w": "working_directory",
        "u": "user",
        "entrypoint": "entry_point",
        "network": "network",
        "cpus": "cpus",
    }
    given: dict[str, Any] = {
        field: value for name, field in fields.items() if (value := flags.last(name)) is not None
    }
    if flags.last("pull") == "always":
        given["pull"] = True
    return given


def _options(flags: Flags, problems: list[SpecProblem]) -> dict[str, object]:
    options: dict[str, object] = {}
    for given in flags.given:
        name, value = given.flag.name, given.value
        if name in _LISTS:
            options[_LISTS[name]] = (*_as_tuple(options.get(_LISTS[name])), value)
        elif name in _TEXTS:
            options[_TEXTS[name]] = value
        elif name in _SWITCHES:
            options[_SWITCHES[name]] = value == "true"
        elif name in _SIZES:
            _size(options, _SIZES[name], given.word, value, problems)
        elif name in _NUMBERS:
            _number(options, _NUMBERS[name], given.word, value, problems)
        else:
            problems += _CHECKS.get(name, _fine)(options, given.word, value)
    return options


def _as_tuple(value: object) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else ()


def _size(
    options: dict[str, object], key: str, word: str, value: str, problems: list[SpecProblem]
) -> None:
    size = -1 if value == "-1" else read_size(value)
    if size is None:
        problems.append(_bad(word, value, "a size such as 512m"))
    else:
        options[key] = size


def _number(
    options: dict[str, object], key: str, word: str, value: str, problems: list[SpecProblem]
) -> None:
    try:
        options[key] = int(value)
    except ValueError:
        problems.append(_bad(word, value, "a whole number"))


def _bad(word: str, value: str, wanted: str) -> SpecProblem:
    return SpecProblem("bad-value", f"{word} takes {wanted}, not {value!r}", value)


def _fine(options: dict[str, object], word: str, value: str) -> list[SpecProblem]:
    del options, word, value
    return []


def _volume(options: dict[str, object], word: str, value: str) -> list[SpecProblem]:
    del options
    source, _, rest = value.partition(":")
    target, _, mode = rest.partition(":")
    if source.startswith((".", "/", "~")):
        return [
            SpecProblem(
                "unsupported-flag",
                f"unsupported value {value!r} of '{word}': no path of the machine can be mounted; "
                "the source is at /workspace in every step",
                value,
            )
        ]
    if not target.startswith("/") or mode not in ("", "rw", "ro"):
        return [_bad(word, value, "VOLUME:/PATH or VOLUME:/PATH:ro")]
    return []


def _network(options: dict[str, object], word: str, value: str) -> list[SpecProblem]:
    del options
    if value != "host" and not value.startswith("container:"):
        return []
    return [
        SpecProblem(
            "unsupported-flag",
            f"unsupported value {value!r} of '{word}': a step uses a network of its task",
            value,
        )
    ]


def _tmpfs(options: dict[str, object], word: str, value: str) -> list[SpecProblem]:
    path, _, settings = value.partition(":")
    if not path.startswith("/"):
        return [_bad(word, value, "an absolute path")]
    mounts = options.setdefault("HostConfig.Tmpfs", {})
    assert isinstance(mounts, dict)  # noqa: S101 - put there by ourselves
    mounts[path] = settings
    return []


def _label(options: dict[str, object], word: str, value: str) -> list[SpecProblem]:
    del word
    name, _, text = value.partition("=")
    labels = options.setdefault("Labels", {})
    assert isinstance(labels, dict)  # noqa: S101 - put there by ourselves
    labels[name] = text
    return []


def _ulimit(options: dict[str, object], word: str, value: str) -> list[SpecProblem]:
    name, _, limits = value.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        entry = {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        return [_bad(word, value, "NAME=SOFT[:HARD]")]
    key = "HostConfig.Ulimits"
    options[key] = (*_as_tuple(options.get(key)), entry)
    return []


def _pull(options: dict[str, object], word: str, value: str) -> list[SpecProblem]:
    del options
    if value in ("missing", "always"):
        return []
    return [_bad(word, value, "'missing' or 'always'")]


def _environment(options: dict[str, object], word: str, value: str) -> list[SpecProblem]:
    del options
    return [] if value.partition("=")[0] else [_bad(word, value, "NAME=VALUE")]


_CHECKS = {
    "v": _volume,
    "network": _network,
    "tmpfs": _tmpfs,
    "l": _label,
    "ulimit": _ulimit,
    "pull": _pull,
    "e": _environment,
}

KIND = CmdKind()
