"""Where the new vectors live: in the documents table (columns.py), or in a table of their own (companion.py)."""

from collections.abc import Iterator

from psycopg import sql

from reembed.database import columns, companion, ledger, locking, queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration


def expansion(connection: Connection, migration: Migration) -> Iterator[sql.Composed]:
    """What `start` runs, in order."""
    if migration.table.companion:
        return companion.expansion(connection, migration)
    return columns.expansion(migration)


def expand(connection: Connection, migration: Migration) -> None:
    """Make room for the new vectors and their provenance, and notice changed texts from now on. May be repeated.

    Raises ledger.WrongState where the migration was given up while this waited for its lock.
    """

    def statements() -> None:
        ledger.hold(connection, migration, "planned", "begin")
        for query in expansion(connection, migration):
            connection.execute(query, {})

    locking.change(connection, statements)


def watch(connection: Connection, migration: Migration) -> bool:
    """Put the triggers back where one of them is gone or disabled; whether that was so.

    What was written without them is not noticed by this. Raises ledger.WrongState where the migration went on.
    """
    of_storage = companion if migration.table.companion else columns
    triggers = list(of_storage.triggers(migration))
    standing = queries.one(connection, "count_triggers", None, table=migration.table.quoted)["standing"]
    if standing == sum("CREATE TRIGGER" in trigger.as_string() for trigger in triggers):
        return False

    def statements() -> None:
        ledger.hold(connection, migration, migration.state, "watch what is written")
        for trigger in triggers:
            connection.execute(trigger, {})

    locking.change(connection, statements)
    return True


def remove(connection: Connection, migration: Migration) -> None:
    """Take away all that `expand` and the index builds added. Call inside `locking.change`."""
    if migration.table.companion:
        companion.remove(connection, migration)
    else:
        columns.remove(connection, migration)
