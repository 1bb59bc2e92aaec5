"""Documents whose text was longer than the model takes, and what was done to make their vector."""

from dataclasses import dataclass

from psycopg import sql

from reembed.database import queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration


@dataclass(frozen=True)
class Overlong:
    document_id: str
    treatment: str
    """truncated: the vector is of the beginning; averaged: of all parts."""
    tokens: int
    """Of the whole text, as they were counted."""


def find(connection: Connection, migration: Migration) -> list[Overlong]:
    """Those whose present vector was made so, the longest first; none where there is no new column."""
    if migration.state in ("planned", "aborted"):
        return []
    return [Overlong(**row) for row in queries.run(connection, "list_overlong", _names(migration))]


def count(connection: Connection, migration: Migration) -> int:
    if migration.state in ("planned", "aborted"):
        return 0
    return int(queries.one(connection, "count_overlong", _names(migration))["overlong"])


def _names(migration: Migration) -> dict[str, sql.Composable]:
    """`cleanup` gives the new column's hash another place."""
    names = migration.names
    if migration.state == "cleaned":
        home = queries.identifier("d", migration.table.old_hash)
        return {**names, "vector_hash": home, "joined": sql.SQL("")}
    return {**names, "vector_hash": sql.SQL("{}.{}").format(names["v"], names["new_hash"])}
