"""The steps of a migration, taken in this process: what workers and the schedule do, without them."""

from config.settings import Settings
from orchestrator import resume
from reembed.database import ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.database.limits import Budget
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


def limited(
    database: Connection, migration: Migration, *, tokens: int | None = None, until: float | None = None
) -> Migration:
    """The migration within these limits: a dollar buys a token."""
    ledger.change_state(database, migration, "paused")
    budget = Budget(float(tokens), tokens) if tokens else None
    resume.resume(database, ledger.get(database, migration.id), budget=budget, until=until)
    return ledger.get(database, migration.id)
