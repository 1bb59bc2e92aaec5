"""Indexes of a migration, built CONCURRENTLY after the backfill; an interrupted build is begun anew."""

import functools
import logging
from collections.abc import Mapping

import psycopg
from psycopg import sql

from reembed.database import building, distances, locking, queries, table, tuning
from reembed.database.connection import Connection, first_line
from reembed.database.ledger import Migration
from reembed.database.tuning import Tuning

_log = logging.getLogger(__name__)


def build(connection: Connection, migration: Migration, rows: int, wanted: Tuning = tuning.BY_SIZE) -> None:
    """Build what is missing of the index on the new column and the small ones on pending documents.

    `rows` are those that exist; what is not `wanted` otherwise is sized by them. May be repeated; takes as long as it
    takes, and blocks neither reads nor writes. The session's settings are as before when it is over.
    """
    target, method = migration.table, migration.index_method
    server = tuning.Memory(**queries.one(connection, "server_memory"))
    settings = tuning.session(method, wanted, rows, migration.new_model.dimensions, server)
    with building.session(connection, settings):
        _ensure(connection, migration, "create_pending_index", target.pending_index, {})
        _ensure(connection, migration, "create_old_pending_index", target.old_pending_index, {})
        if method != "none":
            definition = _definition(migration, tuning.parameters(method, wanted, rows))
            _ensure(connection, migration, "create_vector_index", target.new_index, definition)
        queries.run(connection, "analyze", migration.names)


def _definition(migration: Migration, parameters: Mapping[str, int]) -> dict[str, sql.Composable]:
    dimensions = migration.new_model.dimensions
    return {
        "method": sql.SQL("ivfflat") if migration.index_method == "ivfflat" else sql.SQL("hnsw"),
        "expression": distances.indexed(migration.names["new"], "vector", dimensions),
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
    name: str,
    definition: dict[str, sql.Composable],
) -> None:
    """One index. On a partitioned table, where PostgreSQL builds nothing concurrently, partition by partition."""
    target = migration.table
    if _is_valid(connection, target.schema, target.name, name):
        return
    partitions = queries.run(connection, "partitions", None, table=target.quoted).fetchall()
    if not partitions:
        _create(connection, migration, query, (target.schema, target.name), name, definition)
        return
    parent = {**migration.names, **definition, "concurrently": sql.SQL(""), "only": sql.SQL("ONLY")}
    if not _stands(connection, target.schema, target.name, name):
        parent["index_name"] = queries.identifier(name)
        locking.change(connection, functools.partial(_run, connection, query, parent))
    for partition in partitions:
        leaf = (partition["schema"], partition["name"])
        # Numbered, since after `cleanup` the last migration's index lives on under its own name
        leaf_name = table.derive(partition["name"], name, str(migration.id))
        if not _is_valid(connection, *leaf, leaf_name):
            _create(connection, migration, query, leaf, leaf_name, definition)
        attach = {
            "index": queries.identifier(target.schema, name),
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
            "event=index_without_parallel_workers migration=%s reason=%r", migration.id, first_line(error)
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
