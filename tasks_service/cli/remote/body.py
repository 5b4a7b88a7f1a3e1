"""A request in the words of the API. Pure.

In: RunRequest and RunSecrets, as ``tasks run`` and ``tasks build`` make them.
Out: the JSON of ``POST /runs``; what says nothing is left out.
"""

from __future__ import annotations

from typing import Any

from tasks_service.model.run import BuildRequest, RunRequest, RunSecrets


def run_body(request: RunRequest, hidden: RunSecrets) -> dict[str, Any]:
    """Return the body of a quick run."""
    limits = request.limits
    found: dict[str, Any] = {
        "source": request.source,
        "file": request.file,
        "content": request.content,
        "command": request.command,
        "build": None if request.build is None else _build(request.build, hidden),
        "valuesFile": request.values_file,
        "valuesContent": request.values_content,
        "values": _entries(request.values, hidden.values),
        "registry": request.registry,
        "platform": request.platform,
        "timeout": request.timeout_s,
        "cpu": limits.cpus,
        "memory": limits.memory_bytes,
        "disk": limits.disk_bytes,
        "pids": limits.pids,
        "isolation": request.isolation,
        "pool": "" if request.pool == RunRequest().pool else request.pool,
        "strict": request.strict,
        **secret_fields(hidden),
    }
    return {key: value for key, value in found.items() if value not in ("", None, [], False)}


def secret_fields(hidden: RunSecrets) -> dict[str, Any]:
    """Return logins and the Git token, as far as there are any."""
    found: dict[str, Any] = {}
    if hidden.credentials:
        found["credentials"] = [
            {"registry": login.registry, "username": login.username, "password": login.password}
            for login in hidden.credentials
        ]
    if hidden.git_token:
        found["gitToken"] = hidden.git_token
    return found


def _build(build: BuildRequest, hidden: RunSecrets) -> dict[str, Any]:
    found: dict[str, Any] = {
        "images": list(build.images),
        "dockerfile": build.dockerfile,
        "buildArgs": _entries(build.build_args, hidden.build_args),
        "labels": list(build.labels),
        "secrets": [{"id": name, "value": text} for name, text in hidden.build_secrets.items()],
        "target": build.target,
        "platforms": list(build.platforms),
        "push": build.push,
        "noCache": build.no_cache,
        "pull": build.pull,
    }
    return {
        key: value for key, value in found.items() if value not in ("", [], False) or key == "push"
    }


def _entries(plain: tuple[str, ...], hidden: tuple[str, ...]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for texts, more in ((plain, {}), (hidden, {"secret": True})):
        for text in texts:
            # A later one of the same name wins (V-61).
            name, _, value = text.partition("=")
            found[name] = {"name": name, "value": value, **more}
    return list(found.values())
