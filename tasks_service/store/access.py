"""Tokens, the audit log, workers, uploads and idempotency keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import IntegrityError

from tasks_service.errors import Conflict
from tasks_service.model.access import AuditEntry, Role, Token, Worker
from tasks_service.store.database import Database, moment, now
from tasks_service.store.rows import dump
from tasks_service.store.tables import audit, idempotency, tokens, uploads, workers


class TokenStore:
    """API tokens by their public id. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def create(self, token: Token, secret_hash: str) -> Token:
        """Store a token and the hash of its secret; ``created`` is set.

        Raises:
            Conflict: The id is taken.
        """

        def work(connection: Connection) -> Token:
            row = connection.execute(
                insert(tokens)
                .values(
                    id=token.id,
                    name=token.name,
                    hash=secret_hash,
                    role=int(token.role),
                    tasks=dump(list(token.tasks)),
                    created=now(),
                    expires=token.expires,
                )
                .returning(tokens)
            ).one()
            return _token(row)

        try:
            return self._db.write(work)
        except IntegrityError as error:
            raise Conflict(f"there is a token {token.id!r} already") from error

    def find(self, token_id: str) -> tuple[Token, str] | None:
        """Return a token and the hash of its secret, or None."""
        row = self._db.read(
            lambda connection: connection.execute(
                select(tokens).where(tokens.c.id == token_id)
            ).one_or_none()
        )
        return None if row is None else (_token(row), row.hash)

    def list(self) -> tuple[Token, ...]:
        """Return all tokens, newest first."""
        return self._db.read(
            lambda connection: tuple(
                _token(row)
                for row in connection.execute(select(tokens).order_by(tokens.c.created.desc()))
            )
        )

    def revoke(self, token_id: str) -> bool:
        """End a token for good; False if there is none. Idempotent."""
        return self._db.write(
            lambda connection: (
                connection.execute(
                    update(tokens)
                    .where(tokens.c.id == token_id)
                    .values(revoked=True)
                    .returning(tokens.c.id)
                ).one_or_none()
                is not None
            )
        )

    def used(self, token_id: str) -> None:
        """Note that a token was used now."""
        self._db.write(
            lambda connection: connection.execute(
                update(tokens).where(tokens.c.id == token_id).values(last_used=now())
            )
        )


class AuditStore:
    """Who changed what. Entries are only added. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, actor: str, action: str, object_: str, detail: Mapping[str, Any]) -> None:
        """Add an entry; ``detail`` holds no secret."""
        self._db.write(
            lambda connection: connection.execute(
                insert(audit).values(
                    time=now(),
                    actor=actor,
                    action=action,
                    object=object_,
                    detail=dump(dict(detail)),
                )
            )
        )

    def list(
        self, *, before: int | None = None, object_: str = "", actor: str = "", limit: int = 50
    ) -> tuple[AuditEntry, ...]:
        """Return entries with numbers below ``before``, newest first."""

        def work(connection: Connection) -> tuple[AuditEntry, ...]:
            query = select(audit).order_by(audit.c.number.desc()).limit(limit)
            if before is not None:
                query = query.where(audit.c.number < before)
            if object_:
                query = query.where(audit.c.object == object_)
            if actor:
                query = query.where(audit.c.actor == actor)
            return tuple(
                AuditEntry(
                    row.number, row.time, row.actor, row.action, row.object, json.loads(row.detail)
                )
                for row in connection.execute(query)
            )

        return self._db.read(work)


class WorkerStore:
    """Worker processes that told of themselves. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def tell(self, worker: Worker) -> None:
        """Store what a worker says of itself, seen now; ``started`` is kept from the first time."""
        values = {
            "pool": worker.pool,
            "host": worker.host,
            "concurrency": worker.concurrency,
            "active": worker.active,
            "draining": worker.draining,
            "seen": now(),
        }

        def work(connection: Connection) -> None:
            made = _insert(self._db, workers).values(id=worker.id, started=now(), **values)
            connection.execute(made.on_conflict_do_update(index_elements=["id"], set_=values))

        self._db.write(work)

    def gone(self, worker_id: str) -> None:
        """Forget a worker that ended in order."""
        self._db.write(
            lambda connection: connection.execute(delete(workers).where(workers.c.id == worker_id))
        )

    def list(self) -> tuple[Worker, ...]:
        """Return all workers, by pool and id."""
        return self._db.read(
            lambda connection: tuple(
                Worker(
                    row.id,
                    row.pool,
                    row.host,
                    row.concurrency,
                    row.started,
                    row.seen,
                    row.active,
                    row.draining,
                )
                for row in connection.execute(
                    select(workers).order_by(workers.c.pool, workers.c.id)
                )
            )
        )


class UploadStore:
    """Which uploads are in the blob store, and when they were last used. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, digest: str, size: int) -> None:
        """Note an upload that is whole. Idempotent."""

        def work(connection: Connection) -> None:
            made = _insert(self._db, uploads).values(
                digest=digest, size=size, created=now(), used=now()
            )
            connection.execute(
                made.on_conflict_do_update(index_elements=["digest"], set_={"used": now()})
            )

        self._db.write(work)

    def use(self, digest: str) -> int | None:
        """Note that an upload is used now and return its size; None if it is not there."""
        return self._db.write(
            lambda connection: connection.execute(
                update(uploads)
                .where(uploads.c.digest == digest)
                .values(used=now())
                .returning(uploads.c.size)
            ).scalar()
        )

    def unused(self, *, older_than_s: float, limit: int = 100) -> tuple[str, ...]:
        """Return digests of uploads not used for so long."""

        def work(connection: Connection) -> tuple[str, ...]:
            until = moment(connection) - older_than_s
            return tuple(
                connection.execute(
                    select(uploads.c.digest).where(uploads.c.used < until).limit(limit)
                ).scalars()
            )

        return self._db.read(work)

    def forget(self, digest: str, *, older_than_s: float) -> bool:
        """Forget an upload unless it was used since; tell whether it is forgotten."""

        def work(connection: Connection) -> bool:
            until = moment(connection) - older_than_s
            gone = delete(uploads).where(uploads.c.digest == digest, uploads.c.used < until)
            return connection.execute(gone.returning(uploads.c.digest)).one_or_none() is not None

        return self._db.write(work)


class IdempotencyStore:
    """Answers that were given for an Idempotency-Key. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def reserve(self, actor: str, key: str, body_hash: str, run_id: str) -> tuple[str, str]:
        """Return (body hash, run id) of the first request with that key, this one or an earlier."""

        def work(connection: Connection) -> tuple[str, str]:
            connection.execute(
                _insert(self._db, idempotency)
                .values(actor=actor, key=key, body_hash=body_hash, run_id=run_id, created=now())
                .on_conflict_do_nothing()
            )
            row = connection.execute(
                select(idempotency).where(idempotency.c.actor == actor, idempotency.c.key == key)
            ).one()
            return row.body_hash, row.run_id

        return self._db.write(work)

    def find(self, actor: str, key: str) -> str:
        """Return the id of the run that was to be accepted with that key, or nothing."""
        query = select(idempotency.c.run_id).where(
            idempotency.c.actor == actor, idempotency.c.key == key
        )
        return self._db.read(lambda c: c.execute(query).scalar_one_or_none()) or ""


def _insert(database: Database, table: Any) -> Any:
    # The two dialects spell the same upsert in classes of their own.
    return insert_sqlite(table) if database.is_sqlite else insert_postgresql(table)


def _token(row: Row[Any]) -> Token:
    return Token(
        row.id,
        row.name,
        Role(row.role),
        tuple(json.loads(row.tasks)),
        row.created,
        row.expires,
        row.last_used,
        row.revoked,
    )
