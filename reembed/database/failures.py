"""Documents that the provider refuses, each with its words, until their text or the model changes."""

import datetime
from dataclasses import dataclass

from reembed.database import queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration


@dataclass(frozen=True)
class Failure:
    document_id: str
    reason: str
    failed_at: datetime.datetime


def find(connection: Connection, migration: Migration) -> list[Failure]:
    """Those whose present text is the one that was refused, newest first."""
    return [Failure(**row) for row in queries.run(connection, "list_failures", migration.names)]


def count(connection: Connection, migration: Migration) -> int:
    return int(queries.one(connection, "count_failures", migration.names)["failures"])


def release(connection: Connection, migration: Migration) -> int:
    """Forget the refusals, so that these documents are pending again; how many."""
    return queries.run(connection, "release_failures", migration.names).rowcount
