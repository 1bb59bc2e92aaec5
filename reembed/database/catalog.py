"""What the catalog says about the user's table, and whether reembed can work with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reembed import errors
from reembed.database import queries, table
from reembed.database.connection import Connection
from reembed.database.distances import VectorType
from reembed.database.table import Storage

# What a key column may be, and what its values are cast to: comparisons between these use the column's index
_KEY_TYPES = {
    "int2": "bigint",
    "int4": "bigint",
    "int8": "bigint",
    "uuid": "uuid",
    "text": "text",
    "varchar": "text",
}
_CONTENT_TYPES = {"text", "varchar"}
_VECTOR_TYPES = {"vector", "halfvec"}
_NUMERIC_TYPES = {"int2", "int4", "int8", "float4", "float8", "numeric"}
# Ordinary and partitioned tables
_TABLE_KINDS = {"r", "p"}


class NoExtension(errors.Usage):
    """The database has no pgvector.

    Run CREATE EXTENSION vector in it, as a role that may.
    """


class NoTable(errors.Usage):
    """There is no table {name}.

    Set DOCUMENTS_TABLE; names are taken literally, upper and lower case matter.
    """


class NoColumn(errors.Usage):
    """The table {table} has no column {column}; it has {columns}.

    Set {variable}.
    """


class WrongColumn(errors.Usage):
    """The column {column} of {table} is of type {type}, and reembed needs {needed}.

    Set {variable}.
    """


class NoKey(errors.Usage):
    """The column {column} of {table} is not unique and NOT NULL by an index of its own.

    Set DOCUMENTS_ID_COLUMN to the primary key, or create a unique index.
    """


class NewColumnExists(errors.Usage):
    """The table {table} already has a column {column}, and no migration of ours made it.

    Set NEW_COLUMN to a free name, or rename the column.
    """


class RowsHidden(errors.Usage):
    """Row-level security hides rows of {table} from this role, so that they would be left behind unnoticed.

    Set DATABASE_URL to a role that sees all of them (BYPASSRLS, or the owner of a table without FORCE).
    """


class NestedPartitions(errors.Usage):
    """The partitions of {table} are partitioned themselves, which reembed cannot index.

    Migrate each partition of the first level as a table of its own.
    """


class NotAllowed(errors.Usage):
    """The database role may not {what} the table {table}.

    Grant it, or set DATABASE_URL to a role that owns the table.
    """


class NotAllowedToCreate(errors.Usage):
    """The database role may not create a table in the schema {schema}, where STORAGE=companion needs one.

    Grant it, or set STORAGE=column.
    """


@dataclass(frozen=True)
class VectorIndex:
    name: str
    valid: bool
    method: str
    """hnsw or ivfflat."""
    lists: int | None
    """Of an ivfflat index that was told how many."""


@dataclass(frozen=True)
class Description:
    """A documents table that was found fit."""

    table: table.Table
    estimated_rows: int
    """The planner's estimate; 0 before the first ANALYZE."""
    partitioned: bool
    old_type: VectorType
    old_dimensions: int
    """0 where the column has no width of its own"""
    old_indexes: tuple[str, ...]
    columns: frozenset[str]
    is_empty: bool


def describe(
    connection: Connection,
    *,
    name: str,
    id_column: str,
    content: str,
    old: str,
    new: str,
    storage: Storage = "column",
) -> Description:
    """The table that the environment names, and where its new vectors are to live.

    Raises NoExtension, NoTable, NoColumn, WrongColumn, NoKey, NotAllowed, or table.InvalidTableName.
    """
    if queries.run(connection, "extension_version").fetchone() is None:
        raise NoExtension
    wanted = table.quoted(*table.parse(name))
    found = queries.run(connection, "describe_table", None, table=wanted).fetchone()
    if found is None or found["kind"] not in _TABLE_KINDS:
        raise NoTable(name=name)
    title = f"{found['schema']}.{found['name']}"
    columns = {row["name"]: row for row in queries.run(connection, "describe_columns", None, table=wanted)}

    key = _column(
        columns, title, id_column, "DOCUMENTS_ID_COLUMN", set(_KEY_TYPES), "an integer, uuid or text key"
    )
    _column(columns, title, content, "DOCUMENTS_CONTENT_COLUMN", _CONTENT_TYPES, "text")
    vector = _column(columns, title, old, "OLD_COLUMN", _VECTOR_TYPES, "a vector or halfvec")
    if not queries.one(connection, "key_is_unique", None, table=wanted, column=id_column)["found"]:
        raise NoKey(table=title, column=id_column)
    for allowed, what in ((found["may_write"], "read and update"), (found["may_alter"], "alter")):
        if not allowed:
            raise NotAllowed(table=title, what=what)

    if found["hides_rows"]:
        raise RowsHidden(table=title)
    if found["nested"]:
        raise NestedPartitions(table=title)

    companion = table.companion_of(found["name"], new) if storage == "companion" else None
    if companion and not found["may_create"]:
        raise NotAllowedToCreate(schema=found["schema"])
    documents = table.Table(
        found["schema"], found["name"], id_column, content, old, new, _KEY_TYPES[key["type"]], companion
    )
    return Description(
        table=documents,
        estimated_rows=found["estimated_rows"],
        partitioned=found["kind"] == "p",
        old_type=vector["type"],
        old_dimensions=max(vector["width"], 0),
        old_indexes=indexes_on(connection, documents, old),
        columns=frozenset(columns),
        is_empty=queries.one(connection, "is_empty", documents.names)["empty"],
    )


def schema_of(connection: Connection, name: str) -> str:
    """The schema that a bare table name means by the search path. Raises NoTable."""
    return schema_in(
        queries.run(connection, "describe_table", None, table=table.quoted(None, name)).fetchall(), name
    )


def schema_in(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """The same from the rows of `describe_table`. Raises NoTable."""
    if not rows:
        raise NoTable(name=name)
    return str(rows[0]["schema"])


def vector_type_in(
    rows: Sequence[Mapping[str, Any]], title: str, column: str, variable: str
) -> tuple[VectorType, int]:
    """Type and width of a vector column, from the rows of `describe_columns`. Raises NoColumn, WrongColumn."""
    columns = {row["name"]: row for row in rows}
    found = _column(columns, title, column, variable, _VECTOR_TYPES, "a vector or halfvec")
    return found["type"], max(found["width"], 0)


def refuse_no_number(connection: Connection, documents: table.Table, column: str, variable: str) -> None:
    """That the column which `variable` names is a number. Raises NoColumn, WrongColumn."""
    rows = queries.run(connection, "describe_columns", None, table=documents.quoted)
    columns = {row["name"]: row for row in rows}
    _column(columns, str(documents), column, variable, _NUMERIC_TYPES, "a number")


def column_names(connection: Connection, documents: table.Table) -> list[str]:
    """In the order of the table."""
    rows = queries.run(connection, "describe_columns", None, table=documents.quoted)
    return [row["name"] for row in rows]


def indexes_on(connection: Connection, documents: table.Table, column: str) -> tuple[str, ...]:
    """Names of the vector indexes on a column, or on an expression over it, oldest first."""
    return tuple(index.name for index in vector_indexes(connection, documents.quoted, column))


def vector_indexes(connection: Connection, quoted_table: str, column: str) -> list[VectorIndex]:
    """The vector indexes on a column of a table, whole or not, oldest first."""
    rows = queries.run(connection, "indexes_on_column", None, table=quoted_table, column=column)
    return [VectorIndex(**row) for row in rows]


def _column(
    columns: Mapping[str, Mapping[str, Any]],
    title: str,
    name: str,
    variable: str,
    types: set[str],
    needed: str,
) -> Mapping[str, Any]:
    column = columns.get(name)
    if column is None:
        raise NoColumn(table=title, column=name, columns=", ".join(columns), variable=variable)
    if column["generated"]:
        raise WrongColumn(table=title, column=name, type="a generated one", needed=needed, variable=variable)
    if column["type"] not in types:
        raise WrongColumn(table=title, column=name, type=column["type"], needed=needed, variable=variable)
    return column
