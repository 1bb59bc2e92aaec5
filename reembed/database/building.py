"""An index under construction: the settings of its session, and how far it has come."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from reembed.database import queries
from reembed.database.connection import Connection
from reembed.database.table import Table, quoted

PARALLEL_WORKERS = "max_parallel_maintenance_workers"


@dataclass(frozen=True)
class Progress:
    """As pg_stat_progress_create_index has it."""

    index: str
    phase: str
    """In PostgreSQL's words, or pgvector's."""
    percent: float | None
    """Of this phase; None where it does not count."""
    held_up_by: int | None
    """The process whose transaction has to end first: any that is older than the build."""

    def __str__(self) -> str:
        if self.held_up_by is not None:
            return f"{self.phase} (process {self.held_up_by})"
        # Rounded down: nearly all is not all
        return self.phase if self.percent is None else f"{self.phase}, {int(self.percent)} %"


def progress(connection: Connection, table: Table) -> Progress | None:
    """The index that is being built on the table or its companion; None where none is, or we may not see."""
    row = queries.run(connection, "index_progress", None, tables=_tables(table)).fetchone()
    return None if row is None else Progress(**row)


def cancel(connection: Connection, table: Table) -> None:
    """End the build of an index of ours, which would hold up whoever wants to take it away."""
    queries.run(connection, "cancel_build", None, tables=_tables(table))


def _tables(table: Table) -> list[str]:
    return [table.quoted, quoted(table.schema, table.vectors)]


@contextmanager
def session(connection: Connection, settings: Mapping[str, str]) -> Iterator[None]:
    """PostgreSQL's settings, by name, until the end of the block; then what role and database have."""
    try:
        for name, value in settings.items():
            put(connection, name, value)
        yield
    finally:
        # A build may have put away its parallel workers
        for name in {*settings, PARALLEL_WORKERS}:
            if not connection.closed:
                put(connection, name, None)


def put(connection: Connection, name: str, value: str | None) -> None:
    """A setting for the rest of the session; None: back to what role and database have."""
    queries.run(connection, "set_for_session", None, name=name, value=value)


def lacks_shared_memory(error: psycopg.Error) -> bool:
    """Whether a build failed for want of what parallel workers share: /dev/shm, 64 MB in a container.

    By the place in the server's code. Its words may be translated, and its code is that of a full disk.
    """
    return error.diag.source_file == "dsm_impl.c"
