"""Indexes of a migration, built CONCURRENTLY after the backfill; an interrupted build is begun anew."""

import functools
from collections.abc import Mapping

from psycopg import sql

from reembed.database import distances, locking, queries, table
from reembed.database.connection import Connection
from reembed.database.ledger import Migration, Side

# pgvector's advice: a list for each thousand rows, and the square root of the rows above a million
_ROWS_PER_LIST = 1_000
_MANY_ROWS = 1_000_000


def build_pending(connection: Connection, migration: Migration) -> None:
    """Build what is missing of the small indexes on pending documents. May be repeated; blocks nobody.

    After the backfill, when hardly any document is pending, and before anybody looks for those that are.
    """
    target = migration.table
    take_time(connection)
    if target.companion:
        small = ("create_companion_pending_index", "create_companion_old_pending_index")
    else:
        small = ("create_pending_index", "create_old_pending_index")
    for query, name in zip(small, (target.pending_index, target.old_pending_index), strict=True):
        _ensure(connection, migration, query, target.vectors, name, {})


def build(connection: Connection, migration: Migration, rows: int) -> None:
    """Build what is missing of the index on the new column.

    `rows` are those that exist, which ivfflat sizes its lists by. May be repeated; takes as long as it takes, and
    blocks neither reads nor writes.
    """
    target = migration.table
    take_time(connection)
    if migration.index_method != "none":
        definition = _definition(migration, "new", rows)
        _ensure(connection, migration, "create_vector_index", target.vectors, target.new_index, definition)
    _run(connection, "analyze", {"table": queries.identifier(target.schema, target.vectors)})


def build_home(connection: Connection, migration: Migration, rows: int) -> None:
    """Build the index on the vectors that came home, under the name that the old column's had. May be repeated."""
    take_time(connection)
    if migration.index_method != "none" and migration.home_index:
        definition = _definition(migration, "old", rows)
        _ensure(
            connection,
            migration,
            "create_vector_index",
            migration.table.name,
            migration.home_index,
            definition,
        )
    queries.run(connection, "analyze", migration.names)


def take_time(connection: Connection) -> None:
    """Of this session: its statements may take as long as they take."""
    queries.run(connection, "take_time")


def lists(rows: int) -> int:
    """How many lists an ivfflat index over so many rows should have."""
    return max(1, rows // _ROWS_PER_LIST if rows <= _MANY_ROWS else int(rows**0.5))


def _definition(migration: Migration, column: Side, rows: int) -> dict[str, sql.Composable]:
    """Of an index for the new model's vectors, in the column that they stand in."""
    dimensions = migration.new_model.dimensions
    parameters = sql.SQL("WITH (lists = {})").format(sql.Literal(lists(rows)))
    return {
        "method": sql.SQL("ivfflat") if migration.index_method == "ivfflat" else sql.SQL("hnsw"),
        "expression": distances.indexed(migration.names[column], "vector", dimensions),
        "operator_class": distances.operator_class(migration.metric, "vector", dimensions),
        "parameters": parameters if migration.index_method == "ivfflat" else sql.SQL(""),
    }


def _ensure(
    connection: Connection,
    migration: Migration,
    query: str,
    owner: str,
    name: str,
    definition: dict[str, sql.Composable],
) -> None:
    """One index of the table `owner`. Partition by partition where it is partitioned: PostgreSQL builds nothing
    concurrently on the whole of it.
    """
    schema = migration.table.schema
    if _is_valid(connection, schema, owner, name):
        return
    partitions = queries.run(connection, "partitions", None, table=table.quoted(schema, owner)).fetchall()
    if not partitions:
        _create(connection, migration, query, (schema, owner), name, definition)
        return
    parent = {**migration.names, **definition, "concurrently": sql.SQL(""), "only": sql.SQL("ONLY")}
    if not _stands(connection, schema, owner, name):
        parent["index_name"] = queries.identifier(name)
        locking.change(connection, functools.partial(_run, connection, query, parent))
    for partition in partitions:
        leaf = (partition["schema"], partition["name"])
        # Numbered, since after `cleanup` the last migration's index lives on under its own name
        leaf_name = table.derive(partition["name"], name, str(migration.id))
        if not _is_valid(connection, *leaf, leaf_name):
            _create(connection, migration, query, leaf, leaf_name, definition)
        attach = {
            "index": queries.identifier(schema, name),
            "partition_index": queries.identifier(leaf[0], leaf_name),
        }
        locking.change(connection, functools.partial(_run, connection, "attach_index", attach))


def _run(connection: Connection, query: str, names: Mapping[str, sql.Composable]) -> None:
    queries.run(connection, query, names)


def _create(
    connection: Connection,
    migration: Migration,
    query: str,
    where: tuple[str, str],
    name: str,
    definition: dict[str, sql.Composable],
) -> None:
    names = {
        **migration.names,
        **definition,
        "table": queries.identifier(*where),
        "index_name": queries.identifier(name),
        "concurrently": sql.SQL("CONCURRENTLY"),
        "only": sql.SQL(""),
    }
    queries.run(connection, "drop_index", {**names, "index": queries.identifier(where[0], name)})
    queries.run(connection, query, names)


def _is_valid(connection: Connection, schema: str, table_name: str, name: str) -> bool:
    row = _state(connection, schema, table_name, name)
    return row is not None and bool(row["valid"])


def _stands(connection: Connection, schema: str, table_name: str, name: str) -> bool:
    return _state(connection, schema, table_name, name) is not None


def _state(connection: Connection, schema: str, table_name: str, name: str) -> dict[str, bool] | None:
    return queries.run(
        connection, "index_state", None,
        table=table.quoted(schema, table_name), index=table.quoted(schema, name),
    ).fetchone()  # fmt: skip
