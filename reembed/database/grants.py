"""Who may do what with what is ours: as much as they may do with the documents."""

from psycopg import sql

from reembed.database import queries
from reembed.database.connection import Connection
from reembed.database.table import Table


def grantees(connection: Connection, documents: Table, privilege: str) -> sql.Composed | None:
    """The roles, beside its owner, that have the privilege on the whole table; None: no one has."""
    rows = queries.run(connection, "grantees", None, table=documents.quoted, privilege=privilege).fetchall()
    if not rows:
        return None
    names = [queries.identifier(row["name"]) if row["name"] else sql.SQL("PUBLIC") for row in rows]
    return sql.SQL(", ").join(names)


def flag(connection: Connection, documents: Table) -> None:
    """Let whoever may search the documents read the flag. Call in the transaction that makes the ledger.

    A service that searches through the flag would fail between the two.
    """
    if (searchers := grantees(connection, documents, "SELECT")) is not None:
        names = {"grantees": searchers}
        queries.run(connection, "grant_schema", names)
        queries.run(connection, "grant_flag", names)
        queries.run(connection, "grant_counts", names)
