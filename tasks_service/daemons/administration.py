"""What an administrator does to the database while the service rests.

Called by ``tasks db``.
"""

from __future__ import annotations

from pathlib import Path

from tasks_service.api.tokens import NewToken, make_token
from tasks_service.config import Settings
from tasks_service.daemons.parts import only_one, open_parts, prepare_state
from tasks_service.model.access import Role
from tasks_service.store import Store, open_store, schema
from tasks_service.store.envelope import Envelope, add_key, drop_old_keys, load_keys


def upgrade_schema(settings: Settings) -> tuple[str | None, str]:
    """Bring the schema to the newest and return the versions before and after."""
    store = _open(settings, load_keys(_keys(settings), create=True))
    try:
        return schema.upgrade(store.database)
    finally:
        store.close()


def schema_versions(settings: Settings) -> tuple[str | None, str]:
    """Return the schema's version, None for an empty database, and the needed one."""
    store = _open(settings, Envelope({"none": bytes(32)}))
    try:
        return schema.current(store.database), schema.head()
    finally:
        store.close()


def rotate_keys(settings: Settings) -> int:
    """Seal everything under a fresh key, drop the old keys, return how many were sealed.

    A crash in the middle leaves all keys in the file: nothing is lost, and
    the next call goes on.

    Raises:
        Conflict: ``tasks up`` runs with this state folder.
    """
    with only_one(prepare_state(settings), "up"):
        path = _keys(settings)
        load_keys(path, create=True)
        store = _open(settings, add_key(path))
        try:
            count = store.rewrap()
        finally:
            store.close()
        drop_old_keys(path)
        return count


def new_admin_token(settings: Settings) -> NewToken:
    """Make an admin token, for who has none any more; the service may run.

    Raises:
        SchemaBehind, SchemaTooNew: The schema does not fit.
        Unavailable: The database does not answer.
    """
    parts = open_parts(settings, migrate=False)
    try:
        made = make_token(parts.store, name="admin", role=Role.ADMIN)
        detail = {"name": "admin", "role": "admin"}
        parts.store.audit.add("local", "token.create", made.token.id, detail)
        return made
    finally:
        parts.close()


def _keys(settings: Settings) -> Path:
    prepare_state(settings)
    return settings.keys


def _open(settings: Settings, envelope: Envelope) -> Store:
    return open_store(settings.database, envelope)
