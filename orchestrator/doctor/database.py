"""The server: what it is, whether it can be written to, and who is in the way."""

from collections.abc import Iterator

from config.settings import Settings
from orchestrator import progress
from orchestrator.doctor.finding import Finding
from reembed.database import queries
from reembed.database.connection import Connection

# Each worker process has two connections, the command and the control worker one
_FEW_CONNECTIONS = 6
_LONG_SECONDS = 60


def server(connection: Connection, settings: Settings) -> Iterator[Finding]:
    """Its version, whether it takes writes, and how many more connections."""
    seen = queries.one(connection, "describe_server")
    extension = queries.run(connection, "extension_version").fetchone()
    vectors = f", pgvector {extension['version']}" if extension else ""
    yield Finding("database.version", "info", f"PostgreSQL {seen['version']}{vectors}.", "")
    if seen["is_standby"]:
        yield Finding(
            "database.standby",
            "error",
            "The server is a standby, which cannot be written to.",
            "Set DATABASE_URL to its primary.",
        )
    elif seen["is_read_only"]:
        yield Finding(
            "database.read_only",
            "error",
            "default_transaction_read_only is on: nothing can be written.",
            "Unset it for this role and database, or set DATABASE_URL to a role without it.",
        )
    if seen["connections_left"] < _FEW_CONNECTIONS:
        yield Finding(
            "database.connections",
            "warning",
            f"{seen['connections_left']} of max_connections = {seen['connections']} are left, and each worker process "
            "takes two.",
            "Raise max_connections, or put a pooler before the workers (DATABASE_POOLER).",
        )


def long_transactions(connection: Connection, settings: Settings) -> Iterator[Finding]:
    """The oldest transaction: adding a column may have to wait for it, and building an index has to."""
    oldest = queries.run(connection, "oldest_transaction", None, older_than_seconds=_LONG_SECONDS).fetchone()
    if oldest is not None:
        yield Finding(
            "database.long_transaction",
            "warning",
            f"A transaction is open for {progress.duration(oldest['seconds'])} ({oldest['holder']}): the index cannot "
            "be built before it ends, and the table not be changed if it has read it.",
            "Look it up in pg_stat_activity or pg_prepared_xacts, and have it ended.",
        )


CHECKS = (server, long_transactions)
