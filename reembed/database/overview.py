"""All migrations at a glance: for the schedule, and for whoever watches."""

from reembed.database import ledger, queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration


def active(connection: Connection) -> list[int]:
    """Ids of the migrations that the schedule looks after."""
    if not ledger.exists(connection):
        return []
    return [row["id"] for row in queries.run(connection, "active_migrations")]


def newest(connection: Connection) -> list[Migration]:
    """Of every table the last one, also where it is over."""
    if not ledger.exists(connection):
        return []
    return [ledger.get(connection, row["id"]) for row in queries.run(connection, "newest_migrations")]


def states(connection: Connection) -> list[str]:
    """All that a migration can be in."""
    return [row["state"] for row in queries.run(connection, "migration_states")]
