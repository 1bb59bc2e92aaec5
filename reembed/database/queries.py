"""The named queries of queries.sql, composed with a table's names and run with bound values."""

import functools
import importlib.resources
import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import rows, sql

_HEADER = re.compile(r"^-- (\w+) --$", re.MULTILINE)


@functools.cache
def _templates() -> dict[str, sql.SQL]:
    text = importlib.resources.files(__package__).joinpath("queries.sql").read_text(encoding="utf-8")
    parts = _HEADER.split(text)[1:]
    # The file is part of the program: as trustworthy as a string literal
    return {name: sql.SQL(body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def compose(name: str, names: Mapping[str, sql.Composable] | None = None) -> sql.Composed:
    """The query `name` with its {names} put in."""
    return _templates()[name].format(**(names or {}))


def identifier(*names: str) -> sql.Identifier:
    """A quoted name. Every query is run with values, so that a % in a name has to be doubled like any other."""
    return sql.Identifier(*(name.replace("%", "%%") for name in names))


def verbatim(text: str) -> sql.SQL:
    """What the catalog says in SQL's own words, such as a type. As trustworthy as the catalog."""
    return sql.SQL(text.replace("%", "%%"))


def run(
    connection: psycopg.Connection[Any],
    name: str,
    names: Mapping[str, sql.Composable] | None = None,
    /,
    **values: object,
) -> psycopg.Cursor[dict[str, Any]]:
    """Run the query `name`; its rows are dicts. Values travel in binary, vectors as float32 arrays."""
    cursor = connection.cursor(row_factory=rows.dict_row, binary=True)
    return cursor.execute(compose(name, names), values)


def one(
    connection: psycopg.Connection[Any],
    name: str,
    names: Mapping[str, sql.Composable] | None = None,
    /,
    **values: object,
) -> dict[str, Any]:
    """The single row of a query that always has one."""
    row = run(connection, name, names, **values).fetchone()
    assert row is not None, name  # noqa: S101  the queries this is for aggregate or return a constant
    return row
