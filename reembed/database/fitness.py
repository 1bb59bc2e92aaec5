"""Whether reembed can work with a table: everything that stands against it, by what the catalog says."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reembed import errors
from reembed.database import near
from reembed.database.table import Storage

# What a key column may be, and what its values are cast to: comparisons between these use the column's index
KEY_TYPES = {
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
# The first pgvector with halfvec, and so with an index on more than 2,000 dimensions
_OLDEST_EXTENSION = (0, 7)


class NoExtension(errors.Usage):
    """The database has no pgvector.

    Run CREATE EXTENSION vector in it, as a role that may.
    """


class OldExtension(errors.Usage):
    """The database has pgvector {version}, and reembed needs 0.7 or newer.

    Install a newer one on the server, then ALTER EXTENSION vector UPDATE.
    """


class NoTable(errors.Usage):
    """There is no table {name}{near}.

    Set DOCUMENTS_TABLE; names are taken literally, upper and lower case matter.
    """


class NoColumn(errors.Usage):
    """The table {table} has no column {column}; it has {columns}.

    Set {variable}{meant}.
    """


class WrongColumn(errors.Usage):
    """The column {column} of {table} is of type {type}, and reembed needs {needed}.

    Set {variable}.
    """


class NoKey(errors.Usage):
    """The column {column} of {table} is not unique and NOT NULL by an index of its own.

    Set DOCUMENTS_ID_COLUMN to the primary key, or create a unique index.
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


class NotAllowedToIndex(errors.Usage):
    """The database role may not create an index in the schema {schema}, and a migration ends with some.

    GRANT CREATE ON SCHEMA {schema} to it.
    """


@dataclass(frozen=True)
class Look:
    """Rows of the catalog about one table."""

    extension: str
    """pgvector's version."""
    table: Mapping[str, Any]
    """Of `describe_table`."""
    columns: Mapping[str, Mapping[str, Any]]
    """Of `describe_columns`, by name."""
    key_is_unique: bool

    @property
    def title(self) -> str:
        return f"{self.table['schema']}.{self.table['name']}"


def problems(
    look: Look, *, id_column: str, content: str, old: str, storage: Storage
) -> Iterator[errors.Usage]:
    """What stands against a migration of the table, the most telling first; nothing where it is fit."""
    if tuple(int(part) for part in look.extension.split(".")[:2]) < _OLDEST_EXTENSION:
        yield OldExtension(version=look.extension)
    for name, variable, types, needed in (
        (id_column, "DOCUMENTS_ID_COLUMN", set(KEY_TYPES), "an integer, uuid or text key"),
        (content, "DOCUMENTS_CONTENT_COLUMN", _CONTENT_TYPES, "text"),
        (old, "OLD_COLUMN", _VECTOR_TYPES, "a vector or halfvec"),
    ):
        if wrong := _wrong(look.columns, look.title, name, variable, types, needed):
            yield wrong
    if id_column in look.columns and not look.key_is_unique:
        yield NoKey(table=look.title, column=id_column)
    table = look.table
    for allowed, what in ((table["may_write"], "read and update"), (table["may_alter"], "alter")):
        if not allowed:
            yield NotAllowed(table=look.title, what=what)
    if table["hides_rows"]:
        yield RowsHidden(table=look.title)
    if table["nested"]:
        yield NestedPartitions(table=look.title)
    if not table["may_create"]:
        wanted = NotAllowedToCreate if storage == "companion" else NotAllowedToIndex
        yield wanted(schema=table["schema"])


def no_column(title: str, name: str, columns: Iterable[str], variable: str) -> NoColumn:
    """With the column that `variable` may have meant, where one is near."""
    there = list(columns)
    meant = "".join(f"={one}" for one in near.names(name, there)[:1])
    return NoColumn(table=title, column=name, columns=", ".join(there), variable=variable, meant=meant)


def vector_column(
    columns: Mapping[str, Mapping[str, Any]], title: str, name: str, variable: str
) -> Mapping[str, Any]:
    """The column that `variable` names, a vector. Raises NoColumn, WrongColumn."""
    return _right(columns, title, name, variable, _VECTOR_TYPES, "a vector or halfvec")


def number_column(
    columns: Mapping[str, Mapping[str, Any]], title: str, name: str, variable: str
) -> Mapping[str, Any]:
    """The column that `variable` names, a number. Raises NoColumn, WrongColumn."""
    return _right(columns, title, name, variable, _NUMERIC_TYPES, "a number")


def _right(
    columns: Mapping[str, Mapping[str, Any]],
    title: str,
    name: str,
    variable: str,
    types: set[str],
    needed: str,
) -> Mapping[str, Any]:
    if wrong := _wrong(columns, title, name, variable, types, needed):
        raise wrong
    return columns[name]


def _wrong(
    columns: Mapping[str, Mapping[str, Any]],
    title: str,
    name: str,
    variable: str,
    types: set[str],
    needed: str,
) -> NoColumn | WrongColumn | None:
    column = columns.get(name)
    if column is None:
        return no_column(title, name, columns, variable)
    kind = "a generated one" if column["generated"] else column["type"]
    if column["generated"] or kind not in types:
        return WrongColumn(table=title, column=name, type=kind, needed=needed, variable=variable)
    return None
