"""The steps of a migration, taken in this process: what workers and the schedule do, without them."""

from config.settings import Settings
from reembed.database import ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from workers import backfill
from workers.tools import Tools


def embed(settings: Settings, migration: Migration, *numbers: int, concurrency: int = 1) -> None:
    """A worker at these chunks. With one request at a time it takes no other along."""
    tools = Tools(settings.model_copy(update={"embed_concurrency": concurrency}))
    try:
        for number in numbers:
            backfill.embed_chunk(tools, migration.id, number)
    finally:
        tools.close()


def walk(database: Connection, migration: Migration, *states: str) -> Migration:
    """Through these states, one after the other; the migration as it stands then."""
    for state in states:
        ledger.change_state(database, ledger.get(database, migration.id), state)
    return ledger.get(database, migration.id)
