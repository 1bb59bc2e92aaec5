"""The new column and all that comes with it: added by expand, made the only one by cleanup, taken away by abort."""

from collections.abc import Iterator

from psycopg import sql

from reembed import errors
from reembed.database import ledger, locking, queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.database.table import derive


class ViewsInTheWay(errors.Refused):
    """The column {column} cannot be dropped: {views} read it.

    Point them at {new_column} (they may be changed while the migration stands), then `reembed cleanup` again.
    """


def expand(connection: Connection, migration: Migration) -> None:
    """Add the new column, its provenance and the triggers that notice changed texts. May be repeated.

    Raises ledger.WrongState where the migration was given up while this waited for its lock.
    """

    def statements() -> None:
        ledger.hold(connection, migration, "planned", "begin")
        for query in expansion(migration):
            connection.execute(query, {})

    locking.change(connection, statements)


def expansion(migration: Migration) -> Iterator[sql.Composed]:
    """What `start` runs on the user's table, in order."""
    names = {**migration.names, "dimensions": sql.Literal(migration.new_model.dimensions)}
    for query in (
        "add_columns",
        "create_trigger_function",
        "drop_trigger",
        "create_trigger",
        "enable_trigger",
        "drop_old_trigger",
        "create_old_trigger",
        "enable_old_trigger",
        "drop_insert_trigger",
        "create_insert_trigger",
        "enable_insert_trigger",
    ):
        yield queries.compose(query, names)


def remove(connection: Connection, migration: Migration) -> None:
    """Take away all that `expand` and the index builds added."""
    table = migration.table

    def statements() -> None:
        _drop_trigger(connection, migration)
        _drop_columns(connection, migration, *table.added)

    locking.change(connection, statements)


def contract(connection: Connection, migration: Migration, *, old_indexes: tuple[str, ...]) -> None:
    """Drop the old column, give its name and its index's to the new one. Call inside `locking.change`.

    A search that runs meanwhile waits for these few catalog changes, no longer.
    """
    table = migration.table
    _drop_trigger(connection, migration)
    # The old column may have provenance of its own, from the migration before this one
    _drop_columns(connection, migration, table.old, table.old_model, table.old_hash, table.old_stale)
    for column, name in (
        (table.new, table.old),
        (table.new_model, table.old_model),
        (table.new_hash, table.old_hash),
    ):
        queries.run(
            connection,
            "rename_column",
            {**migration.names, "column": queries.identifier(column), "name": queries.identifier(name)},
        )
    pending_index = queries.identifier(table.schema, table.pending_index)
    queries.run(connection, "drop_index", {"index": pending_index, "concurrently": sql.SQL("")})
    if migration.index_method != "none":
        # Never left under the new column's name: the next migration's index will want it
        name = old_indexes[0] if old_indexes else derive(table.name, table.old, "idx")
        names = {"index": queries.identifier(table.schema, table.new_index), "name": queries.identifier(name)}
        queries.run(connection, "rename_index", names)


def refuse_views(connection: Connection, migration: Migration) -> None:
    """Raises ViewsInTheWay where a view reads the old column."""
    table = migration.table
    rows = queries.run(connection, "view_dependents", None, table=table.quoted, column=table.old)
    if views := [row["name"] for row in rows]:
        raise ViewsInTheWay(column=table.old, views=", ".join(views), new_column=table.new)


def _drop_trigger(connection: Connection, migration: Migration) -> None:
    queries.run(connection, "drop_trigger", migration.names)
    queries.run(connection, "drop_old_trigger", migration.names)
    queries.run(connection, "drop_insert_trigger", migration.names)
    queries.run(connection, "drop_trigger_function", migration.names)


def _drop_columns(connection: Connection, migration: Migration, *columns: str) -> None:
    drops = sql.SQL(", ").join(
        sql.SQL("DROP COLUMN IF EXISTS {}").format(queries.identifier(column)) for column in columns
    )
    queries.run(connection, "drop_columns", {**migration.names, "drops": drops})
