"""Between the API's JSON and the values behind it, both ways, field by field.

Secrets are taken out on the way in and are only names on the way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runners.model.errors import RunnerError
from tasks_service.api.models.base import rfc3339
from tasks_service.api.models.inputs import (
    BuildInput,
    NamedValue,
    RunInput,
    TaskInput,
    TimerFields,
)
from tasks_service.model.run import (
    NO_SOURCE,
    BuildRequest,
    RegistryCredential,
    RunLimits,
    RunRequest,
    RunSecrets,
)
from tasks_service.model.task import BASES_ALL, ENABLED, Task, TaskDefinition
from tasks_service.model.timer import RUN_ONCE, Timer
from tasks_service.runs.fields import FieldError, pointer
from tasks_service.sources.location import parse_location

_DEFAULT = RunRequest()


@dataclass(slots=True)
class _Secrets:
    """Collects secrets on the way in; ``kept`` are those the task has already."""

    kept: RunSecrets
    errors: list[FieldError] = field(default_factory=list)

    def split(
        self, entries: list[NamedValue] | None, kept: tuple[str, ...], *place: str
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return plain and secret ``name=value`` entries."""
        known = {entry.partition("=")[0]: entry for entry in kept}
        plain: list[str] = []
        secret: list[str] = []
        for number, entry in enumerate(entries or ()):
            if "=" in entry.name:
                self.errors.append(FieldError(pointer(*place, number, "name"), "holds a '='"))
            elif entry.value is not None:
                (secret if entry.secret else plain).append(f"{entry.name}={entry.value}")
            elif entry.secret and entry.name in known:
                secret.append(known[entry.name])
            else:
                said = "there is no stored secret of that name to keep" if entry.secret else ""
                self.errors.append(
                    FieldError(pointer(*place, number, "value"), said or "is missing")
                )
        return tuple(plain), tuple(secret)

    def build_secrets(self, build: BuildInput) -> dict[str, str]:
        """Return values of build secrets by id."""
        found: dict[str, str] = {}
        for number, entry in enumerate(build.secrets or ()):
            place = ("build", "secrets", number)
            value = self.kept.build_secrets.get(entry.id) if entry.value is None else entry.value
            if value is None:
                self.errors.append(
                    FieldError(
                        pointer(*place, "value"), "there is no stored secret of that id to keep"
                    )
                )
            elif entry.id in found:
                self.errors.append(FieldError(pointer(*place, "id"), "is given twice"))
            else:
                found[entry.id] = value
        return found


def request_of(
    body: RunInput, kept: RunSecrets | None = None
) -> tuple[RunRequest, RunSecrets, list[FieldError]]:
    """Return what a body asks for, its secrets, and what of it can't be read.

    Args:
        body: As it came.
        kept: Secrets that entries without a value stand for.
    """
    secrets = _Secrets(kept or RunSecrets())
    values, secret_values = secrets.split(body.values, secrets.kept.values, "values")
    build: BuildRequest | None = None
    build_args: tuple[str, ...] = ()
    build_secrets: dict[str, str] = {}
    if body.build is not None:
        build, build_args, build_secrets = _build(body.build, secrets)
    request = RunRequest(
        source=body.source or NO_SOURCE,
        file=body.file or "",
        content=body.content or "",
        command=body.command or "",
        build=build,
        values_file=body.values_file or "",
        values_content=body.values_content or "",
        values=values,
        registry=(body.registry or "").lower(),
        platform=body.platform or "",
        timeout_s=_DEFAULT.timeout_s if body.timeout is None else body.timeout,
        limits=RunLimits(
            cpus=body.cpu, memory_bytes=body.memory, disk_bytes=body.disk, pids=body.pids
        ),
        isolation=body.isolation or "",
        pool=_DEFAULT.pool if body.pool is None else body.pool,
        strict=bool(body.strict),
    )
    credentials = tuple(
        RegistryCredential(login.registry.lower(), login.username, login.password)
        for login in body.credentials or ()
    )
    found = RunSecrets(secret_values, build_args, build_secrets, credentials, body.git_token or "")
    return request, found, secrets.errors


def _build(
    body: BuildInput, secrets: _Secrets
) -> tuple[BuildRequest, tuple[str, ...], dict[str, str]]:
    plain, secret = secrets.split(body.build_args, secrets.kept.build_args, "build", "buildArgs")
    values = secrets.build_secrets(body)
    build = BuildRequest(
        images=tuple(body.images or ()),
        dockerfile=body.dockerfile or "",
        build_args=plain,
        labels=tuple(body.labels or ()),
        secret_ids=tuple(values),
        target=body.target or "",
        platforms=tuple(body.platforms or ()),
        push=True if body.push is None else body.push,
        no_cache=bool(body.no_cache),
        pull=bool(body.pull),
    )
    return build, secret, values


def definition_of(
    name: str, body: TaskInput, kept: RunSecrets, *, before: str = ""
) -> tuple[TaskDefinition, RunSecrets, list[FieldError]]:
    """Return the task a body describes; logins it does not speak of are kept.

    Args:
        name: Of the task.
        body: As it came.
        kept: The secrets it has.
        before: The source it has: its Git token is for that host only.
    """
    request, secrets, errors = request_of(body, kept)
    given = body.model_fields_set
    credentials, git_token = secrets.credentials, secrets.git_token
    if body.credentials is None:
        credentials = kept.credentials
    if "git_token" not in given:
        git_token = kept.git_token
        if git_token and not same_host(before, request.source):
            git_token = ""
            errors.append(
                FieldError(
                    "/gitToken",
                    "the stored token is for another host: give it again, or null to remove it",
                )
            )
    secrets = RunSecrets(
        secrets.values, secrets.build_args, secrets.build_secrets, credentials, git_token
    )
    definition = TaskDefinition(
        name=name,
        request=request,
        status=body.status or ENABLED,
        max_concurrent=body.max_concurrent or 0,
        supersede=bool(body.supersede),
        base_image_trigger=body.base_image_trigger or BASES_ALL,
        labels=tuple(sorted((body.labels or {}).items())),
        timers=tuple(timer_of(timer.name, timer) for timer in body.timers or ()),
    )
    return definition, secrets, errors


def timer_of(name: str, body: TimerFields) -> Timer:
    """Return the timer a body describes."""
    return Timer(
        name=name,
        schedule=" ".join(body.schedule.split()),
        enabled=body.enabled is not False,
        jitter_s=body.jitter or 0,
        misfire=body.misfire or RUN_ONCE,
        windows=tuple(body.windows or ()),
    )


def timer_json(timer: Timer) -> dict[str, Any]:
    """Return a timer as it was written, defaults left out but for ``enabled``."""
    found: dict[str, Any] = {
        "name": timer.name,
        "schedule": timer.schedule,
        "enabled": timer.enabled,
        "jitter": timer.jitter_s,
        "misfire": "" if timer.misfire == RUN_ONCE else timer.misfire,
        "windows": list(timer.windows),
    }
    return {key: value for key, value in found.items() if value or key == "enabled"}


def request_json(
    request: RunRequest, names: tuple[str, ...] = (), *, whole: bool = True
) -> dict[str, Any]:
    """Return a request as its author wrote it: defaults left out, secrets as names.

    Args:
        request: The request.
        names: Of its secrets, as ``RunSecrets.names`` writes them.
        whole: Show the source as it is; else without what may be a signed query.
    """
    limits = request.limits
    found: dict[str, Any] = {
        "source": request.source if whole else shown_source(request.source),
        "file": request.file,
        "content": request.content,
        "command": request.command,
        "build": None if request.build is None else _build_json(request.build, names),
        "valuesFile": request.values_file,
        "valuesContent": request.values_content,
        "values": _entries(request.values, names, "value:"),
        "registry": request.registry,
        "platform": request.platform,
        "timeout": request.timeout_s,
        "cpu": limits.cpus,
        "memory": limits.memory_bytes,
        "disk": limits.disk_bytes,
        "pids": limits.pids,
        "isolation": request.isolation,
        "pool": request.pool,
        "strict": request.strict,
        "pins": dict(request.pins),
    }
    always = ("source", "timeout", "pool", "build")
    return {
        key: value
        for key, value in found.items()
        if value not in ("", None, [], {}, False) or (key in always and value is not None)
    }


def _build_json(build: BuildRequest, names: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "images": list(build.images),
        "dockerfile": build.dockerfile,
        "buildArgs": _entries(build.build_args, names, "arg:"),
        "labels": list(build.labels),
        "secrets": [{"id": name} for name in _named(names, "secret:")],
        "target": build.target,
        "platforms": list(build.platforms),
        "push": build.push,
        "noCache": build.no_cache,
        "pull": build.pull,
    }
    return {
        key: value for key, value in found.items() if value not in ("", [], False) or key == "push"
    }


def _entries(entries: tuple[str, ...], names: tuple[str, ...], kind: str) -> list[dict[str, Any]]:
    pairs = [entry.partition("=") for entry in entries]
    plain: list[dict[str, Any]] = [{"name": name, "value": value} for name, _, value in pairs]
    return plain + [{"name": name, "secret": True} for name in _named(names, kind)]


def _named(names: tuple[str, ...], kind: str) -> list[str]:
    return [name.removeprefix(kind) for name in names if name.startswith(kind)]


def shown_source(source: str) -> str:
    """Return a source without a query, which may be a signature."""
    try:
        return parse_location(source, allow_http=True).display if "?" in source else source
    except RunnerError:
        return source.partition("?")[0]


def same_host(one: str, other: str) -> bool:
    """Return whether two sources are at the same host, over https."""
    try:
        locations = [parse_location(source, allow_http=True) for source in (one, other)]
    except RunnerError:
        return False
    hosts = {getattr(location, "host", "") for location in locations}
    return len(hosts) == 1 and "" not in hosts and other.lower().startswith("https://")


def task_json(task: Task, names: tuple[str, ...]) -> dict[str, Any]:
    """Return a task as GET answers it; ``names`` are those of its secrets."""
    definition = task.definition
    return {
        "name": task.name,
        "status": definition.status,
        **request_json(definition.request, names),
        "maxConcurrent": definition.max_concurrent,
        "supersede": definition.supersede,
        "baseImageTrigger": definition.base_image_trigger,
        "labels": dict(definition.labels),
        "timers": [timer_json(timer) for timer in definition.timers],
        "credentials": [
            {"registry": registry, "username": username}
            for registry, username in task.secret_names.registries
        ],
        "hasGitToken": task.secret_names.git_token,
        "version": task.version,
        "createTime": rfc3339(task.created),
        "updateTime": rfc3339(task.updated),
    }


def stored_names(task: Task) -> tuple[str, ...]:
    """Return the names of a task's secrets as ``RunSecrets.names`` writes them."""
    kept = task.secret_names
    return (
        *(f"value:{name}" for name in kept.values),
        *(f"arg:{name}" for name in kept.build_args),
        *(f"secret:{name}" for name in kept.build_secrets),
        *(f"registry:{registry}" for registry, _ in kept.registries),
        *(("gitToken",) if kept.git_token else ()),
    )


def merge_patch(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``target`` changed as RFC 7396 says."""
    found = dict(target)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            inner = found.get(key)
            found[key] = merge_patch(inner if isinstance(inner, dict) else {}, value)
        else:
            found[key] = value
    return found


_WAYS = ("file", "content", "command", "build")


def with_overrides(task: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task's JSON with parts replaced for one run (V-66).

    Values and build arguments replace the one of the same name or are added;
    another way to run (``file``, ``content``, …) takes the place of the stored.
    """
    given = {way for way in _WAYS if overrides.get(way)}
    base = {
        key: value
        for key, value in task.items()
        if not (given and key in _WAYS and key not in given)
    }
    changes = {key: value for key, value in overrides.items() if value is not None}
    if "values" in changes:
        changes["values"] = _by_name(base.get("values"), changes["values"])
    build, stored = changes.get("build"), base.get("build")
    if isinstance(build, dict) and isinstance(stored, dict) and build.get("buildArgs"):
        changes["build"] = {
            **build, "buildArgs": _by_name(stored.get("buildArgs"), build["buildArgs"])
        }  # fmt: skip
    return merge_patch(base, changes)


def _by_name(stored: Any, given: Any) -> list[Any]:
    known = {entry["name"]: entry for entry in stored or ()}
    return list({**known, **{entry["name"]: entry for entry in given}}.values())
