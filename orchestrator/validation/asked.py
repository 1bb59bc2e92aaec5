"""The queries to judge by: from a file, or from the log of what users asked."""

import json
from pathlib import Path

import psycopg

from config.settings import Settings
from reembed import errors
from reembed.database.connection import Connection, first_line

Query = tuple[str, str]
"""Id and text."""

# A log may be large, and its query careless
_STATEMENT_TIMEOUT = "30s"


class NoQueries(errors.Usage):
    """The file {path} has no queries: {reason}.

    Write one query a line, or JSON objects with a `text` and, if you like, an `id`.
    """


class NoLog(errors.Usage):
    """VALIDATION_QUERIES_SQL cannot be used: {reason}.

    It has to select the text of a query, or an id and the text, and may only read.
    """


def read(connection: Connection, settings: Settings, path: str | None) -> list[Query]:
    """The queries of the file, or without one those of the log. Raises NoQueries, NoLog."""
    return from_file(path) if path else from_log(connection, settings)


def from_file(path: str) -> list[Query]:
    """Queries from a file of plain lines, named by their line number, or of JSON objects. Raises NoQueries."""
    found: list[Query] = []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if line.lstrip().startswith("{"):
                query = json.loads(line)
                found.append((str(query.get("id", query.get("_id", number))), str(query["text"])))
            elif line.strip():
                found.append((str(number), line.strip()))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError) as error:
        raise NoQueries(
            path=path, reason=f"line {len(found) + 1} cannot be read ({type(error).__name__})"
        ) from None
    if not found:
        raise NoQueries(path=path, reason="it is empty")
    return found


def from_log(connection: Connection, settings: Settings) -> list[Query]:
    """VALIDATION_SAMPLE queries, in the order of VALIDATION_QUERIES_SQL; none where it is unset. Raises NoLog.

    The statement is the operator's own, runs in a transaction that can only read, and is rolled back.
    """
    statement = settings.validation_queries_sql
    if statement is None:
        return []
    try:
        # A cursor of the server's takes no more than one statement, and no more rows than are wanted
        with connection.transaction(force_rollback=True), connection.cursor("asked") as cursor:
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute("SELECT set_config('statement_timeout', %s, true)", [_STATEMENT_TIMEOUT])
            # Verbatim, with its own percent signs
            cursor.execute(statement.encode())
            if cursor.description is None or len(cursor.description) > 2:
                raise NoLog(reason="it does not select one column or two")
            rows = cursor.fetchmany(settings.validation_sample)
    except psycopg.Error as error:
        raise NoLog(reason=first_line(error)) from None
    found = [
        (str(number), row[0]) if len(row) == 1 else (str(row[0]), row[1])
        for number, row in enumerate(rows, 1)
    ]
    queries = [(name, text) for name, text in found if isinstance(text, str) and text.strip()]
    if not queries:
        raise NoLog(reason="it selects no text")
    return queries
