"""Connections as reembed makes them, and PostgreSQL's failures in the words of our error tree."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import conninfo

from reembed import errors
from reembed.database import binary, reaching

Connection = psycopg.Connection[tuple[Any, ...]]

# Seconds. A server that does not answer within this is as good as down for a command that a person waits for
_CONNECT_TIMEOUT = 10
# Times that a statement is run before psycopg prepares it: its own default
_PREPARE_THRESHOLD = 5


class DatabaseUnreachable(errors.Usage):
    """The database at {where} cannot be reached: {reason}.

    Check DATABASE_URL.
    """


class NotALibpqUrl(errors.Usage):
    """DATABASE_URL is not a libpq URL: {reason}.

    Write postgresql://user@host:5432/database.
    """


def connect(url: str, application: str, *, pooled: bool = False) -> Connection:
    """A connection in autocommit, so that no transaction is open that nobody asked for.

    `application` is what the server's operators see in pg_stat_activity. `pooled`: each transaction may meet another
    session, as behind pgbouncer, so nothing is prepared on the server that the next one would not find.
    Raises DatabaseUnreachable, NotALibpqUrl.
    """
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise NotALibpqUrl(reason=reaching.unreadable(str(error))) from None
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            application_name=f"reembed {application}",
            connect_timeout=_CONNECT_TIMEOUT,
            # A host that vanished is noticed within a minute, not after two hours
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            prepare_threshold=None if pooled else _PREPARE_THRESHOLD,
        )
    except psycopg.OperationalError as error:
        raise _unreachable(url, parts, error) from None
    try:
        if not pooled:
            # Rows that a policy hides would be left behind unnoticed: better an error
            connection.execute("SET row_security = off")
        binary.register(connection)
    except psycopg.Error as error:
        connection.close()
        if isinstance(error, psycopg.OperationalError):
            raise _unreachable(url, parts, error) from None
        raise
    return connection


def _unreachable(url: str, parts: Mapping[str, Any], error: psycopg.Error) -> DatabaseUnreachable:
    return DatabaseUnreachable(
        where=reaching.where(url, parts), reason=reaching.unreached(url, parts, str(error))
    )


def first_line(error: psycopg.Error) -> str:
    """What PostgreSQL said, in one line, without the detail: a detail may quote a row."""
    return (error.diag.message_primary or str(error).strip()).splitlines()[0] if str(error) else repr(error)


def in_one_line(error: BaseException) -> str:
    """Any error in one line for the ledger and the log, without what PostgreSQL may quote of a row."""
    said = first_line(error) if isinstance(error, psycopg.Error) else error
    return f"{type(error).__name__}: {said}"
