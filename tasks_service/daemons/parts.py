"""What every process of the service needs first: state folder, keys, database, blobs.

In: Settings. Out: Parts. A first start makes what is missing; nothing unsafe
is accepted, and nothing that is there is replaced.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runners.model.errors import InvalidInput, SystemFault
from tasks_service.blobs import LOGS, UPLOADS, BlobStore, open_blobs
from tasks_service.config import Settings
from tasks_service.errors import Conflict
from tasks_service.process_log import get_logger, set_up_logging
from tasks_service.runs.logs import RunLogs
from tasks_service.store import Store, open_store
from tasks_service.store.envelope import load_keys
from tasks_service.store.schema import check_known, current, head, upgrade

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The opened parts. ``close`` them once."""

    settings: Settings
    store: Store
    uploads: BlobStore
    logs: RunLogs

    def close(self) -> None:
        """Let go of all connections."""
        self.store.close()


class SchemaBehind(SystemFault):
    """The database has an older schema than this process needs."""

    code = "schema_behind"


def log_to_stderr(settings: Settings) -> None:
    """Set this process's log up, with all secrets of the settings masked."""
    secrets = [settings.registry_password, settings.s3_secret_key, settings.event_key]
    secrets += [_password(url) for url in (settings.database_url, settings.redis_url)]
    set_up_logging(
        form=settings.log_format,
        level=settings.log_level,
        secrets=[text for text in secrets if text],
    )


def prepare_state(settings: Settings) -> Path:
    """Make the state folder, for our user only, and return it.

    Raises:
        InvalidInput: It can't be made, or others may write to it.
    """
    folder = settings.state_dir
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
        mode = folder.stat()
    except OSError as error:
        raise InvalidInput(
            f"state folder {folder}: {(error.strerror or str(error)).lower()}",
            hint="name another one by --state-dir or TASKSD_STATE_DIR",
        ) from error
    if stat.S_IMODE(mode.st_mode) & 0o022:
        raise InvalidInput(
            f"others may write to the state folder {folder}", hint=f"chmod go-w {folder}"
        )
    if mode.st_uid != os.geteuid():
        raise InvalidInput(
            f"the state folder {folder} belongs to another user",
            hint="start as that user, or name another folder",
        )
    return folder


def open_parts(settings: Settings, *, migrate: bool) -> Parts:
    """Open keys, database and blobs; make keys and schema at the first start.

    Args:
        migrate: Bring an older schema to the newest; else that is an error
            (``tasks db upgrade`` is a step of its own where there are many
            processes).

    Raises:
        InvalidInput: The state folder or the keys are unsafe or damaged.
        SchemaBehind, SchemaTooNew: The schema does not fit.
        Unavailable: The database does not answer.
    """
    prepare_state(settings)
    envelope = load_keys(settings.keys, create=True)
    store = open_store(settings.database, envelope)
    try:
        _fit_schema(store, migrate=migrate)
    except BaseException:
        store.close()
        raise
    return Parts(
        settings,
        store,
        open_blobs(settings, UPLOADS),
        RunLogs(store, open_blobs(settings, LOGS)),
    )


def _fit_schema(store: Store, *, migrate: bool) -> None:
    before = current(store.database)
    if before == head():
        return
    check_known(before)
    if before is not None and not migrate:
        raise SchemaBehind(
            f"the database's schema is at {before}, this version needs {head()}",
            hint="back the database up, then run `tasks db upgrade`",
        )
    upgrade(store.database)
    _log.info("schema_upgraded", before=before, after=head())


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Hold a state folder for one process; the lock ends with it.

    Raises:
        Conflict: Another process holds it.
    """
    path = folder / f"{what}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            raise Conflict(
                f"`tasks {what}` runs already with the state folder {folder} (process {holder})",
                hint="stop it, or name another folder by --state-dir",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _password(url: str) -> str:
    login = url.partition("://")[2].partition("@")[0] if "@" in url else ""
    return login.partition(":")[2]
