"""The companion: a table of their own for the new vectors, keyed by the document. `cleanup` brings them home.

While the old column has an HNSW index, an UPDATE of a document is dear: no full page has room for the row's new
version, so the version is inserted into that index again. A companion costs the documents table nothing but triggers
that note what was written. By the time the vectors come home, the old column is gone, and its index with it.
"""

from collections.abc import Iterator
from typing import Any

from psycopg import sql

from reembed.database import columns, grants, queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.database.table import derive

_TRIGGERS = (
    "drop_trigger",
    "create_companion_trigger",
    "enable_trigger",
    "drop_insert_trigger",
    "create_companion_insert_trigger",
    "enable_insert_trigger",
    "drop_delete_trigger",
    "create_delete_trigger",
    "enable_delete_trigger",
    "drop_old_trigger",
    "create_companion_old_trigger",
    "enable_old_trigger",
)
# On the documents table, and what comes with it on the companion
_PRIVILEGES = {"SELECT": sql.SQL("SELECT"), "UPDATE": sql.SQL("INSERT, UPDATE")}
_HOME_TRIGGER = (
    "create_home_function",
    "create_home_trigger",
    "enable_home_trigger",
)


def expansion(connection: Connection, migration: Migration) -> Iterator[sql.Composed]:
    """What `start` runs, in order: nothing of it rewrites or scans the documents table."""
    table = migration.table
    key = queries.one(connection, "column_type", None, table=table.quoted, column=table.id)
    yield queries.compose(
        "create_companion",
        {
            **migration.names,
            "id_type": queries.verbatim(key["definition"]),
            "dimensions": sql.Literal(migration.new_model.dimensions),
        },
    )
    for privilege, privileges in _PRIVILEGES.items():
        if (roles := grants.grantees(connection, table, privilege)) is not None:
            granted = {"privileges": privileges, "grantees": roles}
            yield queries.compose("grant", {**migration.names, **granted})
    yield from triggers(migration)


def triggers(migration: Migration) -> Iterator[sql.Composed]:
    """What notices what is written. May be repeated, until the vectors come home."""
    yield _function(migration, queries.compose("without_old", migration.names))
    for query in _TRIGGERS:
        yield queries.compose(query, migration.names)


def remove(connection: Connection, migration: Migration) -> None:
    """Take away all that `expand` added. Call inside `locking.change`."""
    columns.drop_triggers(connection, migration)
    queries.run(connection, "drop_companion", migration.names)
    queries.run(connection, "drop_home_function", _home(migration))


def make_room(connection: Connection, migration: Migration) -> None:
    """Drop the old column and put an empty one for the new vectors in its place. Call inside `locking.change`.

    From here on whatever is written to the companion is written home as well, in the same transaction.
    """
    table = migration.table
    queries.run(connection, "drop_old_trigger", migration.names)
    # The companion notes no more what an old vector wants; the function must not read a column of another type
    connection.execute(_function(migration, sql.SQL("NULL")), {})
    columns.drop(connection, migration, table.old, table.old_model, table.old_hash)
    home = _home(migration)
    queries.run(connection, "add_home", home)
    for query in _HOME_TRIGGER:
        queries.run(connection, query, home)


def move(connection: Connection, migration: Migration, *, after: Any | None, limit: int) -> list[Any]:
    """Bring home up to `limit` vectors of documents with keys above `after`, in key order; the keys.

    Empty: all above are home. One short transaction. The documents are locked before the companion is read: whoever
    changes a vector after that waits for the lock to write it home, and so comes last.
    """
    above = queries.compose("above", migration.names) if after is not None else sql.SQL("true")
    home = _home(migration)
    with connection.transaction():
        found = queries.run(
            connection, "lock_away", {**home, "above": above}, after=str(after), limit=limit
        ).fetchall()
        ids = [row["id"] for row in found]
        if ids:
            queries.run(connection, "move_home", home, ids=ids)
    return ids


def _function(migration: Migration, without_old: sql.Composable) -> sql.Composed:
    return queries.compose("create_companion_function", {**migration.names, "without_old": without_old})


def _home(migration: Migration) -> dict[str, sql.Composable]:
    """The names, with those of the place that the vectors come home to."""
    table = migration.table
    return {
        **migration.names,
        "dimensions": sql.Literal(migration.new_model.dimensions),
        "home_model": queries.identifier(table.old_model),
        "home_hash": queries.identifier(table.old_hash),
        "home_trigger": queries.identifier("~reembed_home"),
        "home_function": queries.identifier("reembed", derive("home", table.schema, table.name)),
    }
