"""The judgements of a migration as the ledger keeps them: what the gate reads."""

from typing import Any

from psycopg.types.json import Jsonb

from reembed.database import queries
from reembed.database.connection import Connection


def save(connection: Connection, migration_id: int, *, passed: bool, report: dict[str, Any]) -> None:
    queries.run(
        connection, "save_validation", None, migration_id=migration_id, passed=passed, report=Jsonb(report)
    )


def last(connection: Connection, migration_id: int) -> dict[str, Any] | None:
    """Keys: passed, report, created_at."""
    return queries.run(connection, "last_validation", None, migration_id=migration_id).fetchone()
