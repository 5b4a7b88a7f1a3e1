"""Stored tasks, their logins and their runs (A-05, C-100 to C-149)."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import TypeAdapter, ValidationError

from runners.model.errors import InvalidInput
from tasks_service.api.caller import Author, Caller, Reader, Runner
from tasks_service.api.conversion import (
    definition_of,
    merge_patch,
    request_of,
    same_host,
    stored_names,
    task_json,
    with_overrides,
)
from tasks_service.api.models.inputs import CredentialInput, NewTask, RunInput, TaskInput
from tasks_service.api.models.views import (
    CredentialPageView,
    CredentialView,
    RunView,
    TaskPageView,
)
from tasks_service.api.parts import Parts, Wired
from tasks_service.api.problem import body_errors
from tasks_service.api.routes.paging import Cursor, Limit, cursor_of, key_of, link_next
from tasks_service.api.routes.runs import IdempotencyKey, accepted, once_of
from tasks_service.errors import Conflict, NotFound, VersionMismatch
from tasks_service.model.run import Cause, RegistryCredential, RunSecrets
from tasks_service.model.task import Task, TaskDefinition
from tasks_service.runs import words
from tasks_service.runs.checks import request_errors
from tasks_service.runs.fields import FieldError, InvalidFields, raise_if_any
from tasks_service.runs.timer_checks import timer_errors

router = APIRouter(prefix="/api/v1", tags=["tasks"])
IfMatch = Annotated[str, Header(max_length=200, description="Change only this version (ETag).")]
IfNoneMatch = Annotated[str, Header(max_length=200, description="`*` creates, never replaces.")]
_PATCH: TypeAdapter[TaskInput] = TypeAdapter(TaskInput)
_RUN: TypeAdapter[RunInput] = TypeAdapter(RunInput)


def _find(parts: Parts, name: str, caller: Caller) -> Task:
    caller.require_task(name)
    return parts.store.tasks.find(name[:200])


def _shown(task: Task, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = f'"{task.version}"'
    return task_json(task, stored_names(task))


def _version(if_match: str, task: Task) -> int:
    """Return the version to replace: the one that was read, or the one asked for.

    Raises:
        VersionMismatch: ``If-Match`` names another one.
    """
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")]
    if if_match and "*" not in tags and str(task.version) not in tags:
        raise VersionMismatch(
            f"task '{task.name}' is at version {task.version}",
            hint="read it again, then change it",
        )
    return task.version


def _checked(
    parts: Parts, name: str, body: TaskInput, kept: RunSecrets, *, before: str = ""
) -> tuple[TaskDefinition, RunSecrets]:
    errors = []
    if problem := words.task_name_problem(name):
        errors.append(FieldError("/name", problem))
    if body.name is not None and body.name != name:
        errors.append(FieldError("/name", "is another one than in the address"))
    definition, secrets, found = definition_of(name, body, kept, before=before)
    errors += found
    errors += request_errors(definition.request, secrets, parts.life.rules, stored=True)
    errors += timer_errors(definition.timers)
    raise_if_any(errors)
    return definition, secrets


@router.get("/tasks")
def list_tasks(
    caller: Reader,
    parts: Wired,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> TaskPageView:
    """List tasks by name."""
    after = key_of(cursor).replace("\0", "")
    found: list[Task] = []
    while len(found) <= limit:
        page = parts.store.tasks.list(after=after, limit=limit + 1)
        found += [task for task in page if caller.sees(task.name)]
        if len(page) <= limit:
            break
        after = page[-1].name
    more, found = len(found) > limit, found[:limit]
    following = cursor_of(found[-1].name) if more else ""
    link_next(request, response, following)
    items = [task_json(task, stored_names(task)) for task in found]
    return TaskPageView(items=items, cursor=following)


@router.post("/tasks", status_code=201)
def create(body: NewTask, caller: Author, parts: Wired, response: Response) -> dict[str, Any]:
    """Store a new task."""
    definition, secrets = _checked(parts, body.name, body, RunSecrets())
    caller.require_task(definition.name)
    task = parts.store.tasks.create(definition, secrets)
    caller.audit(parts.store, "task.create", f"tasks/{task.name}")
    response.headers["Location"] = f"/api/v1/tasks/{task.name}"
    return _shown(task, response)


@router.get("/tasks/{name}")
def show(name: str, caller: Reader, parts: Wired, response: Response) -> dict[str, Any]:
    """Return a task. Secrets are names only."""
    return _shown(_find(parts, name, caller), response)


@router.put("/tasks/{name}", responses={201: {"description": "It is new."}})
def put(
    name: str,
    body: TaskInput,
    caller: Author,
    parts: Wired,
    response: Response,
    if_match: IfMatch = "",
    if_none_match: IfNoneMatch = "",
) -> dict[str, Any]:
    """Create a task or replace it whole (C-123). Entries that say ``secret`` keep stored values."""
    caller.require_task(name)
    before = parts.store.tasks.get(name[:200])
    if before is None:
        if if_match:
            raise VersionMismatch(f"there is no task {name[:60]!r} to replace")
        definition, secrets = _checked(parts, name, body, RunSecrets())
        task = parts.store.tasks.create(definition, secrets)
        caller.audit(parts.store, "task.create", f"tasks/{task.name}")
        response.status_code = 201
        return _shown(task, response)
    if if_none_match.strip() == "*":
        raise VersionMismatch(f"there is a task '{before.name}' already")
    return _replace(parts, before, body, caller, if_match, response)


def _replace(
    parts: Parts, before: Task, body: TaskInput, caller: Caller, if_match: str, response: Response
) -> dict[str, Any]:
    version = _version(if_match, before)
    kept = parts.store.tasks.secrets(before.name)
    source = before.definition.request.source
    definition, secrets = _checked(parts, before.name, body, kept, before=source)
    task = parts.store.tasks.replace(definition, secrets, version=version)
    caller.audit(parts.store, "task.update", f"tasks/{task.name}", version=task.version)
    return _shown(task, response)


@router.patch(
    "/tasks/{name}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/merge-patch+json": {"schema": {"type": "object"}}},
        }
    },
)
async def patch(
    name: str,
    request: Request,
    caller: Author,
    parts: Wired,
    response: Response,
    if_match: IfMatch = "",
) -> dict[str, Any]:
    """Change parts of a task, as a JSON merge patch (RFC 7396): what is not named stays."""
    import anyio.to_thread

    changes = _object(await request.body())

    def work() -> dict[str, Any]:
        before = _find(parts, name, caller)
        shown = task_json(before, stored_names(before))
        if "credentials" not in changes:
            # Logins are not shown, so none of them is sent back either.
            shown.pop("credentials", None)
        body = _validated(_PATCH, merge_patch(shown, changes), TaskInput)
        if "gitToken" not in changes:
            body.model_fields_set.discard("git_token")
        return _replace(parts, before, body, caller, if_match, response)

    return await anyio.to_thread.run_sync(work)


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput("the body is not JSON") from None
    if not isinstance(found, dict):
        raise InvalidInput("the body is not a JSON object")
    return found


def _validated(adapter: TypeAdapter[Any], body: Any, model: Any) -> Any:
    try:
        return adapter.validate_python(body)
    except ValidationError as error:
        raise InvalidFields(body_errors(model, error.errors())) from None


@router.delete("/tasks/{name}", status_code=204)
def delete(name: str, caller: Author, parts: Wired, if_match: IfMatch = "") -> None:
    """Forget a task. Its runs stay."""
    task = _find(parts, name, caller)
    parts.store.tasks.delete(name, version=_version(if_match, task) if if_match else None)
    caller.audit(parts.store, "task.delete", f"tasks/{name}")


@router.post("/tasks/{name}/runs", status_code=202)
def run_task(
    name: str,
    caller: Runner,
    parts: Wired,
    response: Response,
    body: RunInput | None = None,
    idempotency_key: IdempotencyKey = "",
) -> RunView:
    """Run a stored task; what the body names takes the place of the stored (C-134)."""
    task = _find(parts, name, caller)
    overrides = body.model_dump(by_alias=True, exclude_unset=True) if body else {}
    stored = task_json(task, stored_names(task))
    allowed = {field.alias or key for key, field in RunInput.model_fields.items()}
    base = {key: value for key, value in stored.items() if key in allowed and key != "credentials"}
    merged = _validated(_RUN, with_overrides(base, overrides), RunInput)
    kept = parts.store.tasks.secrets(task.name)
    request, secrets, errors = request_of(merged, kept)
    raise_if_any(errors)
    secrets = _with_logins(secrets, kept, task, request.source, merged)
    once = once_of(caller, idempotency_key, "task", name, overrides)
    run = parts.life.accept_task(
        task, request, secrets, cause=Cause("manual", caller.name), once=once
    )
    caller.audit(parts.store, "run.create", f"runs/{run.id}", task=task.name)
    return accepted(run, parts, response)


def _with_logins(
    secrets: RunSecrets, kept: RunSecrets, task: Task, source: str, body: RunInput
) -> RunSecrets:
    """Return the secrets with the task's logins; those of the body are stronger."""
    given = {login.registry for login in secrets.credentials}
    logins = tuple(login for login in kept.credentials if login.registry not in given)
    token = secrets.git_token
    if body.git_token is None and same_host(task.definition.request.source, source):
        # A source at another host must not get this one's token (G5).
        token = kept.git_token
    return dataclasses.replace(
        secrets, credentials=(*logins, *secrets.credentials), git_token=token
    )


@router.get("/tasks/{name}/credentials")
def list_credentials(name: str, caller: Author, parts: Wired) -> CredentialPageView:
    """List the registries a task has logins for (C-146)."""
    task = _find(parts, name, caller)
    return CredentialPageView(
        items=[
            CredentialView(registry=registry, username=username)
            for registry, username in task.secret_names.registries
        ]
    )


@router.put("/tasks/{name}/credentials/{registry}", responses={201: {"description": "It is new."}})
def put_credential(
    name: str,
    registry: str,
    body: CredentialInput,
    caller: Author,
    parts: Wired,
    response: Response,
) -> CredentialView:
    """Store a login of a registry, in place of the one it has (C-144, C-145)."""
    task = _find(parts, name, caller)
    if problem := words.registry_problem(registry):
        raise InvalidInput(problem)
    login = RegistryCredential(registry.lower(), body.username, body.password)
    kept = parts.store.tasks.secrets(name)
    others = tuple(c for c in kept.credentials if c.registry != login.registry)
    if len(others) == len(kept.credentials):
        response.status_code = 201
    if len(others) >= 100:
        raise Conflict("the task has 100 logins already")
    secrets = dataclasses.replace(kept, credentials=(*others, login))
    parts.store.tasks.replace(task.definition, secrets, version=task.version)
    caller.audit(parts.store, "credential.put", f"tasks/{name}", registry=login.registry)
    return CredentialView(registry=login.registry, username=login.username)


@router.delete("/tasks/{name}/credentials/{registry}", status_code=204)
def delete_credential(name: str, registry: str, caller: Author, parts: Wired) -> None:
    """Remove a login (C-146)."""
    task = _find(parts, name, caller)
    kept = parts.store.tasks.secrets(name)
    others = tuple(c for c in kept.credentials if c.registry != registry.lower())
    if len(others) == len(kept.credentials):
        raise NotFound(f"task '{name}' has no login of {registry[:80]!r}")
    secrets = dataclasses.replace(kept, credentials=others)
    parts.store.tasks.replace(task.definition, secrets, version=task.version)
    caller.audit(parts.store, "credential.delete", f"tasks/{name}", registry=registry)
