"""Whether a request can be run at all, before anything is stored: pure, no network.

In: RunRequest, RunSecrets and the rules of the service. Out: every FieldError.
What only the worker can know (does the repository exist?) ends the run instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runners.model.errors import RunnerError
from tasks_service.config import Settings
from tasks_service.egress.policy import EgressPolicy
from tasks_service.model.run import NO_SOURCE, UPLOAD, BuildRequest, RunRequest, RunSecrets
from tasks_service.plans.compile import CompileOptions, compile_task
from tasks_service.plans.variables import RunVariables
from tasks_service.registries.access import own_host
from tasks_service.runs import words
from tasks_service.runs.fields import FieldError, pointer
from tasks_service.sources.location import (
    ArchiveLocation,
    ArtifactLocation,
    GitLocation,
    LocalDirectory,
    parse_location,
)

MAX_TEXT = 256 * 1024
MAX_COMMAND = 64 * 1024
MAX_ENTRIES = 1000
_MIB = 1 << 20
_STAND_INS = RunVariables(
    id="run1",
    registry="registry.example",
    commit="0123456789abcdef0123456789abcdef01234567",
    branch="main",
    repository="https://git.example/repository.git",
    git_tag="v1",
    triggered_by="manual",
    task_name="task",
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows. ``registry``: the service's own, which may be asked."""

    max_timeout_s: float
    policy: EgressPolicy
    registry: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """Return the rules of the settings.

        Raises:
            InvalidInput: A list of hosts or networks can't be.
        """
        policy = EgressPolicy(
            allow_hosts=settings.allow_hosts,
            allow_networks=settings.allow_networks,
            allow_http=settings.allow_http_sources,
        )
        return cls(settings.max_timeout, policy, own_host(settings))


def request_errors(
    request: RunRequest, secrets: RunSecrets, rules: Rules, *, stored: bool = False
) -> Iterator[FieldError]:
    """Yield what is wrong with a request.

    Args:
        request: What shall run.
        secrets: Its secrets.
        rules: Of the operator.
        stored: It is a stored task's, which can't keep an upload.
    """
    yield from _what(request)
    yield from _source(request, rules, stored=stored)
    yield from _paths(request)
    yield from _values(request, secrets)
    if request.build is not None:
        yield from _build(request.build, secrets)
    yield from _machine(request, rules)
    yield from _logins(request, secrets)
    if request.content:
        yield from _content(request, secrets)


def _what(request: RunRequest) -> Iterator[FieldError]:
    given = {
        "build": request.build is not None,
        "command": bool(request.command),
        "content": bool(request.content),
        "file": bool(request.file),
    }
    names = [name for name, there in given.items() if there]
    for name in names[1:]:
        yield FieldError(pointer(name), f"excludes '{names[0]}': a run has one of them")
    nothing = request.source.lower() == NO_SOURCE
    if nothing and not (request.command or request.content):
        what = "a build" if request.build is not None else "a task file"
        yield FieldError(
            "/source", f"{what} needs a source; without one give 'content' or 'command'"
        )
    for name, text, most in (
        ("content", request.content, MAX_TEXT),
        ("valuesContent", request.values_content, MAX_TEXT),
        ("command", request.command, MAX_COMMAND),
    ):
        if len(text.encode()) > most:
            yield FieldError(pointer(name), f"is larger than {most // 1024} KiB")
    if request.values_file and request.values_content:
        yield FieldError("/valuesFile", "excludes 'valuesContent'")


def _source(request: RunRequest, rules: Rules, *, stored: bool) -> Iterator[FieldError]:
    source = request.source
    if source.startswith(UPLOAD):
        digest = source.removeprefix(UPLOAD)
        if stored:
            yield FieldError("/source", "a stored task can't keep an upload: give a URL")
        elif len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            yield FieldError("/source", "upload: is followed by a SHA-256, 64 hexadecimal digits")
        return
    try:
        location = parse_location(source, allow_http=rules.policy.allow_http or _listed(rules))
        if isinstance(location, LocalDirectory):
            yield FieldError(
                "/source",
                f"{words.shown(source)} is a path; the server reads none of its own: give a Git or"
                " tarball URL, or upload the directory",
            )
        elif isinstance(location, GitLocation | ArchiveLocation):
            if location.credential is not None:
                yield FieldError("/source", "holds a login, which would be shown: give 'gitToken'")
            rules.policy.check_text(_url(location), what="source")
        elif isinstance(location, ArtifactLocation) and location.host != rules.registry:
            rules.policy.check_text(f"https://{location.host}/", what="source")
    except RunnerError as error:
        yield FieldError("/source", error.message + (f"; {error.hint}" if error.hint else ""))


def _listed(rules: Rules) -> bool:
    # Hosts that the operator lists may be asked by http://; the policy tells which.
    return bool(rules.policy.allow_hosts)


def _url(location: GitLocation | ArchiveLocation) -> str:
    if isinstance(location, GitLocation) and "://" not in location.url:
        return f"ssh://{location.host}/"
    return location.url.partition("?")[0]


def _paths(request: RunRequest) -> Iterator[FieldError]:
    for name, text in (("file", request.file), ("valuesFile", request.values_file)):
        if text and (problem := words.path_problem(text)):
            yield FieldError(pointer(name), problem)


def _values(request: RunRequest, secrets: RunSecrets) -> Iterator[FieldError]:
    entries = (*request.values, *secrets.values)
    yield from _entries("values", entries, words.value_problem)
    if entries and request.build is not None:
        yield FieldError("/values", "values are for task files; a build has build arguments")


def _entries(
    name: str, entries: tuple[str, ...], problem_of: words.Check, *parents: str
) -> Iterator[FieldError]:
    if len(entries) > MAX_ENTRIES:
        yield FieldError(pointer(*parents, name), f"has more than {MAX_ENTRIES} entries")
    seen = set()
    for entry in entries:
        key = entry.partition("=")[0]
        if problem := problem_of(key):
            yield FieldError(pointer(*parents, name), problem)
        if key in seen:
            yield FieldError(pointer(*parents, name), f"{words.shown(key)} is given twice")
        seen.add(key)


def _build(build: BuildRequest, secrets: RunSecrets) -> Iterator[FieldError]:
    yield from _entries(
        "buildArgs", (*build.build_args, *secrets.build_args), words.argument_problem, "build"
    )
    yield from _entries("secrets", build.secret_ids, words.word_problem, "build")
    for number, image in enumerate(build.images):
        if not image.strip() or len(image) > 1024 or any(ord(letter) < 32 for letter in image):
            yield FieldError(pointer("build", "images", number), "is not an image name")
    for number, label in enumerate(build.labels):
        if "=" not in label:
            yield FieldError(pointer("build", "labels", number), "must be name=value")
    for number, platform in enumerate(build.platforms):
        if problem := words.platform_problem(platform):
            yield FieldError(pointer("build", "platforms", number), problem)
    if build.dockerfile and (problem := words.path_problem(build.dockerfile)):
        yield FieldError("/build/dockerfile", problem)
    if build.target and (problem := words.word_problem(build.target)):
        yield FieldError("/build/target", problem)


def _machine(request: RunRequest, rules: Rules) -> Iterator[FieldError]:
    if not 1 <= request.timeout_s <= rules.max_timeout_s:
        yield FieldError("/timeout", f"must be 1 to {rules.max_timeout_s:.0f} seconds")
    limits = request.limits
    if limits.cpus is not None and not 0.1 <= limits.cpus <= 1024:
        yield FieldError("/cpu", "must be 0.1 to 1024")
    for name, size in (("memory", limits.memory_bytes), ("disk", limits.disk_bytes)):
        if size is not None and not 16 * _MIB <= size <= 1 << 50:
            yield FieldError(pointer(name), "must be at least 16 MiB, in bytes")
    if limits.pids is not None and not 16 <= limits.pids <= 1 << 22:
        yield FieldError("/pids", "must be 16 to 4194304")
    if request.registry and (problem := words.registry_problem(request.registry)):
        yield FieldError("/registry", problem)
    if request.platform and (problem := words.platform_problem(request.platform)):
        yield FieldError("/platform", problem)
    if request.isolation and (problem := words.word_problem(request.isolation)):
        yield FieldError("/isolation", problem)
    if problem := words.pool_problem(request.pool):
        yield FieldError("/pool", problem)


def _logins(request: RunRequest, secrets: RunSecrets) -> Iterator[FieldError]:
    seen = set()
    for number, login in enumerate(secrets.credentials):
        place = ("credentials", number)
        if problem := words.registry_problem(login.registry):
            yield FieldError(pointer(*place, "registry"), problem)
        if login.registry.lower() in seen:
            yield FieldError(pointer(*place, "registry"), "has a login already")
        seen.add(login.registry.lower())
        if not login.username or not login.password:
            yield FieldError(pointer(*place), "needs a user name and a password")
    token = secrets.git_token
    if token and (len(token) > 4096 or any(ord(letter) < 33 for letter in token)):
        yield FieldError("/gitToken", "holds a space or a control character, or is too long")
    if token and not request.source.lower().startswith("https://"):
        yield FieldError("/gitToken", "is sent over https only, and the source is not https://")


def _content(request: RunRequest, secrets: RunSecrets) -> Iterator[FieldError]:
    if len(request.content.encode()) > MAX_TEXT or request.values_file:
        # Values that are in the source are known to the worker only.
        return
    done = compile_task(
        request.content,
        file="task file",
        variables=_STAND_INS,
        values=request.values_content.encode() if request.values_content else None,
        set_values=request.values,
        set_secrets=secrets.values,
        # Alias files are in the source, too: what they define is not known here.
        options=CompileOptions(strict=request.strict, alias_reader=lambda _: ""),
    )
    for problem in done.errors:
        yield FieldError(
            "/valuesContent" if problem.file == "values.yaml" else "/content",
            f"{problem.code} {problem.message}"
            + (f" ({problem.suggestion})" if problem.suggestion else ""),
            problem.line,
            problem.column,
        )
