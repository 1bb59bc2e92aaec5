"""The judgements of a migration as the ledger keeps them: what the gate reads."""

from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from reembed.database import queries
from reembed.database.connection import Connection


def clock(connection: Connection) -> datetime:
    """For `began_at` of a report: what the gate counts changes from is the time of the database, not of a machine."""
    return datetime.fromtimestamp(queries.one(connection, "clock")["seconds"], UTC)


def save(connection: Connection, migration_id: int, *, passed: bool, report: dict[str, Any]) -> None:
    queries.run(
        connection, "save_validation", None, migration_id=migration_id, passed=passed, report=Jsonb(report)
    )


def last(connection: Connection, migration_id: int) -> dict[str, Any] | None:
    """Keys: id, passed, report, created_at."""
    return queries.run(connection, "last_validation", None, migration_id=migration_id).fetchone()


def every(connection: Connection, migration_id: int) -> list[dict[str, Any]]:
    """The newest first; keys as of `last`."""
    return queries.run(connection, "list_validations", None, migration_id=migration_id).fetchall()


def count_changed(connection: Connection, migration_id: int, validation_id: int) -> int:
    """How many documents got another vector since that judgement began."""
    row = queries.one(
        connection, "count_changed", None, migration_id=migration_id, validation_id=validation_id
    )
    return int(row["changed"])
