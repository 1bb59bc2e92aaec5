"""What the catalog says about the user's table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from reembed import errors
from reembed.database import fitness, near, queries, table
from reembed.database.connection import Connection
from reembed.database.distances import VectorType
from reembed.database.table import Storage

# Ordinary and partitioned tables
_TABLE_KINDS = {"r", "p"}

LEAVES = {"leaves": queries.compose("leaves")}
"""For queries about what is on the disk: a partitioned table has nothing there, its partitions have."""


class NewColumnExists(errors.Usage):
    """The table {table} already has a column {column}, and no migration of ours made it.

    Set NEW_COLUMN to a free name, or rename the column.
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


class Names(TypedDict):
    """What the environment calls the table and its columns, and where its new vectors are to live."""

    name: str
    id_column: str
    content: str
    old: str
    new: str
    storage: Storage


def describe(connection: Connection, **names: Unpack[Names]) -> Description:
    """The table that the environment names.

    Raises the first error of fitness.problems; fitness.NoExtension, fitness.NoTable, table.InvalidTableName.
    """
    look = _look(connection, names)
    for problem in _problems(look, names):
        raise problem
    found, vector = look.table, look.columns[names["old"]]
    documents = table.Table(
        found["schema"], found["name"], names["id_column"], names["content"], names["old"], names["new"],
        fitness.KEY_TYPES[look.columns[names["id_column"]]["type"]],
        table.companion_of(found["name"], names["new"]) if names["storage"] == "companion" else None,
    )  # fmt: skip
    return Description(
        table=documents,
        estimated_rows=found["estimated_rows"],
        partitioned=found["kind"] == "p",
        old_type=vector["type"],
        old_dimensions=max(vector["width"], 0),
        old_indexes=indexes_on(connection, documents, documents.old),
        columns=frozenset(look.columns),
        is_empty=queries.one(connection, "is_empty", documents.names)["empty"],
    )


def unfit(connection: Connection, **names: Unpack[Names]) -> list[errors.Usage]:
    """Everything that `describe` would raise, one after the other, were each mended."""
    try:
        return list(_problems(_look(connection, names), names))
    except errors.Usage as error:
        return [error]


def _look(connection: Connection, names: Names) -> fitness.Look:
    """Raises fitness.NoExtension, fitness.NoTable, table.InvalidTableName."""
    extension = queries.run(connection, "extension_version").fetchone()
    if extension is None:
        raise fitness.NoExtension
    wanted = table.quoted(*table.parse(names["name"]))
    found = queries.run(connection, "describe_table", None, table=wanted).fetchone()
    if found is None or found["kind"] not in _TABLE_KINDS:
        raise _missing(connection, names["name"], table.parse(names["name"])[1])
    return fitness.Look(
        extension=extension["version"],
        table=found,
        columns=_columns(connection, wanted),
        key_is_unique=queries.one(connection, "key_is_unique", None, table=wanted, column=names["id_column"])[
            "found"
        ],
    )


def _missing(connection: Connection, wanted: str, name: str) -> fitness.NoTable:
    """With the tables that somebody may have meant who wrote `wanted`, as DOCUMENTS_TABLE would have them."""
    there = queries.run(connection, "table_names").fetchall()
    meant = [
        table.written(row["schema"], row["name"])
        for close in near.names(name, [row["name"] for row in there])
        for row in there
        if row["name"] == close
    ]
    verb = "is" if len(meant) == 1 else "are"
    return fitness.NoTable(name=wanted, near=f", but there {verb} {', '.join(meant)}" if meant else "")


def _problems(look: fitness.Look, names: Names) -> Iterator[errors.Usage]:
    return fitness.problems(
        look,
        id_column=names["id_column"],
        content=names["content"],
        old=names["old"],
        storage=names["storage"],
    )


def schema_of(connection: Connection, name: str) -> str:
    """The schema that a bare table name means by the search path. Raises fitness.NoTable."""
    rows = queries.run(connection, "describe_table", None, table=table.quoted(None, name)).fetchall()
    if not rows:
        raise _missing(connection, name, name)
    return schema_in(rows, name)


def schema_in(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """The same from the rows of `describe_table`. Raises fitness.NoTable."""
    if not rows:
        raise fitness.NoTable(name=name, near="")
    return str(rows[0]["schema"])


def vector_type_in(
    rows: Sequence[Mapping[str, Any]], title: str, column: str, variable: str
) -> tuple[VectorType, int]:
    """Type and width of a vector column, from the rows of `describe_columns`.

    Raises fitness.NoColumn, fitness.WrongColumn.
    """
    found = fitness.vector_column({row["name"]: row for row in rows}, title, column, variable)
    return found["type"], max(found["width"], 0)


def refuse_no_number(connection: Connection, documents: table.Table, column: str, variable: str) -> None:
    """That the column which `variable` names is a number. Raises fitness.NoColumn, fitness.WrongColumn."""
    fitness.number_column(_columns(connection, documents.quoted), str(documents), column, variable)


def column_names(connection: Connection, documents: table.Table) -> list[str]:
    """In the order of the table."""
    return list(_columns(connection, documents.quoted))


def indexes_on(connection: Connection, documents: table.Table, column: str) -> tuple[str, ...]:
    """Names of the vector indexes on a column, or on an expression over it, oldest first."""
    return tuple(index.name for index in vector_indexes(connection, documents.quoted, column))


def vector_indexes(connection: Connection, quoted_table: str, column: str) -> list[VectorIndex]:
    """The vector indexes on a column of a table, whole or not, oldest first."""
    rows = queries.run(connection, "indexes_on_column", None, table=quoted_table, column=column)
    return [VectorIndex(**row) for row in rows]


def _columns(connection: Connection, quoted_table: str) -> dict[str, Mapping[str, Any]]:
    """By name, in the order of the table."""
    rows = queries.run(connection, "describe_columns", None, table=quoted_table)
    return {row["name"]: row for row in rows}
