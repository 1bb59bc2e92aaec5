"""Indexes of a migration, built CONCURRENTLY after the backfill; an interrupted build is begun anew."""

import functools
import logging
from collections.abc import Mapping

import psycopg
from psycopg import sql

from reembed.database import building, distances, locking, queries, table, tuning
from reembed.database.connection import Connection, first_line
from reembed.database.ledger import Migration, Side
from reembed.database.tuning import Tuning
from reembed.events import Event

_log = logging.getLogger(__name__)


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


def build(connection: Connection, migration: Migration, rows: int, wanted: Tuning = tuning.BY_SIZE) -> None:
    """Build what is missing of the index on the new column.

    `rows` are those that exist; what is not `wanted` otherwise is sized by them. May be repeated; takes as long as it
    takes, and blocks neither reads nor writes. Memory and workers of the session are as before when it is over.
    """
    target = migration.table
    _build(connection, migration, "new", rows, wanted, target.vectors, target.new_index)


def build_home(
    connection: Connection, migration: Migration, rows: int, wanted: Tuning = tuning.BY_SIZE
) -> None:
    """The same on the vectors that came home, under the name that the old column's index had."""
    target = migration.table
    _build(connection, migration, "old", rows, wanted, target.name, migration.home_index)


def take_time(connection: Connection) -> None:
    """Of this session: its statements may take as long as they take."""
    queries.run(connection, "take_time")


def _build(
    connection: Connection,
    migration: Migration,
    column: Side,
    rows: int,
    wanted: Tuning,
    owner: str,
    name: str | None,
) -> None:
    """The vector index of the table `owner`, and its statistics."""
    take_time(connection)
    method, dimensions = migration.index_method, migration.new_model.dimensions
    if method != "none" and name is not None:
        server = tuning.Memory(**queries.one(connection, "server_memory"))
        definition = _definition(migration, column, tuning.parameters(method, wanted, rows))
        with building.session(connection, tuning.session(method, wanted, rows, dimensions, server)):
            _ensure(connection, migration, "create_vector_index", owner, name, definition)
    _run(connection, "analyze", {"table": queries.identifier(migration.table.schema, owner)})


def _definition(
    migration: Migration, column: Side, parameters: Mapping[str, int]
) -> dict[str, sql.Composable]:
    """Of an index for the new model's vectors, in the column that they stand in."""
    dimensions = migration.new_model.dimensions
    return {
        "method": sql.SQL("ivfflat") if migration.index_method == "ivfflat" else sql.SQL("hnsw"),
        "expression": distances.indexed(migration.names[column], "vector", dimensions),
        "operator_class": distances.operator_class(migration.metric, "vector", dimensions),
        "parameters": sql.SQL("WITH ({})").format(
            sql.SQL(", ").join(
                sql.SQL("{} = {}").format(queries.identifier(name), sql.Literal(value))
                for name, value in parameters.items()
            )
        ),
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
    drop = {**names, "index": queries.identifier(where[0], name)}
    queries.run(connection, "drop_index", drop)
    try:
        queries.run(connection, query, names)
    except psycopg.Error as error:
        if not building.lacks_shared_memory(error):
            raise
        # Also for what else this build has to do: the server will not have more of it in a minute
        building.put(connection, building.PARALLEL_WORKERS, "0")
        _log.warning(
            Event("index_without_parallel_workers", migration=migration.id, reason=first_line(error))
        )
        queries.run(connection, "drop_index", drop)
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
