"""A judged migration that many tests of searching share: making one takes longer than any of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from config.settings import Settings
from orchestrator import checks, flag, start
from orchestrator.embedded.stack import Stack
from reembed.database import chunks, connection, indexes, ledger, validations
from reembed.database import storage as vector_storage
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.database.table import Storage
from tests import installation, steps

DOCUMENTS = 60
TEXTS = installation.texts(DOCUMENTS)
# Equally wide: a vector of one model in the column of the other raises no error, and is wrong
DIMENSIONS = installation.OLD_DIMENSIONS


@dataclass(frozen=True)
class Site:
    url: str
    settings: Settings
    database: Connection

    @property
    def migration(self) -> Migration:
        return ledger.latest(self.database, "public", "documents")

    def switch(self, percent: int = 100) -> None:
        flag.switch(self.database, self.migration, self.settings, percent=percent, force=False)

    def to_old(self) -> None:
        """As it was when it was made."""
        current = self.migration
        if current.state == "switched" or current.canary_percent:
            flag.rollback(self.database, current)

    def with_settings(self, **more: object) -> Settings:
        return self.settings.model_copy(update=more)


def settings_of(stack: Stack, database: str, **more: object) -> Settings:
    environment = {name.lower(): value for name, value in stack.environment(database).items()}
    return Settings.model_validate(
        {
            **environment,
            "embed_model": installation.NEW_MODEL,
            "embed_dimensions": DIMENSIONS,
            "old_embed_model": installation.OLD_MODEL,
            "old_embed_dimensions": DIMENSIONS,
            **more,
        }
    )


@contextmanager
def made(stack: Stack, name: str, storage: Storage) -> Iterator[Site]:
    """Sixty documents of three tenants; the migration is `ready`, and searches read the old column."""
    settings = settings_of(stack, name, storage=storage)
    with connection.connect(stack.postgres.url(name), "test") as database:
        installation.make_table(database, sql.Identifier("documents"), TEXTS)
        database.execute("ALTER TABLE documents ADD tenant text, ADD weight numeric")
        database.execute("UPDATE documents SET tenant = 'tenant ' || (id / 7) % 3, weight = id")
        migration = start.create(database, settings, checks.documents_table(database, settings))
        vector_storage.expand(database, migration)
        chunks.plan(database, migration)
        ledger.change_state(database, migration, "backfilling")
        numbers = database.execute("SELECT number FROM reembed.chunks ORDER BY 1").fetchall()
        steps.embed(settings, migration, *(number for (number,) in numbers))
        steps.walk(database, migration, "indexing", "validating")
        indexes.build_pending(database, migration)
        indexes.build(database, migration, DOCUMENTS)
        ledger.change_state(database, ledger.get(database, migration.id), "ready")
        validations.save(
            database, migration.id, passed=True, report={"without_text": 0, "documents": DOCUMENTS}
        )
        yield Site(stack.postgres.url(name), settings, database)
