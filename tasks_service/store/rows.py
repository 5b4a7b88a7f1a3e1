"""Rows to values and back: the one place that knows how columns are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row

from runners.model.status import RunStatus
from tasks_service.model.run import LANES, Cause, Run, RunRequest, RunSecrets
from tasks_service.store.envelope import Envelope

_REQUEST = TypeAdapter(RunRequest)
_SECRETS = TypeAdapter(RunSecrets)
_CAUSE = TypeAdapter(Cause)

ACTIVE = (RunStatus.STARTED, RunStatus.RUNNING)
"""Statuses of a run that a worker holds."""


def dump(value: Any) -> str:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def dump_request(request: RunRequest) -> str:
    """Return the column text of a request."""
    return _REQUEST.dump_json(request, exclude_defaults=True).decode()


def load_request(text: str) -> RunRequest:
    """Return the request of a column text."""
    return _REQUEST.validate_json(text)


def dump_cause(cause: Cause) -> str:
    """Return the column text of a cause."""
    return _CAUSE.dump_json(cause).decode()


def seal_secrets(envelope: Envelope, secrets: RunSecrets, place: str) -> str | None:
    """Return the sealed column text, or None where there is nothing to keep."""
    if not secrets:
        return None
    return envelope.seal(_SECRETS.dump_json(secrets, exclude_defaults=True), place)


def open_secrets(envelope: Envelope, sealed: str | None, place: str) -> RunSecrets:
    """Return the secrets of a column text.

    Raises:
        SealBroken: No key opens it.
    """
    if not sealed:
        return RunSecrets()
    return _SECRETS.validate_json(envelope.open(sealed, place))


def run_place(run_id: str) -> str:
    """Return what the sealed secrets of a run belong to."""
    return f"runs/{run_id}"


def task_place(name: str) -> str:
    """Return what the sealed secrets of a task belong to."""
    return f"tasks/{name}"


def notification_place(name: str) -> str:
    """Return what the sealed receiver of a notification belongs to."""
    return f"notifications/{name}"


def hook_place(hook: str) -> str:
    """Return what the sealed secrets of a commit trigger belong to."""
    return f"hooks/{hook}"


def run_of(row: Row[Any], images: Iterable[str] = ()) -> Run:
    """Return the Run of a row of ``runs``."""
    return Run(
        id=row.id,
        sequence=row.sequence,
        status=RunStatus(row.status),
        run_type=row.run_type,
        task=row.task,
        request=load_request(row.request),
        cause=_CAUSE.validate_json(row.cause),
        lane=LANES[row.lane],
        created=row.created,
        queued=row.queued,
        started=row.started,
        finished=row.finished,
        updated=row.updated,
        owner=row.owner,
        fence=row.fence,
        attempt=row.attempt,
        lease_until=row.lease_until,
        deadline=row.deadline,
        cancel_reason=row.cancel_reason,
        published=row.published,
        commit=row.source_commit,
        branch=row.source_branch,
        error_code=row.error_code,
        error=row.error,
        hint=row.hint,
        steps=tuple(json.loads(row.steps)),
        record=_record(row.record),
        images=tuple(images),
        log_state=row.log_state,
        archived=row.archived,
        held=row.held,
    )


def _record(text: str | None) -> Mapping[str, Any] | None:
    return None if text is None else json.loads(text)
