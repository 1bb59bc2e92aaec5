"""The new column and all that comes with it: added by expand, made the only one by cleanup, taken away by abort."""

from collections.abc import Iterator

from psycopg import sql

from reembed import errors
from reembed.database import queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.database.table import derive


class ViewsInTheWay(errors.Refused):
    """The column {column} cannot be dropped: {views} read it.

    Point them at {new_column} (they may be changed while the migration stands), then `reembed cleanup` again.
    """


def expansion(migration: Migration) -> Iterator[sql.Composed]:
    """What `start` runs on the documents table, in order."""
    names = {**migration.names, "dimensions": sql.Literal(migration.new_model.dimensions)}
    yield queries.compose("add_columns", names)
    yield from triggers(migration)


def triggers(migration: Migration) -> Iterator[sql.Composed]:
    """What notices what is written. May be repeated."""
    for query in (
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
        yield queries.compose(query, migration.names)


def remove(connection: Connection, migration: Migration) -> None:
    """Take away all that `expand` and the index builds added. Call inside `locking.change`."""
    drop_triggers(connection, migration)
    drop(connection, migration, *migration.table.added)


def contract(connection: Connection, migration: Migration, *, old_indexes: tuple[str, ...]) -> None:
    """Drop the old column, give its name and its index's to the new one. Call inside `locking.change`.

    A search that runs meanwhile waits for these few catalog changes, no longer.
    """
    table = migration.table
    drop_triggers(connection, migration)
    # The old column may have provenance of its own, from the migration before this one
    drop(connection, migration, table.old, table.old_model, table.old_hash, table.old_stale)
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
    if views := views_of(connection, table.quoted, table.old):
        new = f"{table.companion}.{table.new}" if table.companion else table.new
        raise ViewsInTheWay(column=table.old, views=", ".join(views), new_column=new)


def views_of(connection: Connection, table: str, column: str) -> list[str]:
    """The views that read a column."""
    rows = queries.run(connection, "view_dependents", None, table=table, column=column)
    return [row["name"] for row in rows]


def drop_triggers(connection: Connection, migration: Migration) -> None:
    for query in (
        "drop_trigger",
        "drop_insert_trigger",
        "drop_delete_trigger",
        "drop_old_trigger",
        "drop_trigger_function",
    ):
        queries.run(connection, query, migration.names)


def drop(connection: Connection, migration: Migration, *columns: str) -> None:
    drops = sql.SQL(", ").join(
        sql.SQL("DROP COLUMN IF EXISTS {}").format(queries.identifier(column)) for column in columns
    )
    queries.run(connection, "drop_columns", {**migration.names, "drops": drops})
